"""Masks in a session: results are rewritten on their way, by what the server itself describes them as.

A Query's results come with their descriptions. Before each Execute the portal is described for us, in the same flight:
what the client was told once may no longer hold.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from edge_agent.mask.owed import Owed
from edge_agent.mask.plan import Plan
from edge_agent.mask.rows import UnreadableRow
from edge_agent.protocols.postgres import encode
from edge_agent.protocols.postgres import server_messages as server
from edge_agent.protocols.postgres.expect import EXECUTE_ENDS, EXECUTE_TAKES, QUERY_TAKES, Answer, Expected
from edge_agent.protocols.postgres.framing import run_end
from edge_agent.protocols.postgres.limits import SERVER_MAXIMUM

if TYPE_CHECKING:
    from edge_agent.protocols.postgres.core import Core

MAX_ROW_BYTES: Final = 64 * 1024 * 1024
"""Longest row of a masked result: it is collected before it is rewritten."""

HIDES: Final = b"TDHdc"
"""What of a masked result the client sees only as `Result` rewrites it."""

_HEADER: Final = struct.Struct("!BI").unpack_from


class Unmaskable(Exception):
    """A result can't be masked: nothing of it may be shown, and the session must end."""


class Pieces:
    """Collects whole messages of a type that the server's side passes on in pieces."""

    __slots__ = ("_rest", "_wanted")

    def __init__(self) -> None:
        self._rest = bytearray()
        self._wanted = 0

    def take(self, data: bytes) -> bytes:
        """Take the next piece; returns the messages that are whole now. Raises Unmaskable."""
        if self._rest:
            if len(self._rest) + len(data) < self._wanted:
                self._rest += data
                return b""
            data = b"".join((self._rest, data))
            self._rest.clear()
        cut = self._cut(data)
        if cut < len(data):
            self._rest += data[cut:]
            data = data[:cut]
        return data

    def _cut(self, data: bytes) -> int:
        """Where the last whole message ends."""
        at, size = 0, len(data)
        while at + 5 <= size:
            at = run_end(data, at, data[at], SERVER_MAXIMUM)
            if at + 5 > size:
                break
            stop = at + 1 + _HEADER(data, at)[1]
            if stop > size:
                self._wanted = stop - at
                if self._wanted > MAX_ROW_BYTES:
                    raise Unmaskable(f"A row of a masked result has more than {MAX_ROW_BYTES} bytes.")
                return at
            at = stop
        self._wanted = 5
        return at


class Result:
    """Rewrites the results of one text.

    Args:
        owed: Its masks.
    """

    __slots__ = ("_owed", "_pieces", "_plan")

    def __init__(self, owed: Owed) -> None:
        self._owed = owed
        self._plan: Plan | None = None
        self._pieces = Pieces()

    def take(self, kind: int, buffer: bytes, start: int, end: int) -> bytes:
        """Take a message, or of DataRows any number and parts; returns what is shown instead. Raises Unmaskable."""
        match kind:
            case server.ROW_DESCRIPTION:
                self._plan = self._owed.plan(server.read_row_description(buffer, start, end))
                return buffer[start:end]
            case server.DATA_ROW:
                return self._rows(buffer[start:end])
            case server.NO_DATA:
                self._plan = None
            case _ if kind in b"Hdc":
                raise Unmaskable("The server sent a result that can't be masked.")
            case _:
                # Hidden for another reason: kept back, or answered for by us already.
                pass
        return b""

    def _rows(self, data: bytes) -> bytes:
        if self._plan is None:
            raise Unmaskable("The server sent rows without a description.")
        try:
            return self._plan.mask(self._pieces.take(data))
        except UnreadableRow as error:
            raise Unmaskable("The server sent a row that does not fit its description.") from error


def query_answer(
    owed: Owed | None,
    answer: Answer | None = None,
    *,
    keep: bool = False,
    takes: bytes = QUERY_TAKES,
    hides: bytes = b"",
) -> Expected:
    """What to expect of a Query: masked, where its caller may not see all of it. The rest as in `Expected`."""
    if owed is None:
        return Expected(takes, b"Z", answer=answer, keep=keep, hides=hides)
    return Expected(takes, b"Z", answer=answer, keep=keep, hides=hides + HIDES, mask=Result(owed))


def masked_execute(core: Core, portal: bytes, owed: Owed) -> Expected:
    """The answer to an Execute; the portal is described before it."""
    return Expected(EXECUTE_TAKES, EXECUTE_ENDS, hides=HIDES, mask=watch(core, portal, owed))


def watch(core: Core, portal: bytes, owed: Owed) -> Result:
    """Have a portal described; its error, if any, is the client's."""
    result = Result(owed)
    core.link.send(encode.describe(b"P", portal), Expected(b"", b"Tn", hidden=True, mask=result))
    return result
