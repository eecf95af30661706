"""Plain transaction control: one Query, with what of ours belongs to it, and one answer.

    BEGIN   ─▶ BEGIN; SET transaction_read_only = off; SAVEPOINT …; SET LOCAL transaction_read_only = on
    COMMIT  ─▶ RELEASE SAVEPOINT …; SET transaction_read_only = on; COMMIT

Rules:
  1. Only a text of plain words is spelled so: nothing of ours can become part of a comment or a string in it.
  2. An extended Execute of such a text is sent as that Query too. What was bound to it is not sent, and answered here;
     the server's unnamed statement goes with the Query, and is parsed anew when it is used again (`ABSENT`).
  3. The guard is open from the very BEGIN; before COMMIT all savepoints are left, or SET would end with them.

https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-MULTI-STATEMENT
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from edge_agent.classify.transaction import TxnAction, TxnKind
from edge_agent.gate import Pass
from edge_agent.protocols.postgres import encode
from edge_agent.protocols.postgres.core import Core, Step, Want, ask
from edge_agent.protocols.postgres.expect import HIDDEN_SYNC, Answer, Expected
from edge_agent.protocols.postgres.link import FAILED, IDLE, IN_TRANSACTION
from edge_agent.protocols.postgres.pipeline import ABSENT, Job
from edge_agent.protocols.postgres.transaction import Transaction

KINDS: Final = frozenset({TxnKind.BEGIN, TxnKind.COMMIT, TxnKind.ROLLBACK})

LONGEST: Final = 200
"""Bytes of a text that is spelled so."""

_PLAIN: Final = re.compile(rb"[A-Za-z][A-Za-z ,]*;? *")
_TAGS: Final = {
    b"BEGIN": b"BEGIN", b"START": b"START TRANSACTION", b"COMMIT": b"COMMIT", b"END": b"COMMIT",
    b"ROLLBACK": b"ROLLBACK", b"ABORT": b"ROLLBACK",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Plan:
    """One statement of control as it is sent.

    Args:
        kind: BEGIN, COMMIT or ROLLBACK.
        query: The message.
        shown: What of the server's answer the client sees, if all goes well: CommandComplete.
        answer: The server's whole answer, if all goes well.
        before: Statements of ours before the client's.
        after: And after it.
        read_only: Of BEGIN: the client wants it so.
    """

    kind: TxnKind
    query: bytes
    shown: bytes
    answer: bytes
    before: int = 0
    after: int = 0
    read_only: bool = False

    def expected(self, answer: Answer, lifting: Answer) -> Iterator[Expected]:
        """What the server is to answer; `answer` notes the client's part, `lifting` ours after it."""
        if self.before:
            yield Expected(b"", b"C", hidden=True, left=self.before)
        yield Expected(b"", b"C", answer=answer)
        if self.after:
            yield Expected(b"", b"C", hidden=True, answer=lifting, left=self.after)
        yield HIDDEN_SYNC


def is_plain(text: bytes) -> bool:
    """Whether something may be put before or after this text of control."""
    return len(text) <= LONGEST and _PLAIN.fullmatch(text) is not None


def plan_of(core: Core, action: TxnAction, text: bytes) -> Plan | None:
    """How to send a plain text of control in this state; None: it goes by itself."""
    if action.kind not in KINDS or core.own is not None or not is_plain(text):
        return None
    transaction, status = core.transaction, core.link.status
    if action.kind is TxnKind.BEGIN:
        if status != IDLE or transaction is not None:
            return None
        lifts = core.door.may_write and not action.read_only
        return _plan(action, text, (), core.hidden.lift_and_guard if lifts else ())
    if transaction is None or status == IDLE:
        return None
    return _plan(action, text, before_commit(core, transaction) if action.kind is TxnKind.COMMIT else (), ())


