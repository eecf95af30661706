"""One waiting Command in a live session: orders to the core as awaited calls, its effects as their answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from edge_agent.gate import Pass
from edge_agent.hold import CallerGone, Prepared, Result
from edge_agent.preview.question import Answered, Question
from edge_agent.protocols.postgres import events
from edge_agent.protocols.postgres.session import Session
from edge_agent.session_records import SessionRecords
from twokeys.digest import Json
from twokeys.errors import Refused
from twokeys.record import RecordType

T = TypeVar("T")

OUTCOMES = {
    events.Ending.COMMITTED: "done",
    events.Ending.ROLLED_BACK: "failed",
    events.Ending.FAILED: "failed",
    events.Ending.UNKNOWN: "in_doubt",
}
"""How records spell an ending."""


class WaitingCommand:
    """Implements `edge_agent.attend.LiveSession` for one ticket."""

    def __init__(
        self,
        ticket: int,
        session: Session,
        settle: Callable[[], None],
        records: SessionRecords,
        before: Callable[[], None],
    ) -> None:
        """Build.

        Args:
            ticket: Names the Command towards the core.
            session: The core.
            settle: Moves what the core has to say to journal and wires.
            records: Of this session.
            before: Called right before the Command is forwarded.
        """
        self._ticket, self._session, self._settle, self._records = ticket, session, settle, records
        self._before = before
        self.locks: tuple[str, ...] = ()
        """What its transaction keeps locked, as of the last `fingerprint`."""
        loop = asyncio.get_running_loop()
        self._answer: asyncio.Future[events.Fingerprint | events.Previewed | events.Prepared] | None = None
        self._outcome: asyncio.Future[events.Outcome] = loop.create_future()
        self._tried: asyncio.Future[events.Tried] = loop.create_future()
        self._gone: asyncio.Future[str] = loop.create_future()

    def take(
        self,
        effect: events.Fingerprint
        | events.Previewed
        | events.Prepared
        | events.NotPrepared
        | events.Tried
        | events.Outcome,
    ) -> None:
        """An effect of this ticket came."""
        if isinstance(effect, events.Tried):
            if not self._tried.done():
                self._tried.set_result(effect)
            return
        if isinstance(effect, events.Outcome):
            if not self._outcome.done():
                self._outcome.set_result(effect)
            return
        answer = self._answer
        if answer is None or answer.done():
            return
        if isinstance(effect, events.NotPrepared) and not effect.sqlstate:
            advice = "Send it again, with schemas: without, people are asked about it as about anything unknown."
            answer.set_exception(
                Refused(effect.reason, not_done="The command was not run.", advice=advice, code="names_moved")
            )
        elif isinstance(effect, events.NotPrepared):
            answer.set_exception(
                Refused(
                    f"The server refused what the hold needs ({effect.sqlstate}: {effect.reason}).",
                    not_done="The command was not run.",
                    code="not_prepared",
                )
            )
        else:
            answer.set_result(effect)

    def withdraw(self, reason: str) -> None:
        """The caller cancelled or hung up, or the session ended."""
        if not self._gone.done():
            self._gone.set_result(reason)
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(CallerGone(reason))

    async def fingerprint(self) -> str:
        """See LiveSession."""
        found = await self._ask(self._session.fingerprint)
        self.locks = found.locks if isinstance(found, events.Fingerprint) else ()
        return "" if isinstance(found, events.Previewed) else found.fingerprint

    async def ask(self, question: Question) -> Answered:
        """See `edge_agent.preview.question.Asking`."""
        found = await self._ask(lambda ticket: self._session.preview(ticket, question))
        return found.answered if isinstance(found, events.Previewed) else Answered(reason="it was not answered")

    async def prepare(self) -> Prepared:
        """See LiveSession."""
        found = await self._ask(self._session.prepare)
        if isinstance(found, events.Previewed):
            raise Refused("The session did not answer.", not_done="The command was not run.", code="not_prepared")
        return Prepared(found.xid if isinstance(found, events.Prepared) else "", found.fingerprint)

    async def forward(self, permission: Pass) -> Result:
        """See LiveSession. Once asked for, the outcome always comes: the core owes it even when the session ends."""
        self._before()
        if not self._session.forward(self._ticket, permission):
            return Result("failed", reason="not forwarded: the session had ended")
        self._settle()
        return await self.outcome()

    async def attempt(self, permission: Pass) -> events.Tried | None:
        """Forward with a Pass that counts rows. None when it failed or was not forwarded: `outcome` says how."""
        self._before()
        if not self._session.forward(self._ticket, permission):
            raise CallerGone("the session ended")
        self._settle()
        waits: set[asyncio.Future[Any]] = {self._tried, self._outcome}
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        return self._tried.result() if self._tried.done() else None

    async def outcome(self) -> Result:
        """How what was forwarded ended."""
        ended = await self._outcome
        return Result(OUTCOMES[ended.ending], ended.rows, ended.sqlstate, ended.reason)

    async def abort(self) -> None:
        """See LiveSession."""
        self._session.abort(self._ticket)
        self._settle()

    def deny(self, message: str, detail: str, hint: str) -> None:
        """Answer the Command with an error."""
        self._session.deny(self._ticket, events.Deny("42501", message, detail, hint))
        self._settle()

    def notice(self, text: str) -> None:
        """See LiveSession."""
        self._session.notice(text)
        self._settle()

    def heartbeat(self) -> None:
        """See LiveSession."""
        self._session.heartbeat()
        self._settle()

    async def gone(self) -> str:
        """See LiveSession."""
        return await asyncio.shield(self._gone)

    async def record(self, kind: RecordType, fields: dict[str, Json], body: bytes | None) -> None:
        """See LiveSession."""
        await self._records.append_durable(kind, fields, body)

    async def _ask(self, order: Callable[[int], bool]) -> events.Fingerprint | events.Previewed | events.Prepared:
        if self._gone.done():
            raise CallerGone(self._gone.result())
        self._answer = asyncio.get_running_loop().create_future()
        if not order(self._ticket):
            raise CallerGone("the session ended")
        self._settle()
        return await self._answer
