"""The lane: what is plainly known, alone on the wire, goes as it came and is answered as it came.

    client's chunk ─▶ take    ─▶ a Passage: record it, then write `sent` to the server
    server's chunk ─▶ answers ─▶ write what it returns to the client

    a read                    that very chunk, after what of ours must go before it (`front`), if anything must
    BEGIN, COMMIT, ROLLBACK   as the Queries that `control` makes of them
    an allowed write of rows  in the caller's own transaction: see `allowed_step`

Nearly everything that a driver sends is one chunk that is one Query, or one group of Bind, Execute and Sync (with
Parse and Describe where drivers send them), and what the server answers is one chunk too. For those nothing has to be
remembered but that an answer is due. What is not plainly so goes the general way, with nothing changed: the session
first tells the core what is in flight (`tell`), as if it had gone that way too.

Rules:
  1. All or nothing: each byte of a chunk is accounted for, or the lane leaves it alone.
  2. Only where the session is at rest (`Session`), with the unnamed portal, and for a text that policy lets pass
     without asking, unmasked. A read leaves nothing behind, and has the guard round it where it is needed. Control goes
     only as long as nothing was written in its transaction. A Pass is spent here, once for each chunk.
  3. A Judgement is used again as long as the door's `era` stays. A named statement is parsed anew for a read when the
     core's `age` has moved, and for each write (attack W3).

https://www.postgresql.org/docs/current/protocol-flow.html
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Final

from edge_agent.classify.transaction import TxnKind
from edge_agent.protocols.postgres import encode, expect, messages
from edge_agent.protocols.postgres import server_messages as server
from edge_agent.protocols.postgres.allowed_flight import AllowedFlight
from edge_agent.protocols.postgres.allowed_step import is_of_rows, may_pass
from edge_agent.protocols.postgres.control import (
    KINDS,
    Plan,
    awaited,
    believe,
    has_no_values,
    is_plain,
    lose_unnamed,
    plan_of,
)
from edge_agent.protocols.postgres.core import Core, Step
from edge_agent.protocols.postgres.door import Route
from edge_agent.protocols.postgres.expect import Answer, Expected
from edge_agent.protocols.postgres.front import Front, before_read, before_write
from edge_agent.protocols.postgres.limits import HEADER_BYTES, WireLimits
from edge_agent.protocols.postgres.link import IDLE, IN_TRANSACTION
from edge_agent.protocols.postgres.passage import Passage
from edge_agent.protocols.postgres.pipeline import Portal, Statement, Undo, command_of
from edge_agent.protocols.postgres.plain import complete, group
from twokeys.command import PostgresCommand, QueryProtocol
from twokeys.errors import InvalidInput, Refused

MAX_TEXTS: Final = 256
"""Queries and unnamed Parses that one session knows by their bytes."""

MAX_TEXT_BYTES: Final = 4096
"""A longer one is not known by them."""

MAX_PLANS: Final = 16
"""Ways to send control that one session knows."""

LONGEST_QUERY: Final = 16 * 1024
"""Of a longer one nobody remembers the Judgement, so it is left to those who judge it once."""

_BOUND: Final = encode.BIND_COMPLETE_MESSAGE
_PARSED: Final = encode.PARSE_COMPLETE_MESSAGE + _BOUND
_READY: Final = {status: encode.ready_for_query(status) for status in b"IT"}
_READY_BYTES: Final = 6
_length: Final = struct.Struct("!I").unpack_from


class Lane:
    """One session's.

    Args:
        core: The session's state.
        wire: Sizes of messages.
        is_at_rest: Whether nothing is under way in the session, and a read needs nothing before it.
        begin: Begins a step.
    """

    __slots__ = (
        "_begin", "_client_most", "_core", "_described", "_front", "_hidden", "_is_at_rest", "_most", "_most_bind",
        "_opens", "_plan", "_plans", "_statement", "_texts", "_unbind", "_undo", "bind", "pending", "rests", "sent",
        "write",
    )  # fmt: skip

    def __init__(
        self, core: Core, wire: WireLimits, is_at_rest: Callable[[], bool], begin: Callable[[Step], None]
    ) -> None:
        self._core, self._is_at_rest, self._begin = core, is_at_rest, begin
        self.rests: bool | None = None
        """What `is_at_rest` said; None: something has happened since."""
        self._client_most = wire.client_table
        self._most_bind = wire.client_table[messages.BIND]
        most = wire.server_table
        self._most = most[server.DATA_ROW], most[server.ROW_DESCRIPTION], most[server.COMMAND_COMPLETE]
        self._texts: dict[bytes, Passage] = {}
        self.pending = b""
        """The chunk in flight that the core was not told of."""
        self.sent = b""
        """What the server is to get of what was taken last."""
        self.bind: bytes | None = None
        """The Bind message of what was taken last; None for a Query."""
        self.write: AllowedFlight | None = None
        """What was taken last, where it is a write: its `written` is to be recorded."""
        self._statement: Statement | None = None
        self._undo: Undo | None = None
        self._unbind: Undo | None = None
        self._front: Front | None = None
        self._hidden = 0
        self._opens = b""
        self._described = False
        self._plan: Plan | None = None
        self._plans: dict[tuple[bytes, bool, bool], Plan] = {}

    def take(self, data: bytes) -> Passage | None:
        """Take a chunk of the client that is a read which passes as it is: nothing more need be done about it.

        Returns:
            What is to be appended to the journal (with `bind`) before `sent` is written to the server.
            None: hand the chunk to `Session.client_bytes`.
        """
        if self.rests is None:
            self.rests = self._is_at_rest()
        if self.pending or not self.rests:
            return None
        kind = data[0]
        if kind == messages.BIND:
            return self._take_group(data, 0, None)
        if kind == messages.QUERY:
            return self._take_query(data)
        return self._take_parsed(data) if kind == messages.PARSE else None

    def answers(self, data: bytes) -> bytes | None:
        """What the client is to get where a chunk of the server is the whole answer to what was taken, and no more.

        None: hand the chunk to `Session.server_bytes`.
        """
        if not self.pending:
            return None
        if self._plan is not None:
            return self._answered(self._plan, data)
        end, opens, write = len(data) - _READY_BYTES, self._opens, self.write
        if not data.startswith(opens):
            return None
        found = complete(data, len(opens), end, self._described, write is not None, self._most)
        if found is None:
            return None
        if write is not None:
            shown = write.believe(data, self._hidden, found[0])
            if shown is not None:
                self.pending = b""
            return shown
        if found[1] != end or not data.endswith(_READY[self._core.link.status]):
            return None
        self.pending = b""
        return data[self._hidden :] if self._hidden else data

    def tell(self) -> bool:
        """Tell the core what is in flight: from here on it goes the general way.

        Returns:
            Whether the chunk's last message, the Sync after control, is still to be handled.
        """
        self.pending = b""
        core, plan, write = self._core, self._plan, self.write
        self._plan = None
        if write is not None:
            core.grouped = self.bind is not None
            self._begin(write.go_on(self._before(Expected(b"", b"2", undo=self._unbind))))
            return core.grouped
        if plan is None:
            core.link.await_answers(self._expected())
            return False
        answer, lifting = Answer(), Answer()
        core.grouped = self.bind is not None
        if self._opens:
            core.link.say(self._opens)
        core.link.await_answers(plan.expected(answer, lifting))
        self._begin(awaited(core, plan, answer, lifting))
        return core.grouped

    # one kind of chunk each

    def _take_query(self, data: bytes) -> Passage | None:
        core = self._core
        passage = self._texts.get(data)
        if passage is None or passage.era != core.door.era:
            size = len(data)
            if not HEADER_BYTES < size <= LONGEST_QUERY or 1 + _length(data, 1)[0] != size:
                return None
            if size - 1 > self._client_most[messages.QUERY] or data.find(b"\0", HEADER_BYTES) != size - 1:
                return None
            passage = self._judged(QueryProtocol.SIMPLE, data[HEADER_BYTES:-1])
            if passage is None:
                return None
            self._remember(data, passage)
        plan = None
        if passage.action is not None and (plan := self._planned(passage)) is None:
            return None
        if (passage.writes and not may_pass(core)) or not self._is_admitted(passage):
            return None
        if b"" in core.statements.held:
            core.statements.put(b"", None)
        if b"" in core.portals.held:
            core.portals.put(b"", None)
        self.bind, self._opens, self._statement, self._undo, self.write = None, b"", None, None, None
        self._plan, self.pending = plan, data
        if passage.writes:
            self._described = False
            self._send_write(passage, PostgresCommand(QueryProtocol.SIMPLE, passage.text), None, data)
            return passage
        self._described = True
        self._send(before_read(core, None, simple=True) if core.transaction is not None and plan is None else None,
                   data if plan is None else plan.query)  # fmt: skip
        return passage

    def _take_parsed(self, data: bytes) -> Passage | None:
        core = self._core
        if len(data) <= HEADER_BYTES:
            return None
        end = 1 + _length(data, 1)[0]
        if end >= len(data) or not 4 < end <= LONGEST_QUERY or end - 1 > self._client_most[messages.PARSE]:
            return None
        if data[HEADER_BYTES]:
            return None
        parse = data[:end]
        passage = self._texts.get(parse)
        if passage is None or passage.era != core.door.era:
            try:
                message = messages.read_parse(parse, 0, end)
            except InvalidInput:
                return None
            passage = self._judged(QueryProtocol.EXTENDED, message.sql, message.types)
            if passage is None:
                return None
            self._remember(parse, passage)
        held, limits = core.statements, core.limits
        if len(held.held) >= limits.statements or held.size + len(passage.text) > limits.statement_bytes:
            return None
        return self._take_group(data, end, passage)

    def _take_group(self, data: bytes, start: int, passage: Passage | None) -> Passage | None:
        """A group from its Bind on; `passage` is that of its Parse, None for a statement that was parsed before."""
        found = group(data, start, self._most_bind)
        if found is None:
            return None
        name, end, described = found
        core = self._core
        held, limits = core.portals, core.limits
        if held.size + end - start > limits.portal_bytes or len(held.held) >= limits.portals:
            return None
        statement, plan, anew = None, None, None
        if passage is None:
            statement = core.statements.held.get(name)
            if statement is None:
                return None
            passage = statement.passage
            if passage is None or passage.era != core.door.era:
                passage = statement.passage = self._judged(QueryProtocol.EXTENDED, statement.text)
                if passage is None:
                    return None
            if passage.writes:
                anew = statement
            elif statement.age != core.age and passage.action is None:
                # Of control it is our own words that run, whatever the server has under the name.
                if not statement.name:
                    return None
                anew = statement
        elif name:
            return None
        if passage.action is not None:
            plan = self._planned(passage)
            if plan is None or not has_no_values(data[start + HEADER_BYTES + 2 + len(name) : end]):
                return None
        values = None
        if passage.writes:
            try:
                values = messages.read_bind(data, start, end)
            except InvalidInput:
                return None
        if (passage.writes and not may_pass(core)) or not self._is_admitted(passage):
            return None
        self._undo, self.write = None, None
        self._opens = _BOUND
        if statement is None:
            statement = Statement(b"", passage.text, passage.types, core.age + passage.writes)
            self._undo, self._opens = core.statements.put(b"", statement), _PARSED
        self._statement, self._described = statement, described
        self.bind = data[start:end]
        if core.link.status != IDLE or plan is not None:
            portal = self._portal(statement, self.bind, sent=plan is None)
            self._unbind = core.portals.put(b"", portal)
        if plan is not None:
            lose_unnamed(core)
            self._opens += encode.NO_DATA_MESSAGE * described
        self._plan, self.pending = plan, data
        if values is not None:
            self._send_write(passage, command_of(portal, values), anew, data)
            return passage
        front = None
        if plan is None and (anew is not None or core.transaction is not None):
            front = before_read(core, anew, simple=False)
        self._send(front, data if plan is None else plan.query)
        return passage

    def _send_write(self, passage: Passage, command: PostgresCommand, anew: Statement | None, data: bytes) -> None:
        core, transaction = self._core, self._core.transaction
        if transaction is None:
            raise ValueError("an allowed write goes this way in a transaction")
        simple = self.bind is None
        self.write = AllowedFlight(core, transaction, passage.judgement, command, simple=simple)
        self._send(before_write(core, anew, simple=simple), self.write.sent(data))

    def _send(self, front: Front | None, data: bytes) -> None:
        self._front, self._hidden, self.sent = front, 0, data
        if front is not None:
            self.sent, self._opens, self._hidden = front.sent + data, front.answer + self._opens, len(front.answer)

    # what they share

    def _judged(self, protocol: QueryProtocol, text: bytes, types: tuple[int, ...] = ()) -> Passage | None:
        door = self._core.door
        judgement = door.judge(protocol, text)
        if judgement.route is Route.TRANSACTION:
            action = judgement.verdict.actions[0]
            if action.kind not in KINDS or action.asks_for_writing or not is_plain(text):
                return None
            passage = Passage(judgement, protocol, text, door.era, types)
            passage.action = action
            return passage
        if judgement.masks is not None:
            return None
        passage = Passage(judgement, protocol, text, door.era, types)
        if judgement.route is Route.STEP and is_of_rows(judgement):
            passage.writes = not judgement.moves_names and not judgement.verdict.is_copy_in
            return passage if passage.writes else None
        return passage if judgement.route is Route.READ and not judgement.leaves else None

    def _planned(self, passage: Passage) -> Plan | None:
        """How plain control goes now; None where its answer is not known to the byte."""
        core, action = self._core, passage.action
        transaction, begins = core.transaction, action is not None and action.kind is TxnKind.BEGIN
        if action is None or begins is not (transaction is None):
            return None
        if transaction is not None and (transaction.writes or transaction.savepoints):
            return None
        if core.link.status != (IDLE if begins else IN_TRANSACTION):
            return None
        key = passage.text, core.guarded, transaction.lifted if transaction is not None else core.door.may_write
        plan = self._plans.get(key)
        if plan is None and (plan := plan_of(core, action, passage.text)) is not None:
            if len(self._plans) >= MAX_PLANS:
                self._plans.clear()
            self._plans[key] = plan
        return plan

    def _answered(self, plan: Plan, data: bytes) -> bytes | None:
        if data != plan.answer:
            return None
        self.pending, self._plan = b"", None
        believe(self._core, plan)
        return self._opens + plan.shown + _READY[self._core.link.status]

    def _is_admitted(self, passage: Passage) -> bool:
        core = self._core
        try:
            core.door.admit(passage.judgement).spend()
        except Refused:
            return False
        return True

    def _remember(self, key: bytes, passage: Passage) -> None:
        if len(key) <= MAX_TEXT_BYTES:
            if len(self._texts) >= MAX_TEXTS:
                self._texts.clear()
            self._texts[key] = passage

    def _expected(self) -> Iterator[Expected]:
        yield from self._before(expect.BIND)
        if self.bind is None:
            yield expect.QUERY
            return
        yield expect.EXECUTE
        yield expect.SYNC
        core, statement = self._core, self._statement
        if core.link.status == IDLE and statement is not None:
            core.portals.put(b"", self._portal(statement, self.bind))

    def _before(self, bound: Expected) -> Iterator[Expected]:
        """What is answered before the Query or Execute itself; `bound` is the Bind."""
        if self._front is not None:
            yield from self._front.expected()
        if self._undo is not None:
            yield Expected(b"", b"1", undo=self._undo)
        if self.bind is not None:
            yield bound
            if self._described:
                yield expect.DESCRIBE_PORTAL

    @staticmethod
    def _portal(statement: Statement, bind: bytes, *, sent: bool = True) -> Portal:
        portal = Portal(b"", statement, bind)
        portal.sent, portal.started = sent, True
        return portal