def planned(core: Core, job: Job, permission: Pass, plan: Plan) -> Step:
    """Send a plan, and wait for its answer."""
    if job.portal is not None:
        if job.tail is not None and not job.tail.answered:
            core.link.say(encode.BIND_COMPLETE_MESSAGE + encode.NO_DATA_MESSAGE * len(job.tail.describes))
        job.portal.started, job.portal.sent = True, False
    core.tail = None
    lose_unnamed(core)
    answer, lifting = Answer(), Answer()
    core.link.forward_query(permission, plan.query, plan.expected(answer, lifting))
    yield from awaited(core, plan, answer, lifting)


def awaited(core: Core, plan: Plan, answer: Answer, lifting: Answer) -> Step:
    """Wait for the answer of what was sent by a plan."""
    link = core.link
    link.last_error = {}
    core.guarded = False
    core.committing = plan.kind is TxnKind.COMMIT and link.status == IN_TRANSACTION
    yield Want.QUIET
    core.committing = False
    if plan.kind is TxnKind.BEGIN:
        if link.status != IDLE:
            core.transaction = Transaction(lifted=bool(plan.after) and lifting.error is None, read_only=plan.read_only)
            core.guarded, core.leaves = core.transaction.lifted, False
    else:
        failure = link.last_error
        if plan.kind is TxnKind.COMMIT and link.status == FAILED:
            # Ours before it failed, by a cancel perhaps: a COMMIT ends its transaction in any case.
            yield from ask(core, core.hidden.rollback, 1)
        link.last_error = failure
        core.ended(answer)
    if not core.grouped:
        link.failed = False
    if not core.grouped and not core.mixed:
        link.say(encode.ready_for_query(link.status))


def believe(core: Core, plan: Plan) -> None:
    """The server has answered a plan to the letter: what `awaited` would find."""
    if plan.kind is TxnKind.BEGIN:
        core.transaction = Transaction(lifted=bool(plan.after), read_only=plan.read_only)
        core.guarded, core.leaves = bool(plan.after), False
        core.link.status = IN_TRANSACTION
    else:
        core.transaction, core.guarded = None, False
        core.portals.clear()
        core.link.status = IDLE
    core.link.last_error = {}


def lose_unnamed(core: Core) -> None:
    """A Query of ours drops the server's unnamed statement."""
    unnamed = core.statements.get(b"")
    if unnamed is not None:
        unnamed.age = ABSENT


def has_no_values(bind: bytes) -> bool:
    """Whether the rest of a Bind, after its names, has no parameters, and at most one result format."""
    return bind in _NO_VALUES


_NO_VALUES: Final = frozenset((b"\0" * 6, b"\0" * 5 + b"\1\0\0", b"\0" * 5 + b"\1\0\1"))


def before_commit(core: Core, transaction: Transaction) -> tuple[bytes, ...]:
    """What goes before a COMMIT, so that nothing writes in it that nobody approved (attacks G2, G3).

    A cursor WITH HOLD and a deferred trigger run in it. So it is read-only where nothing was approved, and where a read
    declared such a cursor: then what is deferred of approved writes runs first. What a savepoint set ends with it, so
    all are left before, as COMMIT would.
    """
    written = bool(transaction.writes)
    if not transaction.lifted or (written and not transaction.holds) or core.link.status != IN_TRANSACTION:
        return ()
    guard = (core.hidden.release,) if core.guarded else ()
    return *guard, *(_FIRE,) * written, *transaction.releases(), _LOWER


_FIRE: Final = b"SET CONSTRAINTS ALL IMMEDIATE"
_LOWER: Final = b"SET transaction_read_only = on"


def _plan(action: TxnAction, text: bytes, before: tuple[bytes, ...], after: tuple[bytes, ...]) -> Plan:
    plain = text.rstrip(b"; ")
    shown = encode.command_complete(_TAGS[plain.split(b" ")[0].upper()])
    ready = encode.ready_for_query(IN_TRANSACTION if action.kind is TxnKind.BEGIN else IDLE)
    answer = b"".join((*map(_answered, before), shown, *map(_answered, after), ready))
    query = encode.query(b"; ".join((*before, plain, *after)) if before or after else text)
    return Plan(action.kind, query, shown, answer, len(before), len(after), bool(action.read_only))


def _answered(statement: bytes) -> bytes:
    return encode.command_complete(statement.split(b" ", 1)[0])
