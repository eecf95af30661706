"""Every size that a client or a server controls on the wire, with its name. Lengths are in bytes."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Final

from twokeys.errors import InvalidInput

SERVER_MAXIMUM: Final = 0x3FFFFFFF
"""Longest message that PostgreSQL itself sends or reads (MaxAllocSize - 1)."""

NAME_BYTES: Final = 63
"""Longest name of a statement, portal or cursor (NAMEDATALEN - 1); of a longer one PostgreSQL takes the beginning."""

HEADER_BYTES: Final = 5
"""Type byte and length word; the length counts itself and the body, never the type."""

KIB: Final = 1024
MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class WireLimits:
    """Longest message of each kind; the length word itself counts (4 bytes), the type byte does not.

    Args:
        startup: SSLRequest, GSSENCRequest, CancelRequest and StartupMessage; PostgreSQL reads 10,000 at most.
        authentication: The client's password, token or SASL message before it is authenticated.
        query: A simple Query's text.
        parse: An extended Parse, text and parameter types.
        bind: A Bind with all its values.
        small: Describe, Execute, Close, Flush, Sync, Terminate, CopyDone: names and numbers.
        copy_data: One CopyData from the client.
        copy_fail: The reason in a CopyFail.
        function_call: A FunctionCall; it is refused, but must be read to be answered.
        server_row: One DataRow or CopyData from the server; streamed, never collected.
        server_description: A RowDescription (1,664 columns at most) or ParameterDescription.
        server_text: An error, notice, notification or command tag from the server.
        server_small: Any other message from the server.
    """

    startup: int = 10_000
    authentication: int = 16 * KIB
    query: int = 16 * MIB
    parse: int = 16 * MIB
    bind: int = 64 * MIB
    small: int = 8 * KIB
    copy_data: int = 16 * MIB
    copy_fail: int = 64 * KIB
    function_call: int = 1 * MIB
    server_row: int = SERVER_MAXIMUM
    server_description: int = 4 * MIB
    server_text: int = 16 * MIB
    server_small: int = 64 * KIB

    client_table: tuple[int, ...] = field(init=False, repr=False, compare=False)
    """By type byte, the longest legal message of a signed-in client; 0: no such message."""
    server_table: tuple[int, ...] = field(init=False, repr=False, compare=False)
    """The same for a server."""
    authentication_table: tuple[int, ...] = field(init=False, repr=False, compare=False)
    """The same for a client that is to prove who it is: only the answer to an authentication request."""

    login_table: tuple[int, ...] = field(init=False, repr=False, compare=False)
    """The same for a server at which we sign in."""

    def __post_init__(self) -> None:
        for limit in fields(self):
            if limit.init and not 8 <= getattr(self, limit.name) <= SERVER_MAXIMUM:
                raise InvalidInput(
                    f"The limit {limit.name} must be from 8 to {SERVER_MAXIMUM} bytes.",
                    not_done="The limits were not set.",
                )
        object.__setattr__(
            self,
            "client_table",
            _table(
                {
                    b"Q": self.query,
                    b"P": self.parse,
                    b"B": self.bind,
                    b"DEC": self.small,
                    b"HSXc": self.small,
                    b"d": self.copy_data,
                    b"f": self.copy_fail,
                    b"F": self.function_call,
                }
            ),
        )
        object.__setattr__(
            self,
            "server_table",
            _table(
                {
                    b"Dd": self.server_row,
                    b"Tt": self.server_description,
                    b"ENAC": self.server_text,
                    b"RKSZv123nsIcVGHW": self.server_small,
                }
            ),
        )
        object.__setattr__(self, "authentication_table", _table({b"p": self.authentication}))
        object.__setattr__(self, "login_table", _table({b"RSKZENAv": self.server_small}))


def _table(limits: dict[bytes, int]) -> tuple[int, ...]:
    table = [0] * 256
    for kinds, limit in limits.items():
        for kind in kinds:
            table[kind] = limit
    return tuple(table)
