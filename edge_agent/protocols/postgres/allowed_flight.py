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
    """

    __slots__ = ("_asks", "_core", "_transaction", "written")

    def __init__(self, core: Core, transaction: Transaction, judgement: Judgement, command: PostgresCommand) -> None:
        core.ticket += 1
        core.age += 1
        core.link.last_error = {}
        transaction.unkept = True
        self._core, self._transaction, self._asks = core, transaction, not transaction.xid
        self.written = Written(core.ticket, judgement, command)
        """For the journal, before anything is sent."""

    @property
    def question(self) -> bytes:
        """What is sent after it."""
        return self._core.hidden.assigned_xid + encode.SYNC_MESSAGE if self._asks else b""

    def believe(self, data: bytes, at: int) -> int | None:
        """Take an answer that is the whole, if it is.

        Args:
            data: What the server sent.
            at: Where its CommandComplete begins.

        Returns:
            Where ends what the client is to see of it. None: it is not the whole; nothing was done.
        """
        end = at + 1 + int.from_bytes(data[at + 1 : at + 5], "big")
        shown, xid = end + len(_READY), self._transaction.xid
        if data[end:shown] != _READY:
            return None
        if self._asks:
            row, last = shown + len(ANSWERED), len(data) - len(_ASKED)
            if not data.startswith(ANSWERED, shown) or not data.endswith(_ASKED) or data[row] != server.DATA_ROW:
                return None
            if row + 1 + int.from_bytes(data[row + 1 : row + 5], "big") != last:
                return None
            try:
                (value,) = server.read_data_row(data, row, last)
            except (InvalidInput, ValueError):
                return None
            xid = (value or b"").decode("ascii", "replace")
        elif shown != len(data):
            return None
        done = Answer()
        done.tags.append(server.read_command_complete(data, at, end))
        self._transaction.xid = xid
        self._transaction.writes.append(Write(self.written.ticket, rows_of(done), xid))
        return shown

    def go_on(self, before: Iterator[Expected], *, simple: bool) -> Step:
        """Its answer goes the general way: expect it, and wait for it.

        Args:
            before: What is to be answered before it.
            simple: It is a Query.
        """
        answer, asked = Answer(), Answer()
        self._core.link.await_answers(self._expected(before, answer, asked, simple=simple))
        write = Write(self.written.ticket, xid=self._transaction.xid)
        return awaited(self._core, self._transaction, write, answer, asked)

    def _expected(
        self, before: Iterator[Expected], answer: Answer, asked: Answer, *, simple: bool
    ) -> Iterator[Expected]:
        yield from before
        if simple:
            yield Expected(expect.QUERY_TAKES, b"Z", answer=answer)
        else:
            yield Expected(expect.EXECUTE_TAKES, expect.EXECUTE_ENDS, answer=answer)
            yield expect.HIDDEN_SYNC
        if self._asks:
            yield expect.hidden_commands(1, asked)
            yield expect.HIDDEN_SYNC
