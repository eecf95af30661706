"""The client's messages: which are forwarded at once, and which begin a step."""

from __future__ import annotations

from collections.abc import Callable

from edge_agent.classify.limits import RESERVED_PREFIX
from edge_agent.gate import Pass
from edge_agent.mask.owed import Owed
from edge_agent.protocols.postgres import encode, expect, messages, sqlstate
from edge_agent.protocols.postgres.control import KINDS, is_plain
from edge_agent.protocols.postgres.copy_out import masked_copy
from edge_agent.protocols.postgres.core import HELD_AFTER_WRITE, Core, Step, refused
from edge_agent.protocols.postgres.door import COPY_OUT, MIXED, Judgement, Route
from edge_agent.protocols.postgres.events import Forwarded
from edge_agent.protocols.postgres.expect import Expected
from edge_agent.protocols.postgres.limits import HEADER_BYTES, NAME_BYTES
from edge_agent.protocols.postgres.link import FAILED
from edge_agent.protocols.postgres.masking import masked_execute, query_answer
from edge_agent.protocols.postgres.messages import malformed
from edge_agent.protocols.postgres.mixed_step import mixed_step
from edge_agent.protocols.postgres.pipeline import ABSENT, Job, Portal, Statement, Tail, command_of
from edge_agent.protocols.postgres.sql_prepared import by_sql, executed
from edge_agent.protocols.postgres.steps import before_query, group_end, synced, transaction_step
from edge_agent.protocols.postgres.write_step import write_step
from twokeys.command import PostgresCommand, QueryProtocol
from twokeys.errors import Refused

_RESERVED = RESERVED_PREFIX.encode()
_OUT_OF_TURN = frozenset((messages.QUERY, messages.FUNCTION_CALL))
_AFTER_FAILURE = frozenset((messages.SYNC, messages.TERMINATE))
_OF_COPY = frozenset((messages.COPY_DATA, messages.COPY_DONE, messages.COPY_FAIL))
_STILL_COPYING = frozenset((messages.SYNC, messages.FLUSH))
"""What a client may send in the midst of a COPY's data: they go on after it, should it have failed."""


