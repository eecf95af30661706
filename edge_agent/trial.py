"""A held write whose policy has a budget of rows: it is tried within what is left, before anybody is asked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from edge_agent.door import SessionDoor, facts_of
from edge_agent.gate import Pass
from edge_agent.hold import CallerGone, Prepared, Result
from edge_agent.protocols.postgres.events import Held, Tried
from edge_agent.row_budget import Booking, RowBudgets
from edge_agent.session_records import SessionFacts, SessionRecords
from twokeys.digest import canonical
from twokeys.errors import TwokeysError
from twokeys.record import RecordType


class Attempts(Protocol):
    """What a trial needs of the live session."""

    async def prepare(self) -> Prepared:
        """Bring the server to where the Command can be forwarded. Raises CallerGone or Refused."""

    async def attempt(self, permission: Pass) -> Tried | None:
        """Run it on probation; None when it failed. Raises CallerGone when it was not run."""

    async def outcome(self) -> Result:
        """How it ended at last: at the end of its transaction."""

    async def abort(self) -> None:
        """Undo `prepare`."""


@dataclass(slots=True)
class Trial:
    """One Command's."""

    held: Held
    session: SessionFacts
    door: SessionDoor
    records: SessionRecords
    budgets: RowBudgets
    _forward: int = field(default=0, init=False)
    """The sequence of its forward's Record."""

    async def run(self, live: Attempts) -> bool:
        """Try it. False when people are to be asked: nothing of it was left, or nothing is left of the budget."""
        budget = self.held.judgement.decision.budget
        caller, target = self.session.caller.id, self.session.target
        booking = await self.budgets.claim(caller, target, budget) if budget is not None else None
        if booking is None:
            return False
        try:
            tried = await self._attempt(live, booking)
        except CallerGone as gone:
            self.budgets.settle(booking, 0)
            self._quietly({"outcome": "withdrawn", "reason": str(gone)})
            return True
        except TwokeysError as error:
            # People are asked as ever; what keeps it from running is told then.
            self.budgets.settle(booking, 0)
            await live.abort()
            self._quietly({"outcome": "failed", "reason": error.happened})
            return False
        if tried is not None and not tried.stays:
            self.budgets.settle(booking, 0)
            changed = "an unknown number of" if tried.rows is None else str(tried.rows)
            self._quietly({"outcome": "failed", "reason": f"rolled back: it changes {changed} rows, over its budget"})
            return False
        if tried is not None:
            self.budgets.settle(booking, tried.rows or 0)
        await self._end(live, booking, tried)
        return True

    async def _attempt(self, live: Attempts, booking: Booking) -> Tried | None:
        prepared = await live.prepare()
        fields = self._fields() | ({"xid": prepared.xid} if prepared.xid else {})
        body = canonical(self.held.command.to_json())
        self._forward = await self.records.append_durable(RecordType.FORWARD, fields, body)
        return await live.attempt(self.door.admit_within(self.held.judgement, booking.rows))

    async def _end(self, live: Attempts, booking: Booking, tried: Tried | None) -> None:
        result = await live.outcome()
        # In doubt counts. Time counts from here: a transaction could have waited for its window to pass.
        self.budgets.settle(booking, 0 if result.outcome == "failed" or tried is None else tried.rows or 0)
        fields: dict[str, object] = {"outcome": result.outcome}
        for name, value in (("rows", result.rows), ("sqlstate", result.sqlstate), ("reason", result.reason)):
            if value not in (None, ""):
                fields[name] = value
        self._quietly(fields)

    def _fields(self) -> dict[str, object]:
        known = {"forward_seq": self._forward} if self._forward else {}
        return (
            known
            | facts_of(self.held.judgement, self.held.command.text)
            | {
                "outcome": "within_budget",
                "in_transaction": self.held.in_transaction,
            }
        )

    def _quietly(self, fields: dict[str, object]) -> None:
        """Record where nothing is left to prevent: a journal that fails ends sessions by itself."""
        try:
            self.records.append(RecordType.RESULT, self._fields() | fields)
        except TwokeysError:
            return
