"""The shell round a session core: two wires, the journal before each forward, a task for each Command that waits.

    caller's bytes ─▶ core ─▶ records appended ─▶ one write to the server
    server's bytes ─▶ core ─────────────────────▶ one write to the caller
                        └─▶ effects (rare): a Command waits, an answer, an outcome, the end

No append, no forward: when the journal refuses, the session ends, and what was not yet written is dropped.
"""

from __future__ import annotations

import asyncio
import secrets
from base64 import b32encode
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Final, assert_never

import msgspec

from edge_agent.attend import Attendant, Control
from edge_agent.config import PostgresSection
from edge_agent.door import SessionDoor, facts_of
from edge_agent.gate import Gate
from edge_agent.hold import CallerGone, Denied, Held, LeftOpen, Withdrawn, hold
from edge_agent.holds import Holds
from edge_agent.mask.owed import Masks
from edge_agent.mask.previewed import ForReviewers
from edge_agent.net.postgres_copy import CopyDesk, CopyRoom
from edge_agent.net.postgres_hold import OUTCOMES, WaitingCommand
from edge_agent.net.unfinished import Unfinished
from edge_agent.net.wire import Wire, WireLost
from edge_agent.protocols.postgres import events
from edge_agent.protocols.postgres.session import Session
from edge_agent.session_records import Begun, SessionFacts, SessionRecords
from edge_agent.trial import Trial
from twokeys.digest import canonical
from twokeys.effect import Effect
from twokeys.errors import TwokeysError
from twokeys.record import RecordType

LINGER_SECONDS: Final = 10.0
"""How long a closed connection may take to deliver its last bytes."""

Cancelling = Callable[[], Coroutine[Any, Any, None]]
"""Sends a CancelRequest to the server."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all sessions of an Edge share."""

    gate: Gate
    control: Control
    holds: Holds
    section: PostgresSection
    cancel: Cancelling
    copies: CopyRoom = field(default_factory=CopyRoom)
    message_seconds: float = 60.0


