"""An allowed write on its way by the lane: what `allowed_step.quick` does, for an answer that is one plain chunk.

chunk ─▶ recorded as Written ─▶ front, the chunk itself, the question for the transaction's id if it is not known
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from edge_agent.protocols.postgres import encode, expect
from edge_agent.protocols.postgres import server_messages as server
from edge_agent.protocols.postgres.allowed_step import awaited
from edge_agent.protocols.postgres.core import Core, Step
from edge_agent.protocols.postgres.door import Judgement
from edge_agent.protocols.postgres.events import Written
from edge_agent.protocols.postgres.expect import Answer, Expected
from edge_agent.protocols.postgres.front import ANSWERED
from edge_agent.protocols.postgres.link import IN_TRANSACTION
from edge_agent.protocols.postgres.places import rows_of
from edge_agent.protocols.postgres.transaction import Transaction, Write
from twokeys.command import PostgresCommand
from twokeys.errors import InvalidInput

_READY: Final = encode.ready_for_query(IN_TRANSACTION)
_ASKED: Final = encode.command_complete(b"SELECT 1") + _READY
"""What the answer to a question of one row ends with."""


class AllowedFlight:
    """One write, from when it has its Pass.

    Args:
        core: The session.
        transaction: The caller's.
        judgement: Of its text.
        command: What is recorded.
        simple: It is a Query.
    """

    __slots__ = ("_asks", "_core", "_simple", "_transaction", "written")

    def __init__(
        self, core: Core, transaction: Transaction, judgement: Judgement, command: PostgresCommand, *, simple: bool
    ) -> None:
        core.ticket += 1
        core.age += 1
        core.link.last_error = {}
        transaction.unkept = True
        self._core, self._transaction, self._asks, self._simple = core, transaction, not transaction.xid, simple
        self.written = Written(core.ticket, judgement, command)
        """For the journal, before anything is sent."""

    def sent(self, data: bytes) -> bytes:
        """What is sent of the caller's chunk, with the question: before the Sync of a group, after a Query."""
        if not self._asks:
            return data
        rest = data if self._simple else data[: -len(encode.SYNC_MESSAGE)]
        return rest + self._core.hidden.assigned_xid + encode.SYNC_MESSAGE

    def believe(self, data: bytes, hidden: int, at: int) -> bytes | None:
        """Take an answer that is the whole, if it is.

        Args:
            data: What the server sent.
            hidden: How much of it, at its beginning, is not the client's.
            at: Where its CommandComplete begins.

        Returns:
            What the client is to see of it. None: it is not the whole; nothing was done.
        """
        end, xid = at + 1 + int.from_bytes(data[at + 1 : at + 5], "big"), self._transaction.xid
        if self._asks:
            asked = self._asked(data, end)
            if asked is None:
                return None
            xid = asked
        elif data[end:] != _READY:
            return None
        done = Answer()
        try:
            done.tags.append(server.read_command_complete(data, at, end))
        except InvalidInput:
            return None
        self._transaction.xid = xid
        self._transaction.writes.append(Write(self.written.ticket, rows_of(done), xid))
        return data[hidden:end] + _READY

    def _asked(self, data: bytes, end: int) -> str | None:
        """The transaction's id, of an answer that goes on here and is the whole; empty where it has none."""
        if self._simple:
            if not data.startswith(_READY, end):
                return None
            end += len(_READY)
        row, last = end + len(ANSWERED), len(data) - len(_ASKED)
        if not data.startswith(ANSWERED, end) or not data.endswith(_ASKED) or data[row] != server.DATA_ROW:
            return None
        if row + 1 + int.from_bytes(data[row + 1 : row + 5], "big") != last:
            return None
        try:
            (value,) = server.read_data_row(data, row, last)
        except (InvalidInput, ValueError):
            return None
        return (value or b"").decode("ascii", "replace")

    def go_on(self, before: Iterator[Expected]) -> Step:
        """Its answer goes the general way: expect it after what is to be answered before it, and wait for it."""
        answer, asked = Answer(), Answer()
        self._core.link.await_answers(self._expected(before, answer, asked))
        write = Write(self.written.ticket, xid=self._transaction.xid)
        return awaited(self._core, self._transaction, write, answer, asked)

    def _expected(self, before: Iterator[Expected], answer: Answer, asked: Answer) -> Iterator[Expected]:
        yield from before
        if self._simple:
            yield Expected(expect.QUERY_TAKES, b"Z", answer=answer)
        else:
            yield Expected(expect.EXECUTE_TAKES, expect.EXECUTE_ENDS, answer=answer)
        if self._asks:
            yield expect.hidden_commands(1, asked)
        if self._asks or not self._simple:
            yield expect.HIDDEN_SYNC
