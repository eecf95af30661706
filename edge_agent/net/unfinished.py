"""Ends a session whose caller began a message and does not finish it.

PostgreSQL waits for ever for the rest of a message. Here that would keep the beginning of it, and a connection at the
server, for whoever sends three bytes and waits, or one byte a second. So a message has `message_seconds`, and one
second more for each 64 KiB of it that came, so that a large one on a slow line arrives. What does not count:

- time between messages: COPY data that keep flowing, and callers that are idle
- time in which we do not read: the rest waits for a statement that runs or is held
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

BYTES_A_SECOND: Final = 64 * 1024
"""What each further second is granted for."""


class HalfSent(Protocol):
    """The part of a session that tells about it."""

    @property
    def owed(self) -> int:
        """The number of the message of which a part came and the rest is waited for; 0: none."""

    @property
    def owed_bytes(self) -> int:
        """How much of it came."""


class Unfinished:
    """One session's clock.

    Args:
        session: Looked at after each chunk.
        seconds: How long a message that was begun may take.
        read_since: Since when the caller's connection is read (the loop's time); None: it is not read now.
        late: Called once when it took longer.
    """

    __slots__ = ("_late", "_number", "_read_since", "_seconds", "_session", "_since", "_timer")

    def __init__(
        self, session: HalfSent, seconds: float, read_since: Callable[[], float | None], late: Callable[[], None]
    ) -> None:  # fmt: skip
        self._session, self._seconds, self._read_since, self._late = session, seconds, read_since, late
        self._number = 0
        self._since = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def look(self) -> None:
        """Something moved. Cheap: a timer that is set stays, and sees by itself what it is about when it is due."""
        number = self._session.owed
        if not number or number == self._number:
            return
        self._number = number
        loop = asyncio.get_running_loop()
        self._since = loop.time()
        if self._timer is None:
            self._timer = loop.call_later(self._seconds, self._due)

    def stop(self) -> None:
        """The session is over."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _due(self) -> None:
        self._timer = None
        if self._session.owed != self._number:
            self._number = 0
            return
        loop = asyncio.get_running_loop()
        read_since = self._read_since()
        since = loop.time() if read_since is None else max(self._since, read_since)
        until = since + self._seconds + self._session.owed_bytes / BYTES_A_SECOND
        if loop.time() >= until:
            self._late()
        else:
            self._timer = loop.call_at(until, self._due)