class Client:
    """Handles one message at a time.

    Args:
        core: The session's state.
        begin: Begins a step.
    """

    def __init__(self, core: Core, begin: Callable[[Step], None]) -> None:
        self._core, self._link, self._begin = core, core.link, begin
        self._handlers: dict[int, Callable[[bytes, int, int], None]] = {
            messages.QUERY: self._query,
            messages.PARSE: self._parse,
            messages.BIND: self._bind,
            messages.DESCRIBE: self._describe,
            messages.EXECUTE: self._execute,
            messages.CLOSE: self._close,
            messages.FLUSH: self._flush,
            messages.SYNC: self._sync,
            messages.TERMINATE: messages.read_empty,
            messages.FUNCTION_CALL: self._function_call,
        }

    def handle(self, kind: int, buffer: bytes, start: int, end: int) -> bool:
        """Handle one whole message.

        Returns:
            False when it must be handed in again after the step that was begun.

        Raises:
            InvalidInput: It is malformed, or no such message may come now. The session must end.
        """
        core = self._core
        handler = self._handlers.get(kind)
        if handler is None:
            if not (kind in _OF_COPY and (core.dropping or (core.grouped and self._link.failed))):
                malformed(f"{chr(kind)!r} (outside of a COPY)")
            core.dropping = core.dropping and kind == messages.COPY_DATA
            return True
        if core.grouped:
            if self._link.failed and kind not in _AFTER_FAILURE:
                return True
            if kind in _OUT_OF_TURN:
                core.flush_tail()
                self._begin(before_query(core))
                return False
        elif kind not in _OUT_OF_TURN:
            core.grouped = True
        if kind not in _STILL_COPYING:
            core.dropping = False
        handler(buffer, start, end)
        return True

    # simple query

    def _query(self, buffer: bytes, start: int, end: int) -> None:
        core = self._core
        text = messages.read_query(buffer, start, end)
        core.statements.put(b"", None)
        core.portals.put(b"", None)
        judgement = core.door.judge(QueryProtocol.SIMPLE, text)
        if judgement.moves_names:
            if self._names_portal(judgement, text):
                return
            judgement = executed(core, judgement)
        raw = buffer[start:end]
        if judgement.route is Route.READ:
            permission = self._admit(judgement, text)
            if permission is not None:
                core.records.append(Forwarded(judgement, QueryProtocol.SIMPLE, text, None))
                core.note_read(judgement.verdict)
                owed = judgement.masks
                expected = expect.QUERY if owed is None else self._masked(owed)
                expected = by_sql(core, judgement, text) or expected
                core.read_simple(permission, raw, expected, leaves=judgement.leaves)
            return
        if judgement.route is Route.MIXED:
            self._begin(mixed_step(core, judgement, text))
            return
        core.dropping = judgement.verdict.is_copy_in
        if not self._declined(judgement, text):
            self._step(Job(PostgresCommand(QueryProtocol.SIMPLE, text), judgement, raw))

    def _masked(self, owed: Owed) -> Expected:
        return query_answer(owed) if owed.copy is None else masked_copy(self._core, owed, owed.copy)

    def _step(self, job: Job) -> None:
        transaction = job.judgement.route is Route.TRANSACTION
        self._begin(transaction_step(self._core, job) if transaction else write_step(self._core, job))

    # extended query

    def _parse(self, buffer: bytes, start: int, end: int) -> None:
        core, message = self._core, messages.read_parse(buffer, start, end)
        core.flush_tail()
        judgement = core.door.judge(QueryProtocol.EXTENDED, message.sql)
        core.dropping = judgement.verdict.is_copy_in
        if self._is_no_name(message.name) or self._declined(judgement, message.sql):
            return
        statement = Statement(message.name, message.sql, message.types, core.age)
        if (
            len(core.statements) >= core.limits.statements
            or core.statements.size + statement.size > core.limits.statement_bytes
        ):
            self._refuse(sqlstate.LIMIT_EXCEEDED, "The session has too many prepared statements.", "Close some.")
            return
        core.by_sql.put(message.name, None)
        undo = core.statements.put(message.name, statement)
        if self._needs_no_server(judgement, statement):
            statement.age = ABSENT
            self._link.say(encode.PARSE_COMPLETE_MESSAGE)
            return
        core.guard()
        self._link.send(buffer[start:end], Expected(b"", b"1", undo=undo))

    def _needs_no_server(self, judgement: Judgement, statement: Statement) -> bool:
        """Whether what it is parsed for is done by a Query of ours (`control`), and the client waits for no more."""
        if statement.name or judgement.route is not Route.TRANSACTION or not is_plain(statement.text):
            return False
        return self._link.quiet and self._link.status != FAILED and judgement.verdict.actions[0].kind in KINDS

    def _bind(self, buffer: bytes, start: int, end: int) -> None:
        core = self._core
        core.flush_tail()
        name_end = buffer.find(b"\0", start + HEADER_BYTES, end)
        statement_end = buffer.find(b"\0", name_end + 1, end)
        if name_end < 0 or statement_end < 0:
            malformed("Bind")
        name = buffer[start + HEADER_BYTES : name_end]
        statement = core.statements.get(buffer[name_end + 1 : statement_end])
        if self._is_no_name(name):
            return
        if statement is None:
            self._unknown(sqlstate.UNKNOWN_STATEMENT, "prepared statement", buffer[name_end + 1 : statement_end])
            return
        portal = Portal(name, statement, buffer[start:end])
        if len(core.portals) >= core.limits.portals or core.portals.size + portal.size > core.limits.portal_bytes:
            self._refuse(sqlstate.LIMIT_EXCEEDED, "The session has too many portals.", "Close some.")
            return
        judgement = core.door.judge(QueryProtocol.EXTENDED, statement.text)
        undo = core.portals.put(name, portal)
        if judgement.route is not Route.READ:
            messages.read_bind(buffer, start, end)
            core.tail = Tail(portal, undo)
            return
        core.guard()
        core.leaves |= bool(name)
        if statement.age != core.age:
            core.trust(statement)
        self._link.send(portal.raw, Expected(b"", b"2", undo=undo))
        portal.sent = True

    def _describe(self, buffer: bytes, start: int, end: int) -> None:
        core, message = self._core, messages.read_describe(buffer, start, end)
        if self._is_no_name(message.name):
            return
        raw = buffer[start:end]
        if message.kind == b"P" and core.tail is not None and core.tail.portal.name == message.name:
            core.tail.describes.append(raw)
            return
        core.flush_tail()
        core.guard()
        if message.kind == b"S":
            statement = core.statements.get(message.name)
            if statement is not None and statement.age == ABSENT:
                core.trust(statement)
            self._link.send(raw, expect.DESCRIBE_STATEMENT)
            return
        portal = core.portals.get(message.name)
        if portal is not None:
            if not portal.sent and self._is_replaced(portal):
                return
            core.bind(portal)
        self._link.send(raw, expect.DESCRIBE_PORTAL)

    def _execute(self, buffer: bytes, start: int, end: int) -> None:
        core, message = self._core, messages.read_execute(buffer, start, end)
        tail = core.tail
        if tail is not None and tail.portal.name != message.portal:
            core.flush_tail()
            tail = None
        portal = core.portals.get(message.portal)
        if portal is None:
            self._unknown(sqlstate.UNKNOWN_PORTAL, "portal", message.portal)
            return
        text = portal.statement.text
        judgement = core.door.judge(QueryProtocol.EXTENDED, text)
        bound_anew = not portal.sent if judgement.route is Route.READ else tail is None
        if bound_anew and self._is_replaced(portal):
            return
        if judgement.moves_names and self._names_portal(judgement, text):
            return
        if judgement.masks is not None and judgement.masks.copy is not None:
            # What the portal shows is described before it runs, and of a COPY nothing is.
            self._refuse(COPY_OUT[0], f"twokeys: refused: {COPY_OUT[1]}", "Nothing was run.")
            return
        raw = buffer[start:end]
        if judgement.route is not Route.READ:
            core.dropping = judgement.verdict.is_copy_in
            if not self._declined(judgement, text):
                command = command_of(portal, messages.read_bind(portal.raw, 0, len(portal.raw)))
                self._step(Job(command, judgement, raw, portal, tail, message.max_rows))
            return
        if core.would_be_held(judgement.verdict):
            self._refuse(sqlstate.NOT_SUPPORTED, *HELD_AFTER_WRITE)
            return
        core.flush_tail()
        permission = self._admit(judgement, text)
        if permission is None:
            return
        core.records.append(Forwarded(judgement, QueryProtocol.EXTENDED, text, portal.raw))
        core.guard()
        core.leaves |= judgement.leaves or bool(message.max_rows or portal.name)
        core.bind(portal)
        portal.started = True
        if judgement.moves_names:
            core.note_read(judgement.verdict)
        owed = judgement.masks
        expected = expect.EXECUTE if owed is None else masked_execute(core, portal.name, owed)
        self._link.forward(permission, raw, expected)

    def _close(self, buffer: bytes, start: int, end: int) -> None:
        core, message = self._core, messages.read_describe(buffer, start, end)
        core.flush_tail()
        if self._is_no_name(message.name):
            return
        held = core.statements if message.kind == b"S" else core.portals
        undo = held.put(message.name, None)
        if message.kind == b"S":
            core.by_sql.put(message.name, None)
        core.unsynced = True
        self._link.send(buffer[start:end], Expected(b"", b"3", undo=undo))

    def _flush(self, buffer: bytes, start: int, end: int) -> None:
        messages.read_empty(buffer, start, end)
        self._core.flush_tail()
        self._core.unsynced = True
        self._link.send(encode.FLUSH_MESSAGE, None)

    def _sync(self, buffer: bytes, start: int, end: int) -> None:
        messages.read_empty(buffer, start, end)
        core, link = self._core, self._link
        if not link.failed:
            core.flush_tail()
        core.tail = None
        if core.own is not None:
            self._begin(group_end(core))
            return
        core.renew_guard()
        core.grouped = link.failed = False
        if not core.unsynced:
            self._begin(synced(core))
            return
        core.unsynced = False
        link.send(encode.SYNC_MESSAGE, expect.SYNC)

    # what is refused

    def _function_call(self, buffer: bytes, start: int, end: int) -> None:
        self._refuse(
            sqlstate.NOT_SUPPORTED,
            "FunctionCall messages can't be used through this edge: they name a function by number.",
            "Call the function in a SELECT (large objects: lo_get, lo_put).",
        )

    def _admit(self, judgement: Judgement, text: bytes) -> Pass | None:
        try:
            return self._core.door.admit(judgement)
        except Refused as error:
            self._core.decline(judgement, text, sqlstate.INSUFFICIENT_PRIVILEGE, error.happened)
            step = refused(self._core, sqlstate.INSUFFICIENT_PRIVILEGE, error.happened, error.not_done, error.advice)
            self._begin(step)
            return None

    def _declined(self, judgement: Judgement, text: bytes) -> bool:
        """Answer what is denied or refused without asking anybody; True when it was."""
        if judgement.route is Route.DENIED:
            decision = judgement.decision
            by = f" ({', '.join(decision.policies)})" if decision.policies else ""
            state, said = sqlstate.INSUFFICIENT_PRIVILEGE, f"twokeys: denied by policy{by}"
            hint = " ".join(decision.advice) or "Nothing was run. The session goes on."
        elif judgement.route in (Route.REFUSED, Route.MIXED):
            state, why = MIXED if judgement.route is Route.MIXED else judgement.refusal
            state, said, hint = state or sqlstate.NOT_SUPPORTED, f"twokeys: refused: {why}", "Nothing was run."
            if state == sqlstate.SYNTAX_ERROR:
                hint = "Nothing was run. Correct the text and send it again."
            if not why:
                said = "twokeys: refused: transaction control can't be held for approval."
        else:
            return False
        self._core.decline(judgement, text, state, said)
        self._begin(refused(self._core, state, said, "", hint))
        return True

    def _is_no_name(self, name: bytes) -> bool:
        if len(name) > NAME_BYTES:
            # The server knows two names that begin alike as one (attack W3).
            message = f"Names of statements and portals can't have more than {NAME_BYTES} bytes here."
            self._refuse(sqlstate.NAME_TOO_LONG, message, "Choose a shorter one.")
            return True
        if name.lower().startswith(_RESERVED):
            message = f"Names that begin with {RESERVED_PREFIX} are the Edge's own."
            self._refuse(sqlstate.RESERVED_NAME, message, "Choose another.")
            return True
        return False

    def _names_portal(self, judgement: Judgement, text: bytes) -> bool:
        """Refuse SQL on a portal that Bind made: its FETCH would run what waits, its CLOSE free the name (W3)."""
        found = [name for name in judgement.verdict.cursors if self._core.portals.get(name.encode()) is not None]
        if not found:
            return False
        state, said = sqlstate.NOT_SUPPORTED, f'twokeys: refused: "{found[0]}" is a portal of the protocol.'
        self._core.decline(judgement, text, state, said)
        hint = "Use Execute and Close for what Bind made, FETCH and CLOSE for what DECLARE made."
        self._begin(refused(self._core, state, said, "", hint))
        return True

    def _is_replaced(self, portal: Portal) -> bool:
        # A Bind names its statement: sent once more it would bind whatever has that name now (attack W3).
        statement = portal.statement
        if self._core.statements.get(statement.name) is statement:
            return False
        self._unknown(sqlstate.UNKNOWN_STATEMENT, "prepared statement", statement.name)
        return True

    def _unknown(self, state: str, noun: str, name: bytes) -> None:
        self._refuse(
            state,
            f'{noun} "{name.decode("utf-8", "replace")}" does not exist',
            "Only what Parse and Bind made through this session can be used; "
            "use EXECUTE or FETCH for what SQL's PREPARE or DECLARE made.",
        )

    def _refuse(self, state: str, message: str, hint: str) -> None:
        self._core.decline(None, b"", state, message)
        self._begin(refused(self._core, state, message, "", hint))
