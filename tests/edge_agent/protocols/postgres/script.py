"""A script of events for the session core, with a small model of the server on the other side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from edge_agent.protocols.postgres import encode, messages
from edge_agent.protocols.postgres import server_messages as server
from edge_agent.protocols.postgres.events import (
    Allowed,
    Deny,
    Effect,
    Fingerprint,
    Forwarded,
    Held,
    KeepRecords,
    NotPrepared,
    Prepared,
    Written,
)
from edge_agent.protocols.postgres.framing import Splitter
from edge_agent.protocols.postgres.limits import WireLimits
from edge_agent.protocols.postgres.pipeline import SessionLimits
from edge_agent.protocols.postgres.session import Session
from tests.edge_agent.protocols.postgres.doors import TestDoor

GUARD = "_tk0123456789"
GUARD_BYTES = GUARD.encode()


def data_row(*values: bytes) -> bytes:
    """A DataRow of text values."""
    body = len(values).to_bytes(2, "big") + b"".join(len(value).to_bytes(4, "big") + value for value in values)
    return encode.message(b"D", body)


ROW_DESCRIPTION = encode.message(b"T", b"\0\1a\0" + b"\0" * 18)
_CONTROL = (b"BEGIN", b"COMMIT", b"ROLLBACK")
PARAMETERS = encode.message(b"t", b"\0\0")


@dataclass
class Server:
    """Enough of PostgreSQL: transactions, names, skipping to Sync. Texts with `boom` fail, with `late` at COMMIT;
    those with `trap` read and write."""

    status: int = ord("I")
    statements: dict[bytes, bytes] = field(default_factory=dict)
    portals: dict[bytes, bytes] = field(default_factory=dict)
    ran: list[tuple[str, bytes, bool]] = field(default_factory=list)
    """Protocol, text, and whether the transaction was read-only, of what was run and was not ours."""
    skipping: bool = False
    read_only: bool = True
    default_read_only: bool = True
    deferred: bool = False
    savepoints: list[tuple[bytes, bool]] = field(default_factory=list)
    splitter: Splitter = field(default_factory=lambda: Splitter(WireLimits().client_table))
    over: bool = False

    def feed(self, data: bytes) -> bytes:
        """Answer what a client sent."""
        out = []
        for kind, start, end in self.splitter.feed(data):
            out.append(self._message(kind, self.splitter.buffer, start, end))
        return b"".join(out)

    def _message(self, kind: int, data: bytes, start: int, end: int) -> bytes:
        if kind == messages.TERMINATE:
            self.over = True
            return b""
        if kind == messages.SYNC:
            self.skipping = False
            return self._ready()
        if self.skipping or self.over:
            return b""
        if kind == messages.QUERY:
            self.statements.pop(b"", None)
            self.portals.pop(b"", None)
            return self._simple(messages.read_query(data, start, end)) + self._ready()
        return self._extended(kind, data, start, end)

    def _simple(self, text: bytes) -> bytes:
        """Run a Query's statements, up to the first that fails."""
        out = b""
        for statement in text.split(b"; "):
            out += (answer := self._run("simple", statement))
            if answer.startswith(b"E"):
                break
        return out

    def _extended(self, kind: int, data: bytes, start: int, end: int) -> bytes:
        match kind:
            case messages.PARSE:
                parse = messages.read_parse(data, start, end)
                if b"unparsable" in parse.sql or (parse.name and parse.name in self.statements):
                    return self._error("42601")
                self.statements[parse.name] = parse.sql
                return encode.PARSE_COMPLETE_MESSAGE
            case messages.BIND:
                bind = messages.read_bind(data, start, end)
                if bind.statement not in self.statements:
                    return self._error("26000")
                self.portals[bind.portal] = self.statements[bind.statement]
                return encode.BIND_COMPLETE_MESSAGE
            case messages.DESCRIBE:
                describe = messages.read_describe(data, start, end)
                found = (self.statements if describe.kind == b"S" else self.portals).get(describe.name, b"")
                rows = encode.NO_DATA_MESSAGE if found in _CONTROL else ROW_DESCRIPTION
                return (PARAMETERS if describe.kind == b"S" else b"") + rows
            case messages.EXECUTE:
                execute = messages.read_execute(data, start, end)
                if execute.portal not in self.portals:
                    return self._error("34000")
                return self._run("extended", self.portals[execute.portal])
            case messages.CLOSE:
                close = messages.read_describe(data, start, end)
                (self.statements if close.kind == b"S" else self.portals).pop(close.name, None)
                return encode.CLOSE_COMPLETE_MESSAGE
        return b""

    def _ready(self) -> bytes:
        if self.status == ord("I"):
            self.portals.clear()
            self.read_only = self.default_read_only
        return encode.ready_for_query(self.status)

    def _error(self, state: str) -> bytes:
        self.skipping = True
        if self.status == ord("T"):
            self.status = ord("E")
        return encode.error_response(state, f"the server says {state}")

    def _run(self, protocol: str, text: bytes) -> bytes:
        answer = self._answer(protocol, text.strip())
        if protocol == "simple":
            self.skipping = False
        return answer

    def _answer(self, protocol: str, text: bytes) -> bytes:
        word = text.upper()
        if self.status == ord("E") and not word.startswith((b"ROLLBACK", b"COMMIT")):
            return self._error("25P02")
        if (ours := self._control(word, text)) is not None:
            return ours
        if b"pg_current_xact_id" in text and b"pg_my_temp_schema" not in text:
            values = (b"77",) if b"if_assigned" in text else (b"77", b"public")
            return data_row(*values) + encode.command_complete(b"SELECT 1")
        if b"pg_my_temp_schema" in text:
            locks = (b"",) if b"pg_locks" in text else ()
            values = (b"77", b"fp") if b"xact_id" in text else (b"fp", *locks)
            return data_row(*values) + encode.command_complete(b"SELECT 1")
        self.ran.append((protocol, text, self.read_only))
        if b"boom" in text:
            return self._error("22012")
        if b"trap" in text and self.read_only:
            return self._trapped(protocol, text)
        if word.startswith((b"UPDATE", b"DELETE", b"INSERT")):
            if self.read_only:
                return self._error("25006")
            self.deferred |= b"late" in text
            return encode.command_complete(word.split()[0] + (b" 0 3" if word.startswith(b"INSERT") else b" 3"))
        return data_row(b"1") + data_row(b"2") + encode.command_complete(b"SELECT 2")

    def _trapped(self, protocol: str, text: bytes) -> bytes:
        """A read that writes: it fails after its RowDescription, after a notice (noisy), or after rows (late)."""
        before = ROW_DESCRIPTION if protocol == "simple" else b""
        before += encode.notice_response("look") if b"noisy" in text else b""
        before += data_row(b"1") if b"late" in text else b""
        message = "cannot execute INSERT in a read-only transaction"
        self._error("25006")
        return before + encode.error_response("25006", message)

    def _control(self, word: bytes, text: bytes) -> bytes | None:
        """Transaction control and the settings that matter; None for anything else."""
        match word.split():
            case [b"BEGIN", *rest] | [b"START", b"TRANSACTION", *rest]:
                self.status, self.read_only = ord("T"), b"WRITE" not in rest
                return encode.command_complete(b"BEGIN" if word.startswith(b"BEGIN") else b"START TRANSACTION")
            case [b"COMMIT"]:
                failed, late = self.status == ord("E"), self.deferred
                self._leave()
                if late and not failed:
                    return self._error("23503")
                return encode.command_complete(b"ROLLBACK" if failed else b"COMMIT")
            case [b"ROLLBACK"]:
                self._leave()
            case [b"SAVEPOINT", name]:
                if self.status != ord("T"):
                    return self._error("25P01")
                self.savepoints.append((name, self.read_only))
            case [b"RELEASE", b"SAVEPOINT", name] | [b"RELEASE", name]:
                at = self._find(name)
                if at is None:
                    return self._error("3B001")
                self.read_only = self.savepoints[at][1]
                del self.savepoints[at:]
            case [b"ROLLBACK", b"TO", b"SAVEPOINT", name] | [b"ROLLBACK", b"TO", name]:
                at = self._find(name)
                if at is None:
                    return self._error("3B001")
                self.status, self.read_only = ord("T"), self.savepoints[at][1]
                del self.savepoints[at + 1 :]
            case [b"SET", b"DEFAULT_TRANSACTION_READ_ONLY", b"=", value]:
                self.default_read_only = value == b"ON"
                return encode.command_complete(b"SET") + encode.parameter_status(
                    "default_transaction_read_only", value.decode().lower()
                )
            case [b"SET", b"TRANSACTION", b"READ", mode]:
                self.read_only = mode == b"ONLY" or (self.status == ord("I") and self.default_read_only)
                return encode.command_complete(b"SET")
            case [b"SET", *_, b"TRANSACTION_READ_ONLY", b"=", value]:
                self.read_only = value == b"ON"
                return encode.command_complete(b"SET")
            case _:
                return None
        return encode.command_complete(word.split()[0])

    def _leave(self) -> None:
        self.status, self.deferred, self.read_only = ord("I"), False, self.default_read_only
        self.savepoints.clear()

    def _find(self, name: bytes) -> int | None:
        found = [at for at, (each, _) in enumerate(self.savepoints) if each == name]
        return found[-1] if found else None


