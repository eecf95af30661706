"""Connections that have not signed in yet: so many in all, so many of one address.

The newest is refused, and no sign-in under way is ever ended by another's knock: whoever can knock could otherwise
throw out whoever is just giving a password. That one address can't take all places leaves some to the others; a place
is given back after `start_seconds` at the latest.
"""

from __future__ import annotations

import ipaddress
from collections import Counter


class Starting:
    """Counts them.

    Args:
        most: Places in all.
        most_of_one: Places of one address (IPv6: of one /64, which is what one subscriber has).
    """

    def __init__(self, most: int, most_of_one: int) -> None:
        self._most, self._most_of_one = most, most_of_one
        self._taken: Counter[str] = Counter()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def take(self, address: str) -> Place | None:
        """Take a place for a connection from this address; None: there is no room."""
        source = source_of(address)
        if self._count >= self._most or self._taken[source] >= self._most_of_one:
            # Looking must not leave an entry: addresses are the peers' to choose.
            self._taken += Counter()
            return None
        self._count += 1
        self._taken[source] += 1
        return Place(self, source)

    def give_back(self, source: str) -> None:
        """A place is free again."""
        self._count -= 1
        self._taken[source] -= 1
        if not self._taken[source]:
            del self._taken[source]


class Place:
    """One connection's; given back once."""

    __slots__ = ("_source", "_starting")

    def __init__(self, starting: Starting, source: str) -> None:
        self._starting: Starting | None = starting
        self._source = source

    def leave(self) -> None:
        """Give it back: signed in, or gone. Again is fine."""
        if self._starting is not None:
            starting, self._starting = self._starting, None
            starting.give_back(self._source)


def source_of(address: str) -> str:
    """What counts as one address; a Unix socket's peers are all one."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is None:
            return str(ipaddress.IPv6Network((ip, 64), strict=False))
        return str(ip.ipv4_mapped)
    return str(ip)
