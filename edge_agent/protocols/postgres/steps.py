"""The rare ways of a Command: transaction control, and the end of a Sync group or a Query out of turn.

Each step is read top to bottom; a yield waits for the server or the shell. Writes are in `write_step`.
"""

from __future__ import annotations

from edge_agent.classify.limits import RESERVED_PREFIX
from edge_agent.classify.transaction import TxnAction, TxnKind
from edge_agent.gate import Pass
from edge_agent.protocols.postgres import encode, sqlstate
from edge_agent.protocols.postgres.control import before_commit, plan_of, planned
from edge_agent.protocols.postgres.core import (
    Core,
    Step,
    Want,
    ask,
    kept,
    refused,
    rolled_back,
    send_job,
    settled,
    tell_failure,
)
from edge_agent.protocols.postgres.events import Ending, Forwarded
from edge_agent.protocols.postgres.expect import SYNC, Answer
from edge_agent.protocols.postgres.link import FAILED, IDLE, IN_TRANSACTION, Broken
from edge_agent.protocols.postgres.pipeline import Job, Portal
from edge_agent.protocols.postgres.transaction import Transaction
from twokeys.errors import Refused

_READ_WRITE = (
    "READ WRITE can't be set here: the transaction is read-only, or its caller may not write.",
    "Nothing was changed.",
    "Begin a new transaction without READ ONLY.",
)


def transaction_step(core: Core, job: Job) -> Step:
    """One statement of transaction control: forwarded outside the guard, and tracked by what the server answers."""
    yield from settled(core, in_guard=True)
    if core.link.failed:
        core.tail = None
        return
    action = job.judgement.verdict.actions[0]
    if job.portal is not None and job.portal.started:
        refusal: tuple[str, str, str, str] | None = cannot_be_run(job.portal)
    else:
        refusal = _refusal(core, action)
    if refusal is not None:
        core.decline(job.judgement, job.command.text, refusal[0], refusal[1])
        yield from refused(core, *refusal)
        return
    try:
        permission = core.door.admit(job.judgement)
    except Refused as error:
        core.decline(job.judgement, job.command.text, sqlstate.INSUFFICIENT_PRIVILEGE, error.happened)
        yield from refused(core, sqlstate.INSUFFICIENT_PRIVILEGE, error.happened, error.not_done, error.advice)
        return
    transaction = core.transaction if action.kind is TxnKind.COMMIT else None
    bind, xid = job.portal.raw if job.portal else None, "" if transaction is None else transaction.xid
    core.records.append(Forwarded(job.judgement, job.command.protocol, job.command.text, bind, xid))
    if transaction is not None:
        yield from kept(core, transaction)
    plan = None
    if job.simple or (job.tail is not None and not job.command.parameter_values):
        plan = plan_of(core, action, job.command.text)
    if plan is not None:
        yield from planned(core, job, permission, plan)
        return
    core.leave_guard()
    match action.kind:
        case TxnKind.BEGIN if core.link.status == IDLE:
            yield from _begin(core, job, permission, action)
        case TxnKind.COMMIT if core.transaction is not None:
            yield from _commit(core, job, permission, core.transaction)
        case _:
            yield from _other(core, job, permission, action)


def cannot_be_run(portal: Portal) -> tuple[str, str, str, str]:
    """What the server says to another Execute of a portal that has run, as a refusal (MarkPortalActive).

    Where the text has RETURNING the server answers that no rows are left; that too is refused here, as all rows went
    out with the first Execute.
    """
    message = f'portal "{portal.name.decode("utf-8", "replace")}" cannot be run'
    return sqlstate.NOT_IN_PREREQUISITE_STATE, message, "", "It has run. Send Bind again to run the statement again."


def _refusal(core: Core, action: TxnAction) -> tuple[str, str, str, str] | None:
    """SQLSTATE, message, detail and hint; None where nothing speaks against it."""
    if core.own is not None:
        return (
            sqlstate.NOT_SUPPORTED,
            "Transaction control can't follow a write in the same pipeline here.",
            "The writes of this pipeline were rolled back.",
            "Send Sync first, or begin a transaction before the write.",
        )
    if action.name.lower().startswith(RESERVED_PREFIX) or action.name == core.hidden.guard:
        return sqlstate.RESERVED_NAME, f"Savepoints of the prefix {RESERVED_PREFIX} are the Edge's own.", "", ""
    transaction = core.transaction
    saved = 0 if transaction is None else len(transaction.savepoints)
    if action.kind is TxnKind.SAVEPOINT and saved >= core.limits.savepoints:
        return sqlstate.LIMIT_EXCEEDED, "The transaction has too many savepoints.", "", "Release some."
    if action.asks_for_writing and not (
        transaction.writable if transaction is not None else core.door.may_write and action.kind is TxnKind.BEGIN
    ):
        return (sqlstate.READ_ONLY_TRANSACTION, *_READ_WRITE)
    return None