class Relay:
    """One session between two signed-in wires."""

    def __init__(
        self, facts: SessionFacts, session: Session, door: SessionDoor, records: SessionRecords, around: Surroundings,
        masks: Masks, tables_moved: Callable[[Relay], None],
    ) -> None:  # fmt: skip
        self._facts, self._session, self._door, self._records, self._around = facts, session, door, records, around
        self._lane = session.lane
        self._client: Wire
        self._server: Wire
        self._waiting: dict[int, WaitingCommand] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._over = asyncio.Event()
        self._full: set[Wire] = set()
        self._copies = CopyDesk(around.copies, session, self._settle, self._spawn)
        self._masks, self._tables_moved = masks, tables_moved
        self._movers: set[int] = set()
        self._written: dict[int, Begun] = {}
        """Of writes that were forwarded and have no outcome yet, what their results say of them."""
        self._learning: asyncio.TimerHandle | None = None
        self._unfinished: Unfinished | None = None
        self.reason = ""
        """Why the session ended."""

    async def run(self, client: Wire, server: Wire, rest: bytes) -> None:
        """Relay until the session is over and every forwarded Command's outcome is recorded.

        Args:
            client: The caller's connection.
            server: Ours at the server.
            rest: Bytes of the server that came with its first ReadyForQuery.
        """
        self._client, self._server = client, server
        if rest:
            self._from_server(rest)
        self.learn_columns()
        server.push_to(self._from_server, self._server_gone)
        client.push_to(self._from_client, self._client_gone)
        await self._over.wait()
        if self._unfinished is not None:
            self._unfinished.stop()
        if self._learning is not None:
            self._learning.cancel()
        for wire in (client, server):
            wire.close()
            # A peer that reads nothing must not keep us: what it did not take by then is dropped.
            asyncio.get_running_loop().call_later(LINGER_SECONDS, wire.abort)
        while self._tasks:
            await asyncio.wait(self._tasks)
        self._copies.close()

    def forget_columns(self) -> None:
        """Tables, views or functions may be others now: what is known of classified columns no longer holds."""
        self._session.forget_columns()
        self.learn_columns()

    def learn_columns(self) -> None:
        """Have the server asked about classified columns, now and at intervals, where any are masked for the caller."""
        if self._learning is not None:
            self._learning.cancel()
            self._learning = None
        if self._session.learn() and not self._over.is_set():
            seconds = self._around.section.column_seconds
            self._learning = asyncio.get_running_loop().call_later(seconds, self.learn_columns)
            self._settle()

    def cancel(self) -> None:
        """A CancelRequest with this session's key came."""
        self._session.cancel()
        self._settle()

    def end(self, reason: str) -> None:
        """End it from our side."""
        self._session.end(reason)
        self._settle()

    # wires

    def _from_client(self, data: bytes) -> None:
        try:
            lane = self._lane
            passage = lane.take(data)
            if passage is None:
                self._session.client_bytes(data)
                self._settle()
                return
            try:
                if lane.write is None:
                    self._records.passage(passage, lane.bind)
                else:
                    written = lane.write.written
                    self._written[written.ticket] = self._records.written(written)
            except TwokeysError as error:
                self.end(error.happened)
                return
            self._server.write(lane.sent)
            if self._server.congested:
                self._press_back()
        except Exception as error:
            self._broke(error)

    def _from_server(self, data: bytes) -> None:
        try:
            shown = self._lane.answers(data)
            if shown is None:
                self._session.server_bytes(data)
                self._settle()
                return
            self._client.write(shown)
            if self._client.congested:
                self._press_back()
        except Exception as error:
            self._broke(error)

    def _client_gone(self) -> None:
        try:
            self._session.client_gone()
            self._settle()
        except Exception as error:
            self._broke(error)

    def _server_gone(self) -> None:
        try:
            self._session.server_gone()
            self._settle()
        except Exception as error:
            self._broke(error)

    def _broke(self, error: BaseException) -> None:
        """A defect of ours: what the core was about to say may be half of it, so nothing of it leaves any more."""
        loop = asyncio.get_running_loop()
        loop.call_exception_handler({"message": "a session broke", "exception": error})
        try:
            self.end("an internal error")
        except Exception as again:
            loop.call_exception_handler({"message": "a session could not be ended", "exception": again})
        if self._over.is_set():
            return
        # Closed all the same, and whoever waits for a word of the core has its last.
        self.reason = "an internal error"
        for ticket in tuple(self._written):
            self._ended(events.Outcome(ticket, events.Ending.UNKNOWN, None, "", self.reason))
        for ticket, waiting in tuple(self._waiting.items()):
            waiting.withdraw(self.reason)
            waiting.take(events.Outcome(ticket, events.Ending.UNKNOWN, None, "", self.reason))
        self._over.set()

    def _settle(self) -> None:
        """Move what the core has to say: records first, then effects, then bytes."""
        session = self._session
        try:
            for record in session.take_records():
                if isinstance(record, events.Forwarded):
                    self._records.command(record)
                else:
                    self._written[record.ticket] = self._records.written(record)
        except TwokeysError as error:
            session.end(error.happened)
            session.take_records()
        while effects := session.take_effects():
            for effect in effects:
                self._act(effect)
        data = session.take_to_server()
        if data:
            self._server.write(data)
        data = session.take_to_client()
        if data:
            self._client.write(data)
        if session.over:
            self._over.set()
        else:
            self._press_back()
            if session.owed:
                self._time_message()

    def _time_message(self) -> None:
        if self._unfinished is None:
            # Most sessions never need one.
            seconds, client = self._around.message_seconds, self._client
            self._unfinished = Unfinished(self._session, seconds, lambda: client.read_since, self._late)
        self._unfinished.look()

    def _late(self) -> None:
        self.end(f"a message was begun and not finished within {self._around.message_seconds:g} s")

    def _press_back(self) -> None:
        if not self._session.wants_client_bytes:
            self._client.pause_reading()
        elif self._server.congested:
            self._pause_until_drained(self._server, self._client)
        elif self._server not in self._full:
            self._client.resume_reading()
        if self._client.congested:
            self._pause_until_drained(self._client, self._server)

    def _pause_until_drained(self, full: Wire, paused: Wire) -> None:
        paused.pause_reading()
        if full not in self._full:
            self._full.add(full)
            self._spawn(self._when_drained(full, paused))

    async def _when_drained(self, full: Wire, paused: Wire) -> None:
        try:
            await full.drain()
        except WireLost:
            return
        finally:
            self._full.discard(full)
        if paused is not self._client or self._session.wants_client_bytes:
            paused.resume_reading()

    # effects

    def _act(self, effect: events.Effect) -> None:
        match effect:
            case events.Held() | events.Allowed():
                self._wait(effect)
            case (
                events.Fingerprint() | events.Previewed() | events.Prepared() | events.NotPrepared()
                | events.Tried() | events.Outcome()
            ):  # fmt: skip
                if (found := self._waiting.get(effect.ticket)) is not None:
                    found.take(effect)
                elif isinstance(effect, events.Outcome):
                    self._ended(effect)
                if isinstance(effect, events.Outcome) and effect.ticket in self._movers:
                    # Before the caller hears of it: who is told by the caller asks no session that knows less.
                    self._movers.discard(effect.ticket)
                    self._tables_moved(self)
            case events.Withdrawn():
                if (found := self._waiting.get(effect.ticket)) is not None:
                    found.withdraw(effect.reason)
            case events.StageBegun() | events.Staged() | events.StageDropped() | events.SendStaged() | events.Copied():
                self._copies.act(effect, self._server)
            case events.Declined():
                self._declined(effect)
            case events.Rewound():
                # The server's own words may hold values.
                said = {"sqlstate": effect.sqlstate, "reason": effect.judgement.verdict.classification.reasons[0]}
                self._quietly(RecordType.RESULT, facts_of(effect.judgement, effect.text) | said)
            case events.KeepRecords():
                self._spawn(self._keep_records())
            case events.ForwardCancel():
                self._spawn(self._around.cancel())
            case events.Terminate():
                self.reason = effect.reason
                if effect.alarm:
                    self._quietly(RecordType.ALARM, {"reason": effect.reason})
            case _:
                assert_never(effect)

    def _wait(self, effect: events.Held | events.Allowed) -> None:
        # SET, DO, a function: what unqualified names mean may move with it, for the very next message already.
        moves_names = effect.judgement.verdict.classification.effect is Effect.PRIVILEGED
        if effect.judgement.verdict.classification.effect >= Effect.DDL:
            self._movers.add(effect.ticket)
        before = self._door.distrust_names if moves_names else _nothing
        waiting = WaitingCommand(effect.ticket, self._session, self._settle, self._records, before)
        self._waiting[effect.ticket] = waiting
        self._copies.hold(effect.ticket, effect.command.copy)
        run = self._hold if isinstance(effect, events.Held) else self._run_allowed
        self._spawn(self._attend(run, effect, waiting))

    def _ended(self, outcome: events.Outcome) -> None:
        """A write that went the quick way has ended."""
        found = self._written.pop(outcome.ticket, None)
        if found is None:
            return
        told = {"rows": outcome.rows, "sqlstate": outcome.sqlstate, "reason": outcome.reason, "xid": outcome.xid}
        try:
            known = {name: value for name, value in told.items() if value not in (None, "")}
            self._records.ended(found, OUTCOMES[outcome.ending], known)
        except TwokeysError as error:
            self._session.end(error.happened)

    async def _keep_records(self) -> None:
        try:
            await self._records.on_disk()
        except TwokeysError as error:
            self.end(error.happened)
            return
        self._session.on_disk()
        self._settle()

    def _declined(self, effect: events.Declined) -> None:
        fields: dict[str, object] = {} if effect.judgement is None else facts_of(effect.judgement, effect.text)
        fields |= {"outcome": "deny", "sqlstate": effect.sqlstate, "reason": effect.reason}
        body = msgspec.json.encode({"text": effect.text}) if effect.text else None
        self._quietly(RecordType.REFUSED, fields, body)

    def _quietly(self, kind: RecordType, fields: dict[str, object], body: bytes | None = None) -> None:
        """Record where there is nothing left to prevent; a journal that fails ends the session all the same."""
        try:
            self._records.append(kind, fields, body)
        except TwokeysError as error:
            self._session.end(error.happened)

    async def _attend(
        self,
        run: Callable[[Any, WaitingCommand], Coroutine[Any, Any, None]],
        effect: events.Held | events.Allowed,
        waiting: WaitingCommand,
    ) -> None:
        caller = self._facts.caller.id
        holds, people = self._around.holds, isinstance(effect, events.Held)
        if not (await holds.ask(caller) if people else holds.take(caller)):
            reason = "too many commands are waiting already"
            self._quietly(RecordType.REFUSED, {**facts_of(effect.judgement, effect.command.text), "reason": reason})
            waiting.deny(f"twokeys: denied: {reason}", "", "Wait for those to be decided, then send it again.")
            self._copies.forget(effect.ticket)
            self._waiting.pop(effect.ticket, None)
            return
        try:
            await run(effect, waiting)
        finally:
            (holds.answered if people else holds.give)(caller)
            self._copies.forget(effect.ticket)
            self._waiting.pop(effect.ticket, None)

    async def _hold(self, effect: events.Held, waiting: WaitingCommand) -> None:
        section, facts = self._around.section, self._facts
        if effect.judgement.decision.budget is not None:
            trial = Trial(effect, facts, self._door, self._records, self._around.holds.budgets)
            if await trial.run(waiting):
                return
        seconds = section.in_transaction_hold_seconds if effect.in_transaction else section.hold_seconds
        if effect.in_transaction and (most := effect.judgement.decision.in_transaction) is not None:
            seconds = min(seconds, most)
        wait = effect.judgement.decision.wait
        if wait is not None:
            wait, seconds = min(wait, seconds), section.hold_seconds
        held = Held(
            request_id(), facts.id, facts.target, facts.database, facts.caller, facts.client, effect.command,
            effect.judgement.verdict.classification, effect.judgement.decision, effect.in_transaction, seconds,
            effect.types, effect.judgement.verdict.starts, wait,
        )  # fmt: skip
        mask = ForReviewers(self._around.gate.classes, self._masks, effect.judgement.verdict.classification)
        attendant = Attendant(held, waiting, self._around.control, float(section.heartbeat_seconds), mask)
        ending = await hold(held, attendant, self._around.gate)
        if wait is not None:
            went_on = isinstance(ending, LeftOpen | Withdrawn)
            self._around.holds.leave_or_come_back(facts.caller.id, attendant.held.request_id, seconds if went_on else 0)
        if isinstance(ending, Denied | LeftOpen):
            waiting.deny(ending.message, ending.detail, ending.hint)

    async def _run_allowed(self, effect: events.Allowed, waiting: WaitingCommand) -> None:
        """A Command that policy allows outright, and that must be on disk first."""
        fields = facts_of(effect.judgement, effect.command.text) | {"in_transaction": effect.in_transaction}
        body = canonical(effect.command.to_json())
        try:
            if effect.judgement.writes:
                prepared = await waiting.prepare()
                fields |= {"xid": prepared.xid} if prepared.xid else {}
            sequence = await self._records.append_durable(RecordType.FORWARD, fields, body)
            permission = self._door.admit(effect.judgement)
        except CallerGone as gone:
            self._quietly(RecordType.RESULT, fields | {"outcome": "withdrawn", "reason": str(gone)})
            return
        except TwokeysError as error:
            await waiting.abort()
            self._quietly(RecordType.RESULT, fields | {"outcome": "failed", "reason": error.happened})
            waiting.deny(f"twokeys: {error.happened}", error.not_done, error.advice)
            return
        result = await waiting.forward(permission)
        fields |= {"outcome": result.outcome, "forward_seq": sequence}
        for name, value in (("rows", result.rows), ("sqlstate", result.sqlstate), ("reason", result.reason)):
            if value not in (None, ""):
                fields[name] = value
        self._quietly(RecordType.RESULT, fields, self._copies.body())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._broke(error)


def _nothing() -> None:
    return


def request_id() -> str:
    """A fresh Request id: 130 random bits."""
    return "req_" + b32encode(secrets.token_bytes(17)).decode("ascii").lower()[:26]