class Script:
    """A session with the model server; `answers` are given to holds in turn: True approves, False denies.

    `lane`: whether chunks are shown to the lane first, as the shell does.
    """

    def __init__(
        self,
        door: TestDoor | None = None,
        *,
        answers: Iterable[bool] | None = None,
        limits: SessionLimits | None = None,
        lane: bool = True,
        path_reported: bool = False,
    ) -> None:
        self.disk = True
        """Whether records are on disk as soon as somebody asks."""
        self.lane = lane
        self.passed: list[bytes] = []
        """Chunks that went by the lane."""
        self.records: list[Forwarded] = []
        """What the shell would have recorded, but for `written`."""
        self.written: list[Written] = []
        self.door = door or TestDoor()
        self.session = Session(self.door, guard=GUARD, limits=limits, path_reported=path_reported)
        self.server = Server()
        self.answers = None if answers is None else iter(answers)
        self.effects: list[Effect] = []
        self.sent = b""
        """All bytes to the server."""
        self.told = b""
        """All bytes to the client."""
        self.held: list[Held | Allowed] = []

    def client(self, *data: bytes, split: int = 0) -> bytes:
        """The client sends; returns what it is told until nothing moves any more."""
        before = len(self.told)
        whole = b"".join(data)
        for at in range(0, len(whole), split or len(whole) or 1):
            self._client(whole[at : at + (split or len(whole))])
            self.run(split)
        return self.told[before:]

    def _client(self, chunk: bytes) -> None:
        session = self.session
        passage = session.lane.take(chunk) if self.lane else None
        if passage is None:
            session.client_bytes(chunk)
            return
        if session.lane.write is not None:
            self.written.append(session.lane.write.written)
        else:
            self.records.append(Forwarded(passage.judgement, passage.protocol, passage.text, session.lane.bind))
        self.passed.append(chunk)
        self._server_gets(session.lane.sent)

    def _server(self, chunk: bytes) -> None:
        if (shown := self.session.lane.answers(chunk)) is not None:
            self.told += shown
            return
        self.session.server_bytes(chunk)
        self.told += self.session.take_to_client()

    def _server_gets(self, out: bytes, split: int = 0) -> None:
        self.sent += out
        answer = self.server.feed(out)
        for at in range(0, len(answer), split or len(answer) or 1):
            self._server(answer[at : at + (split or len(answer))])

    def run(self, split: int = 0) -> None:
        """Carry bytes and effects about until nothing moves."""
        while True:
            for record in self.session.take_records():
                if isinstance(record, Forwarded):
                    self.records.append(record)
                else:
                    self.written.append(record)
            out = self.session.take_to_server()
            moved = bool(out)
            self._server_gets(out, split)
            self.told += self.session.take_to_client()
            for effect in self.session.take_effects():
                moved = True
                self.effects.append(effect)
                self._act(effect)
            if not moved:
                return

    def _act(self, effect: Effect) -> None:
        if isinstance(effect, Held | Allowed):
            self.held.append(effect)
        if isinstance(effect, KeepRecords) and self.disk:
            self.session.on_disk()
        if self.answers is None:
            return
        match effect:
            case Held() | Allowed():
                self.session.fingerprint(effect.ticket)
            case Fingerprint():
                if isinstance(self.held[-1], Allowed) or next(self.answers, False):
                    self.session.prepare(effect.ticket)
                else:
                    self.session.deny(effect.ticket, Deny("42501", "denied by rob"))
            case Prepared():
                self.session.forward(effect.ticket, self.door.approve(self.held[-1].judgement))
            case NotPrepared():
                self.session.deny(effect.ticket, Deny("42501", "not prepared"))
            case _:
                pass

    def of(self, *kinds: type) -> list[Effect]:
        """Effects of these kinds so far."""
        return [effect for effect in self.effects if isinstance(effect, kinds)]

    @property
    def ran(self) -> list[bytes]:
        """Texts of the client's that the server ran."""
        return [text for _, text, _ in self.server.ran]


def kinds(data: bytes) -> str:
    """The types of a server's messages, in order; error codes after E, statuses after Z."""
    splitter = Splitter(WireLimits().server_table)
    shown = []
    for kind, start, end in splitter.feed(data):
        buffer = splitter.buffer
        extra = ""
        if kind == server.ERROR_RESPONSE:
            extra = "(" + server.read_fields(buffer, start, end)["C"].decode() + ")"
        elif kind == server.READY_FOR_QUERY:
            extra = chr(buffer[end - 1])
        shown.append(chr(kind) + extra)
    assert not splitter.pending
    return "".join(shown)


def bound(sql: bytes, *, name: bytes = b"", portal: bytes = b"", values: Sequence[bytes | None] = ()) -> bytes:
    """Parse, Bind, Describe, Execute, without Sync."""
    return (
        encode.parse(name, sql)
        + encode.bind(portal, name, values)
        + encode.describe(b"P", portal)
        + encode.execute(portal)
    )


SYNC = encode.SYNC_MESSAGE
FLUSH = encode.FLUSH_MESSAGE