def _begin(core: Core, job: Job, permission: Pass, action: TxnAction) -> Step:
    """BEGIN, and in the same flight the lift: later than this the server would not take it."""
    answer, lifting = Answer(), Answer()
    lift = core.door.may_write and not action.read_only
    send_job(core, permission, job, anew=False, answer=answer)
    if lift:
        core.link.send_hidden(core.hidden.lift, 1, lifting)
        core.link.sync()
    yield Want.QUIET
    if core.link.status != IDLE:
        core.transaction = Transaction(lifted=lift and lifting.error is None, read_only=bool(action.read_only))


def _commit(core: Core, job: Job, permission: Pass, transaction: Transaction) -> Step:
    answer, before = Answer(), Answer()
    first = before_commit(core, transaction)
    if first:
        core.link.send_hidden(b"".join(map(core.hidden.question, first)), len(first), before)
        core.link.sync()
        if transaction.writes:
            yield Want.QUIET
            if before.error is not None:
                yield from _fail_commit(core, transaction, before)
                return
    core.committing = core.link.status == IN_TRANSACTION
    send_job(core, permission, job, anew=False, answer=answer)
    yield Want.QUIET
    core.committing = False
    core.ended(answer)


def _fail_commit(core: Core, transaction: Transaction, failure: Answer) -> Step:
    """What COMMIT would have run failed: the transaction is over, and the error is COMMIT's."""
    core.tail, core.transaction = None, None
    yield from ask(core, core.hidden.rollback, 1)
    if core.link.status != IDLE:
        raise Broken("The server would not roll back.")
    core.end_writes(transaction.writes, Ending.FAILED, failure.sqlstate, failure.reason)
    tell_failure(core, error_of(failure), failure.error or {})


def _other(core: Core, job: Job, permission: Pass, action: TxnAction) -> Step:
    answer = Answer()
    send_job(core, permission, job, anew=False, answer=answer)
    yield Want.QUIET
    transaction = core.transaction
    if transaction is None or answer.error is not None or core.link.failed:
        return
    match action.kind:
        case TxnKind.SAVEPOINT:
            transaction.save(action.name)
        case TxnKind.RELEASE:
            transaction.release(action.name)
        case TxnKind.ROLLBACK_TO:
            core.end_writes(transaction.roll_back_to(action.name), Ending.ROLLED_BACK)
        case TxnKind.SET_TRANSACTION:
            # Inside a savepoint the mode ends with it: then the guard stays.
            if action.read_only and not transaction.savepoints:
                transaction.read_only = True
        case _:
            core.ended(answer)


def group_end(core: Core) -> Step:
    """The client's Sync after writes of its group: they ran in a transaction of ours, which ends now."""
    yield from settled(core)
    if core.link.failed or core.link.status == FAILED:
        yield from rolled_back(core)
    else:
        yield from committed(core)
    core.grouped = core.link.failed = False
    core.link.send(encode.SYNC_MESSAGE, SYNC)
    yield Want.QUIET


def committed(core: Core) -> Step:
    """Commit our own transaction; an error of it is the client's."""
    core.committing = True
    answer = yield from ask(core, core.hidden.commit, 1)
    core.committing = False
    writes, core.own = core.own or [], None
    if answer.tags == [b"COMMIT"]:
        core.end_writes(writes, Ending.COMMITTED)
        return
    core.end_writes(writes, Ending.FAILED, answer.sqlstate, answer.reason)
    if answer.error is not None:
        core.link.say(error_of(answer))


def error_of(answer: Answer) -> bytes:
    """An error of the server, written anew with all its fields."""
    return encode.fields_message(b"E", answer.error or {})


def synced(core: Core) -> Step:
    """The client's Sync where the server had one of ours, and nothing after it: it would only say the same again."""
    yield Want.QUIET
    core.link.say(encode.ready_for_query(core.link.status))


def before_query(core: Core) -> Step:
    """A Query, or FunctionCall, out of turn: the open group is brought to its end first, unless it has failed."""
    core.out_of_turn = True
    try:
        yield from settled(core)
    finally:
        core.out_of_turn = False
    if not core.link.failed:
        if core.own is not None:
            yield from committed(core)
        core.grouped = False
