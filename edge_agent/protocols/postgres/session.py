"""The session after sign-in: between the client's and the server's stream of bytes. No I/O.

    client bytes ─▶ Session ─▶ server bytes        reads that policy allows pass at once
                       │                           everything else is a step: it waits, is refused, or is tracked
    server bytes ─▶ Session ─▶ client bytes
                       └─▶ effects ─▶ shell ─▶ orders

Rules:
  1. A text is judged as one Command: a Query whole, an extended statement at its Execute, by the position of its
     messages in the pipeline. What is no proven and allowed read waits in a step; while one is under way, or a Query or
     Sync unanswered, later bytes of the client are kept (bounded: see `wants_client_bytes`), not looked at.
  2. The upstream session was started with default_transaction_read_only=on. A write runs in a transaction that is
     read-write for it alone; `core` and `write_step` say how.
  3. What is not understood is never forwarded: it is refused, or ends the session.

The shell shows each chunk to the `lane` first. After any other call it appends `take_records` to the journal, acts on
`take_effects`, then writes `take_to_server` and `take_to_client`, one write each.
https://www.postgresql.org/docs/current/protocol-flow.html
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec

from edge_agent.gate import Pass
from edge_agent.mask.owed import Masks
from edge_agent.preview.question import Question
from edge_agent.protocols.postgres import encode, messages, sqlstate
from edge_agent.protocols.postgres.client import Client
from edge_agent.protocols.postgres.core import Core, Step, Want
from edge_agent.protocols.postgres.door import Door
from edge_agent.protocols.postgres.events import (
    Abort,
    AskFingerprint,
    AskPreview,
    Deny,
    Effect,
    Ending,
    Forward,
    ForwardCancel,
    Forwarded,
    Order,
    Outcome,
    Prepare,
    Terminate,
    Withdraw,
    Withdrawn,
    Written,
)
from edge_agent.protocols.postgres.expect import Expected
from edge_agent.protocols.postgres.framing import Splitter
from edge_agent.protocols.postgres.hidden import Hidden
from edge_agent.protocols.postgres.lane import Lane
from edge_agent.protocols.postgres.learn import learned
from edge_agent.protocols.postgres.limits import WireLimits
from edge_agent.protocols.postgres.link import FAILED, IDLE, IN_TRANSACTION, Broken, Link
from edge_agent.protocols.postgres.pipeline import SessionLimits
from edge_agent.protocols.postgres.rewind import Chunk, Doubt, Unit, advice, find, rewind
from twokeys.errors import InvalidInput, Refused

P = ParamSpec("P")

_HEARTBEAT = b"application_name"
"""The setting whose unchanged value is reported as a heartbeat: no client shows or minds it."""


class Session:
    """One client's session, from the first ReadyForQuery on.

    Args:
        door: Judges and admits.
        guard: The savepoint's name: `_tk` and enough randomness that nobody guesses it, lower case.
        limits: What a client may make us keep.
        wire: Sizes of messages.
        application_name: As the server reported it at sign-in.
        masks: What the caller is not to see; None: it may see everything.
        path_reported: The server reports a search_path that moved, as PostgreSQL does since 18.
    """

    def __init__(
        self, door: Door, *, guard: str, limits: SessionLimits | None = None, wire: WireLimits | None = None,
        application_name: str = "", masks: Masks | None = None, path_reported: bool = False,
    ) -> None:  # fmt: skip
        wire, limits = wire or WireLimits(), limits or SessionLimits()
        masks = masks if masks is not None else Masks(tuple)
        self._splitter = Splitter(wire.client_table)
        self._core = Core(Link(wire, limits, application_name.encode()), door, limits, Hidden(guard), masks)
        self._core.link.masks, self._core.path_reported = masks, path_reported
        self._core.link.doubted = self._doubted
        self._client = Client(self._core, self._begin)
        self._unit = Unit(limits.waiting_bytes)
        self._waiting = bytearray()
        self._later: Chunk = ([], 0, b"")
        self._step: Step | None = None
        self._want = Want.QUIET
        self._deserted = False
        self.lane = Lane(self._core, wire, self._is_at_rest, self._begin)
        """Each chunk is shown to it first: see `Lane.take` and `Lane.answers`."""
        self.over = False
        """The session has ended: write what is left, then close both sides."""

    # bytes

    def client_bytes(self, data: bytes) -> None:
        """Take bytes from the client."""
        self._wake()
        if self.over or self._deserted:
            return
        if self._waiting or self._step is not None or self._core.link.unanswered or self._unread:
            if self._core.intake is not None and not self._waiting and not self._unread:
                self._guarded(self._take_copy, data)
                return
            self._waiting += data
            return
        self._guarded(self._read, data)

    def server_bytes(self, data: bytes) -> None:
        """Take bytes from the server."""
        self._wake()
        if not self.over:
            self._guarded(self._core.link.feed, data)

    def take_to_server(self) -> bytes:
        """What is to be written to the server now. Append `take_records` to the journal before it."""
        return self._core.link.take_to_server()

    def take_to_client(self) -> bytes:
        """What is to be written to the client now."""
        data = self._core.link.take_to_client()
        return b"" if self._deserted else data

    def take_effects(self) -> list[Effect]:
        """What the shell has to do or know; mostly empty."""
        found = self._core.effects
        if found:
            self._core.effects = []
        return found

    def take_records(self) -> list[Forwarded | Written]:
        """What is about to be forwarded since the last call."""
        found = self._core.records
        if found:
            self._core.records = []
        return found

    @property
    def wants_client_bytes(self) -> bool:
        """Whether the shell should read on from the client; when not, it must still see a hang-up."""
        return len(self._waiting) < self._core.limits.waiting_bytes

    @property
    def status(self) -> int:
        """The server's last ReadyForQuery: I, T or E."""
        return self._core.link.status

    # orders: what the shell says about the Command that waits. False: that ticket does not wait (any more).

    def fingerprint(self, ticket: int) -> bool:
        """Ask the server what the session means now; the effect Fingerprint answers."""
        return self._order(ticket, AskFingerprint())

    def preview(self, ticket: int, question: Question) -> bool:
        """Ask a question of a preview, which leaves nothing behind; the effect Previewed answers."""
        return self._order(ticket, AskPreview(question))

    def prepare(self, ticket: int) -> bool:
        """Bring the server to where the Command can be forwarded; the effect Prepared answers."""
        return self._order(ticket, Prepare())

    def abort(self, ticket: int) -> bool:
        """Undo `prepare`; the Command goes on waiting."""
        return self._order(ticket, Abort())

    def forward(self, ticket: int, permission: Pass) -> bool:
        """Run the Command, once; the effect Outcome answers. When False nothing was or will be forwarded."""
        return self._order(ticket, Forward(permission))

    def deny(self, ticket: int, denial: Deny) -> bool:
        """Answer the Command with an error; session and transaction stay usable."""
        return self._order(ticket, denial)

    def on_disk(self) -> None:
        """All that was recorded when KeepRecords was told is on disk."""
        self._core.on_disk = True
        if not self.over:
            self._guarded(_no_work)

    def forget_columns(self) -> None:
        """What is known of classified columns no longer holds."""
        self._core.masks.forget()

    def learn(self) -> bool:
        """Ask the server about classified columns, as soon as the session is idle. False: there is nothing to ask."""
        if not self._core.masks.look_again():
            return False
        if not self.over:
            self._guarded(_no_work)
        return True

    # staged data of a COPY

    def send_data(self, ticket: int, data: bytes) -> bool:
        """Give the server the next of the data staged for a ticket. False: it takes no more."""
        if self.over or not ticket or ticket != self._core.sending:
            return False
        self._core.link.send(encode.copy_data(data), None)
        return True

    def end_data(self, ticket: int, failure: str = "") -> None:
        """All of it was sent; with a `failure` the server is told to drop it."""
        if self.over or not ticket or ticket != self._core.sending:
            return
        self._core.sending = 0
        self._core.link.send(encode.copy_fail(failure) if failure else encode.COPY_DONE_MESSAGE, None)
        self._guarded(_no_work)

    def refuse_data(self, reason: str) -> None:
        """What the client copies in can't be staged: answer it with an error."""
        if not self.over and self._core.intake is not None:
            self._core.intake.fail(sqlstate.LIMIT_EXCEEDED, f"twokeys: refused: {reason}")
            self._guarded(_no_work)

    def notice(self, text: str) -> None:
        """Tell the client something, at once."""
        self._say(encode.notice_response(text))

    def heartbeat(self) -> None:
        """Send the client something that it does not see, against idle timeouts on the way."""
        self._say(encode.parameter_status(_HEARTBEAT, self._core.link.application_name))

    def cancel(self) -> None:
        """A CancelRequest of this session's client came."""
        self._wake()
        core = self._core
        if self.over:
            return
        if core.waiting:
            self._order(core.ticket, Withdraw("the caller cancelled"))
        elif core.intake is not None:
            core.intake.fail(sqlstate.QUERY_CANCELED, "canceling statement due to user request")
            self._guarded(_no_work)
        elif core.link.showing:
            core.effects.append(ForwardCancel())

    def client_gone(self) -> None:
        """The client hung up. What was forwarded is seen to its end; what was not is not."""
        self._wake()
        if self.over or self._deserted:
            return
        self._deserted = True
        core = self._core
        if core.waiting or (core.flight is None and not core.committing and not core.link.bracket):
            self._end("the caller hung up")
        elif core.intake is not None:
            self._guarded(_no_work)

    def server_gone(self) -> None:
        """The server hung up."""
        self._wake()
        if not self.over:
            self._end("the server closed the connection", sqlstate.CONNECTION_FAILURE)

    def end(self, reason: str) -> None:
        """End the session from our side: the journal failed, or the Edge stops."""
        self._wake()
        if not self.over:
            self._end(reason, sqlstate.ADMIN_SHUTDOWN)

    @property
    def owed(self) -> int:
        """The number of the message of which the caller sent a part, and we wait for the rest; 0: none.

        While a statement runs or is held, later bytes are not read, so that nothing is owed.
        """
        splitter, core = self._splitter, self._core
        if not splitter.pending or self.over or self._waiting:
            return 0
        busy = self._step is not None or core.link.unanswered
        return splitter.begun if core.intake is not None or not busy else 0

    @property
    def owed_bytes(self) -> int:
        """How much of a message came whose rest did not."""
        return self._splitter.pending

    # the machine

    @property
    def _unread(self) -> bool:
        return self._later[1] < len(self._later[0])

    def _order(self, ticket: int, order: Order) -> bool:
        core = self._core
        if self.over or not core.waiting or ticket != core.ticket:
            return False
        if any(isinstance(other, Forward | Deny | Withdraw) for other in core.orders):
            return False
        core.orders.append(order)
        self._guarded(self._process)
        return True

    def _say(self, data: bytes) -> None:
        if not self.over and not self._core.link.mid_message:
            self._core.link.say(data)

    def _guarded(self, work: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        """Do the work and whatever it sets free; whatever breaks ends the session."""
        self._wake()
        try:
            work(*args, **kwargs)
            self._pump()
        except Broken as broken:
            self._end(str(broken), sqlstate.CONNECTION_FAILURE, alarm=broken.alarm)
        except InvalidInput as error:
            self._end(error.happened, sqlstate.PROTOCOL_VIOLATION)
        except Refused as error:
            # A Pass that was used, or that the gate would not build: nothing was forwarded by it.
            self._end(error.happened, sqlstate.INSUFFICIENT_PRIVILEGE, alarm=error.code == "pass_spent")

    def _is_at_rest(self) -> bool:
        """Whether nothing is under way."""
        core = self._core
        link = core.link
        if self.over or self._deserted or self._waiting or self._step is not None or self._unread:
            return False
        if not link.at_rest or self._splitter.pending or core.grouped or core.unsynced or core.masks.stale:
            return False
        if core.own is not None or core.tail is not None or core.flight is not None:
            return False
        if core.waiting or core.committing or core.intake is not None or core.sending or core.dropping:
            return False
        if core.transaction is None:
            return link.status == IDLE
        return link.status == IN_TRANSACTION

    def _wake(self) -> None:
        """Something happens that is not the lane's: what is in flight goes on the general way."""
        self.lane.rests = None
        data = self.lane.pending
        if data:
            left = self.lane.tell()
            spans, unit = self._splitter.feed(data), self._unit
            unit.forget()
            unit.spans, unit.first = spans, 0
            # Kept until the answer has come: what the server calls a write is handed in again.
            self._later = (spans, len(spans) - left, self._splitter.buffer)

    def _begin(self, step: Step) -> None:
        """Begin a step; `_pump` carries it on."""
        self._step, self._want = step, Want.QUIET
        self._resume(None, first=True)

    def _resume(self, order: Order | None, *, first: bool = False) -> None:
        step = self._step
        if step is None:
            return
        try:
            self._want = next(step) if first else step.send(order)
        except StopIteration:
            self._step = None

    def _pump(self) -> None:
        """Carry on as far as the server's answers and the shell's orders reach."""
        core = self._core
        link = core.link
        while not self.over:
            if self._step is not None:
                if self._want is Want.QUIET:
                    if not link.quiet:
                        return
                    self._resume(None)
                elif self._want is Want.DISK:
                    if not core.on_disk:
                        return
                    self._resume(None)
                elif self._want is Want.COPY:
                    if core.until():
                        self._resume(None)
                    elif self._take_more_copy():
                        continue
                    elif self._deserted and core.intake is not None:
                        core.intake.fail(sqlstate.CONNECTION_FAILURE, "the caller hung up")
                    else:
                        return
                elif core.orders:
                    self._resume(core.orders.popleft())
                elif self._deserted:
                    # Gone while it ran on probation, which left nothing: it waits again, and nobody for it.
                    self._end("the caller hung up")
                else:
                    return
                continue
            if self._deserted:
                self._end("the caller hung up")
                return
            if link.unanswered:
                return
            if link.quiet and not core.unsynced:
                core.settle()
                if core.masks.stale and link.status != FAILED and not core.grouped:
                    core.masks.stale = False
                    self._begin(learned(core))
                    continue
            if self._unread:
                self._process()
            elif self._waiting:
                data = bytes(self._waiting)
                self._waiting.clear()
                self._read(data)
            else:
                return

    def _read(self, data: bytes) -> None:
        spans = self._splitter.feed(data)
        if spans:
            self._later = (spans, 0, self._splitter.buffer)
            self._process()

    def _process(self) -> None:
        """Handle the client's messages until one has to be waited for."""
        spans, at, buffer = self._later
        core, unit = self._core, self._unit
        link, handle = core.link, self._client.handle
        count = len(spans)
        if spans is not unit.spans or not core.grouped:
            if unit.size and not core.grouped:
                unit.forget()
            unit.spans, unit.first = spans, at
        while at < count and self._step is None and not link.unanswered and not self.over:
            kind, start, end = spans[at]
            if kind == messages.EXECUTE:
                core.sync_next = at + 1 < count and spans[at + 1][0] == messages.SYNC
            if not handle(kind, buffer, start, end):
                # A Query out of turn: the open group is ended first, then it is looked at again.
                continue
            at += 1
            if kind == messages.TERMINATE:
                self._later = ([], 0, b"")
                self._end("the caller ended the session")
                return
        # Kept until the answer has come: what the server calls a write is handed in again.
        self._later = (spans, at, buffer)
        if core.grouped:
            unit.keep(self._later)

    def _doubted(self, front: Expected, error: dict[str, bytes], told: bool) -> bool:
        """The server said that a read writes. True when it is seen to: see `rewind`."""
        core, step = self._core, self._step
        chunk = self._unit.whole(self._later)
        if chunk is None or self.over:
            core.link.advice = advice(core)
            return False
        self._later = chunk
        index = find(core, front, chunk, waits=step is not None and not core.out_of_turn)
        if index is None:
            core.link.advice = advice(core)
            return False
        if core.tail is not None:
            core.tail.undo()
            core.tail = None
        if step is not None:
            # It waits for this very group; its message is handed in again too.
            step.close()
        self._step, self._want = rewind(core, Doubt(chunk, index, error, told), self._hand_in), Want.QUIET
        return True

    def _hand_in(self, chunk: Chunk) -> None:
        self._later = chunk

    # COPY FROM STDIN

    def _take_copy(self, data: bytes = b"") -> None:
        """Let the intake have the messages, up to its end."""
        if data:
            self._later = (self._splitter.feed(data), 0, self._splitter.buffer)
        spans, at, buffer = self._later
        intake = self._core.intake
        while at < len(spans) and intake is not None and not intake.over:
            intake.take(spans[at][0], buffer, spans[at][1], spans[at][2])
            at += 1
        self._later = (spans, at, buffer) if at < len(spans) else ([], 0, b"")

    def _take_more_copy(self) -> bool:
        if self._core.intake is None or not (self._unread or self._waiting):
            return False
        data = b""
        if not self._unread:
            data = bytes(self._waiting)
            self._waiting.clear()
        self._take_copy(data)
        return True

    # the end

    def _end(self, reason: str, state: str = "", *, alarm: bool = False) -> None:
        core = self._core
        self.over = True
        self.lane.pending = b""
        self.lane.rests = False
        self._step = None
        self._waiting.clear()
        if core.waiting:
            core.waiting = False
            core.effects.append(Withdrawn(core.ticket, reason))
            if any(isinstance(order, Forward) for order in core.orders):
                core.effects.append(Outcome(core.ticket, Ending.FAILED, reason=f"not forwarded: {reason}"))
        self._end_writes(reason)
        # What the shell has not taken was recorded or not: it is not sent, so nothing new begins.
        core.link.forget_unsent()
        core.link.send(encode.TERMINATE_MESSAGE, None)
        if state and not core.link.mid_message:
            core.link.say(encode.error_response(state, f"twokeys: the session ended: {reason}", severity="FATAL"))
        core.effects.append(Terminate(reason, alarm))

    def _end_writes(self, reason: str) -> None:
        core = self._core
        if core.flight is not None:
            write, lost = core.flight.write, core.flight.lost
            core.effects.append(Outcome(write.ticket, lost, None, "", reason, write.xid))
            core.flight = None
        ending = Ending.UNKNOWN if core.committing else Ending.ROLLED_BACK
        if core.own:
            core.end_writes(core.own, ending, "", reason)
        if core.transaction is not None:
            core.end_writes(core.transaction.writes, ending, "", reason)
        core.own, core.transaction = None, None


def _no_work() -> None:
    """For `_guarded`: only carry on."""
