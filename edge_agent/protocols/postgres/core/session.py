"""The session core: between a signed-in client and a read-only server session, without a socket.

    client bytes ─▶ whole messages ─▶ proven read?  ─yes─▶ forwarded at once                       (the hot path)
                                            └─no──▶ a script: one generator that blocks this client's input only
    server bytes ─▶ matched with what is owed ─▶ visible ones to the client, hidden ones to the script

Rules:
  1. `_forward` is the only place where a client's executable bytes get to the server, and it spends a Pass.
  2. The server session is read-only by its start-up options. A write runs in a read-write transaction, ours or the
     client's; whatever else runs in such a transaction runs under a read-only savepoint, the guard.
  3. Whatever isn't a proven read, or needs the session's state, is handled only when the server owes nothing: so state
     is known, not guessed.
  4. While a script runs, the client's further messages wait in a bounded queue.

Sources: https://www.postgresql.org/docs/current/protocol-flow.html; `scripts` has the slow paths.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeVar

from edge_agent.gate import Pass
from edge_agent.protocols.postgres import encode, messages, server_messages
from edge_agent.protocols.postgres.core import scripts
from edge_agent.protocols.postgres.core.events import (
    Answer,
    Cancelled,
    CancelUpstream,
    Effect,
    Judged,
    Note,
    Seen,
    Terminate,
    Withdrawn,
)
from edge_agent.protocols.postgres.core.expect import Entry, Exchange, Owed
from edge_agent.protocols.postgres.core.transaction import Transaction
from edge_agent.protocols.postgres.framing import Splitter
from edge_agent.protocols.postgres.limits import WireLimits
from edge_agent.protocols.postgres.messages import Bind, Parse
from twokeys.command import PostgresCommand, QueryProtocol
from twokeys.effect import Effect as Severity
from twokeys.errors import InvalidInput

IDLE, IN_TRANSACTION, FAILED = b"ITE"
"""Transaction status of ReadyForQuery."""

_COMPLETES: Final = {
    Owed.PARSE: b"1",
    Owed.BIND: b"2",
    Owed.CLOSE: b"3",
    Owed.DESCRIBE: b"Tn",
    Owed.EXECUTE: b"CIs",
}

ALARMS: Final = {
    b"default_transaction_read_only": b"on",
    b"standard_conforming_strings": b"on",
    b"client_encoding": b"UTF8",
}
"""Reports that must never change: the guard, and what the parser assumes of the text."""


class Door(Protocol):
    """Where Commands are judged. Remembers by exact text, so that a repeated one costs a look-up."""

    def judge(self, text: bytes, protocol: QueryProtocol) -> Judged:
        """The verdict, the Decision and perhaps a Pass for this text, now."""

    @property
    def may_write(self) -> bool:
        """Whether this caller could ever get a write; without, no transaction is lifted."""


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """What one client may make the core keep.

    Args:
        wire: Message sizes.
        held_bytes: Of messages waiting behind a held one; the shell stops reading above.
        statements: Prepared statements and portals.
    """

    wire: WireLimits = field(default_factory=WireLimits)
    held_bytes: int = 1 << 20
    statements: int = 10_000


@dataclass(frozen=True, slots=True)
class Portal:
    """A bound statement: what an Execute of it would run."""

    parse: Parse
    bind: Bind
    raw: bytes


T = TypeVar("T")
DRAIN: Final = "drain"
ANSWER: Final = "answer"
Wait = Exchange | str
Script = Generator[Wait, object, None]


class PostgresSession:
    """One client's session, after sign-in on both sides."""

    def __init__(
        self, door: Door, *, database: str, guard: str, reported: dict[str, str], limits: SessionLimits | None = None
    ) -> None:
        """Begin.

        Args:
            door: Judges texts.
            database: The session's database.
            guard: Unguessable name of the read-only savepoint, beginning with ``_tk``.
            reported: What the server reported at start-up.
        """
        self.limits = limits or SessionLimits()
        self.door, self.database, self.guard = door, database, guard
        self.status = IDLE
        self.application_name = reported.get("application_name", "")
        self.txn: Transaction | None = None
        self.statements: dict[bytes, Parse] = {}
        self.portals: dict[bytes, Portal] = {}
        self.owed: deque[Entry] = deque()
        self.bracketing = False
        self.group_open = False
        self.skipping = False
        self.ended = False
        self._pending_statements: dict[bytes, list[Parse]] = {}
        self._pending_portals: dict[bytes, list[Portal]] = {}
        self._client = Splitter(self.limits.wire.client_table)
        self._server = Splitter(self.limits.wire.server_table, streamed=b"Dd")
        self._to_server, self._to_client = bytearray(), bytearray()
        self._effects: list[Effect] = []
        self._notes: list[Note] = []
        self._queue: deque[bytes] = deque()
        self._queued = 0
        self._script: Script | None = None
        self._wait: Wait | None = None
        self._holding: int | None = None
        self._holds = 0
        self._answers: deque[Answer] = deque()

    # what the shell does

    def client_bytes(self, data: bytes) -> None:
        """Take bytes from the client, in any split."""
        if self.ended:
            return
        try:
            spans = self._client.feed(data)
            buffer = self._client.buffer
            for kind, start, end in spans:
                if self._script is not None or self._queue:
                    self._enqueue(kind, buffer[start:end])
                else:
                    self._client_message(kind, buffer, start, end)
                if self.ended:
                    return
        except InvalidInput as error:
            self.violate(error)

    def server_bytes(self, data: bytes) -> None:
        """Take bytes from the server, in any split."""
        if self.ended:
            return
        try:
            spans = self._server.feed(data)
            buffer = self._server.buffer
            for kind, start, end in spans:
                self._server_message(kind, buffer, start, end)
                if self.ended:
                    return
        except InvalidInput as error:
            self.terminate(f"the server broke the protocol: {error.happened}", alarm=True)

    def take_to_server(self) -> bytes:
        """What is to be written to the server now; after the notes are recorded."""
        data = bytes(self._to_server)
        self._to_server.clear()
        return data

    def take_to_client(self) -> bytes:
        """What is to be written to the client now."""
        data = bytes(self._to_client)
        self._to_client.clear()
        return data

    def take_effects(self) -> list[Effect]:
        """Rare things that the shell must act on; usually none."""
        if not self._effects:
            return []
        found, self._effects = self._effects, []
        return found

    def take_notes(self) -> list[Note]:
        """Commands to append to the journal before `take_to_server` is written."""
        if not self._notes:
            return []
        found, self._notes = self._notes, []
        return found

    @property
    def congested(self) -> bool:
        """Whether the client must not be read for now: enough of it waits already."""
        return self._queued > self.limits.held_bytes

    @property
    def holding(self) -> int | None:
        """The hold that waits now, if any."""
        return self._holding

    def answer(self, hold_id: int, answer: Answer) -> None:
        """Give the script what it waits for; ignored when that hold is over."""
        if self._holding == hold_id and not self.ended:
            self._answers.append(answer)
            self._look_at_script()

    def notice(self, text: str) -> None:
        """Tell the client something while its Command is held."""
        if self._holding is not None and not self._server.mid_message:
            self._to_client += encode.notice_response(text)

    def heartbeat(self) -> None:
        """Send something that no client shows: the application_name it has already."""
        if self._holding is not None and not self._server.mid_message:
            self._to_client += encode.parameter_status("application_name", self.application_name)

    def cancel(self) -> None:
        """A CancelRequest with this session's key came."""
        if self._holding is not None:
            self._effects.append(Withdrawn(self._holding, "the caller cancelled"))
            self.answer(self._holding, Cancelled())
        elif self.owed:
            self._effects.append(CancelUpstream())

    def client_gone(self) -> None:
        """The client's connection is over."""
        if self._holding is not None:
            self._effects.append(Withdrawn(self._holding, "the caller hung up"))
        self._finish("the caller hung up")

    def server_gone(self) -> None:
        """The server's connection is over."""
        if not self.ended:
            self.terminate("the server closed the connection", sqlstate="08006")

    # for scripts

    def forward(self, permission: Pass, data: bytes) -> None:
        """The one way of a client's executable bytes to the server."""
        permission.spend()
        self._to_server += data

    def send(self, data: bytes) -> None:
        """Bytes of ours, or of a client's message that executes nothing."""
        self._to_server += data

    def owe(self, entry: Entry) -> Entry:
        """Note what the server owes now."""
        if entry.exchange is not None:
            entry.exchange.left += 1
        self.owed.append(entry)
        return entry

    def show(self, data: bytes) -> None:
        """Bytes to the client."""
        self._to_client += data

    def tell(self, effect: Effect) -> None:
        """An effect to the shell."""
        self._effects.append(effect)

    def note(self, note: Note) -> None:
        """Something to be recorded before anything is written."""
        self._notes.append(note)

    def begin_hold(self) -> int:
        """A new hold id; the client's input waits from here on."""
        self._holds += 1
        self._holding = self._holds
        self._answers.clear()
        return self._holds

    def end_hold(self) -> None:
        """Nothing waits for people any more."""
        self._holding = None

    def forget_unnamed(self) -> None:
        """A simple Query destroys the unnamed statement and portal."""
        self.statements.pop(b"", None)
        self.portals.pop(b"", None)

    def forget_names(self) -> None:
        """Something may have changed what names mean: none is believed any more."""
        self.statements.clear()
        self.portals.clear()

    def violate(self, error: InvalidInput) -> None:
        """The client broke the protocol: nothing of it is forwarded, and the session ends."""
        self._to_client += encode.error_response(
            "08P01", f"twokeys: {error.happened}", severity="FATAL", detail=error.not_done, hint=error.advice
        )
        self._finish(f"the caller broke the protocol: {error.happened}")

    def terminate(self, reason: str, *, alarm: bool = False, sqlstate: str = "57P01") -> None:
        """End the session from our side."""
        self._to_client += encode.error_response(
            sqlstate, f"twokeys: {reason}", severity="FATAL", hint="Nothing more was run. Connect again."
        )
        self._finish(reason, alarm=alarm)

    def _finish(self, reason: str, *, alarm: bool = False) -> None:
        if self.ended:
            return
        self.ended = True
        self._to_server.clear()
        self._queue.clear()
        self._queued = 0
        script, self._script = self._script, None
        if script is not None:
            script.close()
        if self.txn is not None:
            for outcome in self.txn.connection_lost():
                self._effects.append(outcome)
        self._effects.append(Terminate(reason, alarm))

    # the client's messages

    def _enqueue(self, kind: int, raw: bytes) -> None:
        if kind == messages.TERMINATE:
            self.client_gone()
            return
        self._queue.append(raw)
        self._queued += len(raw)

    def _client_message(self, kind: int, data: bytes, start: int, end: int) -> None:
        match kind:
            case messages.QUERY:
                self._query(data, start, end)
            case messages.PARSE | messages.BIND | messages.DESCRIBE | messages.EXECUTE | messages.CLOSE:
                self.group_open = True
                if not self.skipping:
                    self._extended(kind, data, start, end)
            case messages.FLUSH:
                messages.read_empty(data, start, end)
                if not self.skipping:
                    self._to_server += encode.FLUSH_MESSAGE
            case messages.SYNC:
                messages.read_empty(data, start, end)
                self._sync()
            case messages.TERMINATE:
                self.client_gone()
            case messages.FUNCTION_CALL:
                self.begin(scripts.refuse_function_call(self))
            case messages.COPY_DATA | messages.COPY_DONE | messages.COPY_FAIL:
                # Outside a copy the server passes them over too (PostgresMain): a client may stream on after an error.
                return
            case _:
                raise InvalidInput("A message came out of turn.", not_done="It was not forwarded.")

    def _query(self, data: bytes, start: int, end: int) -> None:
        if self.skipping:
            return
        text = messages.read_query(data, start, end)
        judged = self.door.judge(text, QueryProtocol.SIMPLE)
        permission, txn = judged.permission, self.txn
        if permission is not None and self._plain(judged) and not self.group_open and (txn is None or not txn.lifted):
            self._notes.append(Seen(PostgresCommand(QueryProtocol.SIMPLE, text), judged))
            self.forget_unnamed()
            self.forward(permission, data[start:end])
            self.owed.append(Entry(Owed.QUERY, True))
            return
        self.begin(scripts.query(self, PostgresCommand(QueryProtocol.SIMPLE, text), data[start:end], judged))

    @staticmethod
    def _plain(judged: Judged) -> bool:
        """Whether it only reads, and leaves the session as it is."""
        verdict = judged.verdict
        return (
            verdict.classification.effect is Severity.READ
            and not verdict.actions
            and not verdict.refusal
            and not verdict.resets_session
            and verdict.classification.kind not in scripts.RENAMING
        )

    def _extended(self, kind: int, data: bytes, start: int, end: int) -> None:
        raw = data[start:end]
        txn = self.txn
        if txn is not None and txn.lifted and not txn.guarded and self.status != FAILED and kind != messages.CLOSE:
            scripts.open_guard(self, txn)
        match kind:
            case messages.PARSE:
                self._parse(messages.read_parse(data, start, end), raw)
            case messages.BIND:
                self._bind(messages.read_bind(data, start, end), raw)
            case messages.DESCRIBE:
                messages.read_describe(data, start, end)
                self._to_server += raw
                self.owed.append(Entry(Owed.DESCRIBE, True))
            case messages.CLOSE:
                self._close(messages.read_describe(data, start, end), raw)
            case _:
                self._execute(messages.read_execute(data, start, end), raw)

    def _parse(self, parse: Parse, raw: bytes) -> None:
        if len(self.statements) >= self.limits.statements and parse.name not in self.statements:
            self.begin(
                scripts.deny_in_group(
                    self, "53400", f"more than {self.limits.statements} prepared statements", "Close some."
                )
            )
            return
        verdict = self.door.judge(parse.sql, QueryProtocol.EXTENDED).verdict
        if verdict.refusal:
            self.begin(
                scripts.deny_in_group(
                    self,
                    "42501",
                    verdict.refusal,
                    "Nothing was run.",
                    PostgresCommand(QueryProtocol.EXTENDED, parse.sql),
                )
            )
            return
        pending = self._pending_statements.setdefault(parse.name, [])
        pending.append(parse)
        self._to_server += raw
        entry = self.owe(Entry(Owed.PARSE, True))
        entry.done = lambda: self._confirm_statement(parse)
        entry.failed = lambda: _drop(self._pending_statements, parse.name, parse)

    def _confirm_statement(self, parse: Parse) -> None:
        _drop(self._pending_statements, parse.name, parse)
        self.statements[parse.name] = parse

    def statement(self, name: bytes) -> Parse | None:
        """What this name will mean once all that was sent is answered; errors skip whatever relied on it."""
        pending = self._pending_statements.get(name)
        return pending[-1] if pending else self.statements.get(name)

    def portal(self, name: bytes) -> Portal | None:
        """The same for a portal."""
        pending = self._pending_portals.get(name)
        return pending[-1] if pending else self.portals.get(name)

    def _bind(self, bind: Bind, raw: bytes) -> None:
        parse = self.statement(bind.statement)
        if parse is None:
            self.begin(
                scripts.deny_in_group(
                    self,
                    "26000",
                    f"prepared statement {bind.statement.decode('utf-8', 'replace')!r} is not known here",
                    "Prepare it by the extended protocol in this session.",
                )
            )
            return
        if len(self.portals) >= self.limits.statements and bind.portal not in self.portals:
            self.begin(
                scripts.deny_in_group(self, "53400", f"more than {self.limits.statements} portals", "Close some.")
            )
            return
        portal = Portal(parse, bind, raw)
        self._pending_portals.setdefault(bind.portal, []).append(portal)
        self._to_server += raw
        entry = self.owe(Entry(Owed.BIND, True))
        entry.done = lambda: self._confirm_portal(portal)
        entry.failed = lambda: _drop(self._pending_portals, bind.portal, portal)

    def _confirm_portal(self, portal: Portal) -> None:
        _drop(self._pending_portals, portal.bind.portal, portal)
        self.portals[portal.bind.portal] = portal

    def _close(self, close: messages.Describe, raw: bytes) -> None:
        self._to_server += raw
        entry = self.owe(Entry(Owed.CLOSE, True))
        if close.kind == b"S":
            entry.done = lambda: self.statements.pop(close.name, None)
        else:
            entry.done = lambda: self.portals.pop(close.name, None)

    def _execute(self, execute: messages.Execute, raw: bytes) -> None:
        portal = self.portal(execute.portal)
        if portal is None:
            self.begin(
                scripts.deny_in_group(
                    self,
                    "34000",
                    f"portal {execute.portal.decode('utf-8', 'replace')!r} is not known here",
                    "Bind it by the extended protocol first.",
                )
            )
            return
        judged = self.door.judge(portal.parse.sql, QueryProtocol.EXTENDED)
        command = command_of(portal)
        permission = judged.permission
        if permission is not None and self._plain(judged):
            self._notes.append(Seen(command, judged))
            self.forward(permission, raw)
            self.owed.append(Entry(Owed.EXECUTE, True))
            return
        self.begin(scripts.execute(self, command, portal, execute, raw, judged))

    def _sync(self) -> None:
        self.group_open = False
        txn = self.txn
        if txn is not None and txn.hidden:
            self.begin(scripts.sync_hidden(self, txn))
            return
        if txn is not None and txn.guarded:
            scripts.close_guard(self, txn)
        self.skipping = False
        self._to_server += encode.SYNC_MESSAGE
        self.owed.append(Entry(Owed.SYNC, True))

    # scripts

    def begin(self, script: Script) -> None:
        """Run a script; this client's input waits until it ends."""
        self._script = script
        self._wait = None
        self._advance(None)

    def _advance(self, value: object) -> None:
        while (script := self._script) is not None:
            try:
                self._wait = script.send(value)
            except StopIteration:
                if self._script is script:
                    self._script, self._wait, self._holding = None, None, None
                    self._resume()
                return
            if not self._satisfied():
                return
            value = self._answers.popleft() if self._wait == ANSWER else None

    def _satisfied(self) -> bool:
        match self._wait:
            case Exchange():
                return self._wait.left == 0
            case "drain":
                return not self.owed
            case _:
                return bool(self._answers)

    def _resume(self) -> None:
        while self._queue and self._script is None and not self.ended:
            raw = self._queue.popleft()
            self._queued -= len(raw)
            try:
                self._client_message(raw[0], raw, 0, len(raw))
            except InvalidInput as error:
                self.violate(error)

    # the server's messages

    def _server_message(self, kind: int, data: bytes, start: int, end: int) -> None:
        match kind:
            case server_messages.PARAMETER_STATUS:
                self._parameter(data, start, end)
            case server_messages.NOTICE_RESPONSE:
                if not self.owed or self.owed[0].visible:
                    self._to_client += data[start:end]
            case server_messages.NOTIFICATION_RESPONSE:
                self._to_client += data[start:end]
            case server_messages.ERROR_RESPONSE:
                self._error(data, start, end)
            case server_messages.READY_FOR_QUERY:
                self._ready(data, start, end)
            case (
                server_messages.COPY_IN
                | server_messages.COPY_BOTH
                | server_messages.AUTHENTICATION
                | server_messages.BACKEND_KEY_DATA
                | server_messages.FUNCTION_CALL_RESPONSE
            ):
                self.terminate("the server began something that was not asked for", alarm=True)
            case _:
                self._answer(kind, data, start, end)

    def _answer(self, kind: int, data: bytes, start: int, end: int) -> None:
        if not self.owed:
            self.terminate("the server answered without a question", alarm=True)
            return
        entry = self.owed[0]
        exchange = entry.exchange
        if exchange is not None and kind == server_messages.COMMAND_COMPLETE:
            exchange.tags.append(server_messages.read_command_complete(data, start, end))
            if entry.keep_complete:
                # Only the last one waits for the commit; an earlier one of the same text is released by the next.
                self._to_client += exchange.kept
                exchange.kept = data[start:end]
                return
        elif exchange is not None and not entry.visible and kind == server_messages.DATA_ROW:
            exchange.rows.append(data[start:end])
        if entry.visible:
            if entry.keep_complete and exchange is not None and exchange.kept:
                self._to_client += exchange.kept
                exchange.kept = b""
            self._to_client += data[start:end]
        if kind in _COMPLETES.get(entry.owed, b""):
            self._complete()

    def _complete(self) -> None:
        entry = self.owed.popleft()
        entry.done()
        if entry.exchange is not None:
            entry.exchange.left -= 1
        self._look_at_script()

    def _look_at_script(self) -> None:
        if self._script is not None and self._satisfied():
            self._advance(self._answers.popleft() if self._wait == ANSWER else None)

    def _error(self, data: bytes, start: int, end: int) -> None:
        fields = server_messages.read_fields(data, start, end)
        if not self.owed:
            # The server ends the session by itself (57P01 and its kin): pass its word on.
            self._to_client += data[start:end]
            return
        first = self.owed[0]
        if first.visible or first.exchange is None:
            self._to_client += data[start:end]
        if first.exchange is not None:
            first.exchange.error = fields
            first.exchange.error_message = data[start:end]
        if first.owed is Owed.QUERY or first.owed is Owed.SYNC:
            return
        while self.owed and self.owed[0].owed is not Owed.SYNC:
            entry = self.owed.popleft()
            entry.failed()
            if entry.exchange is not None:
                entry.exchange.left -= 1
                if entry.exchange.error is None:
                    entry.exchange.error = fields
        self.skipping = not any(entry.visible for entry in self.owed)
        self._look_at_script()

    def _ready(self, data: bytes, start: int, end: int) -> None:
        self.status = server_messages.read_ready(data, start, end)
        if not self.owed or self.owed[0].owed not in (Owed.QUERY, Owed.SYNC):
            self.terminate("the server was ready out of turn", alarm=True)
            return
        entry = self.owed[0]
        if entry.visible and not entry.keep_ready:
            self._to_client += data[start:end]
        if self.status == IDLE:
            self.portals.clear()
        self._complete()

    def _parameter(self, data: bytes, start: int, end: int) -> None:
        report = server_messages.read_parameter_status(data, start, end)
        if report.name == b"default_transaction_read_only" and self.bracketing:
            return
        if ALARMS.get(report.name, report.value) != report.value:
            name = report.name.decode("ascii", "replace")
            self.terminate(
                f"the server reports that {name} was changed, which nobody approved", alarm=True, sqlstate="28000"
            )
            return
        if report.name == b"application_name":
            self.application_name = report.value.decode("utf-8", "replace")
        if report.name != b"default_transaction_read_only":
            self._to_client += data[start:end]


def command_of(portal: Portal) -> PostgresCommand:
    """The Command that an Execute of this portal is: formats in full (Bind, "number of parameter format codes")."""
    values, formats = portal.bind.values, portal.bind.formats
    if not formats:
        formats = (0,) * len(values)
    elif len(formats) == 1:
        formats = formats * len(values)
    return PostgresCommand(QueryProtocol.EXTENDED, portal.parse.sql, portal.parse.types, formats, values)


def _drop(pending: dict[bytes, list[T]], name: bytes, item: T) -> None:
    found = pending.get(name, [])
    if item in found:
        found.remove(item)
    if not found:
        pending.pop(name, None)
