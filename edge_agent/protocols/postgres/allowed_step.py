"""A write that policy allows, in the caller's own transaction: forwarded at once, never committed before it is on disk.

    recorded ─▶ forwarded, in one flight with leaving the guard ─▶ answered
    COMMIT   ─▶ its record has the transaction's id ─▶ all of it is on disk (`core.kept`) ─▶ forwarded

Until its COMMIT a transaction has changed nothing that stays, so nothing is waited for before. What takes the long way
(`write_step`): a write by itself, COPY, what writes anything but rows of tables (a rollback undoes no `setval`), and
all of it where the server does not report a search_path that moved (before PostgreSQL 18).
"""

from __future__ import annotations

from typing import Final

from edge_agent.protocols.postgres.copy_in import is_copy_in
from edge_agent.protocols.postgres.core import Core, Flight, Step, Want, refused, send_job
from edge_agent.protocols.postgres.door import Judgement
from edge_agent.protocols.postgres.events import Ending, Outcome, Written
from edge_agent.protocols.postgres.expect import Answer
from edge_agent.protocols.postgres.link import IN_TRANSACTION
from edge_agent.protocols.postgres.pipeline import Job
from edge_agent.protocols.postgres.places import last_error, rows_of
from edge_agent.protocols.postgres.sqlstate import INSUFFICIENT_PRIVILEGE
from edge_agent.protocols.postgres.transaction import Transaction, Write
from twokeys.decision import Outcome as Decided
from twokeys.effect import Effect as Does
from twokeys.effect import ObjectKind
from twokeys.errors import Refused

_OF_ROWS: Final = frozenset({"INSERT", "UPDATE", "DELETE", "MERGE", "SELECT"})
"""Kinds of statements whose writes are undone with their transaction, as long as they call nothing that writes."""


def is_quick(core: Core, job: Job) -> bool:
    """Whether a Command may go this way, as far as can be told before what is in flight is answered."""
    if not is_of_rows(job.judgement) or is_copy_in(job) or not core.path_reported:
        return False
    return core.own is None and core.transaction is not None and core.transaction.writable


def is_of_rows(judgement: Judgement) -> bool:
    """Whether it writes nothing but rows of tables, as one statement, and policy allows it."""
    decision, found = judgement.decision, judgement.verdict.classification
    if decision.outcome is not Decided.ALLOW or decision.sensitive:
        return False
    if found.effect is not Does.WRITE or found.kind not in _OF_ROWS or found.statements != 1:
        return False
    return all(access.object.kind is ObjectKind.TABLE for access in found.accesses)


def may_pass(core: Core) -> bool:
    """Whether a write of rows that policy allows may go by the lane, now that nothing is under way."""
    transaction = core.transaction
    if transaction is None or not transaction.writable or core.link.status != IN_TRANSACTION or not core.path_reported:
        return False
    return len(transaction.writes) < core.limits.writes and means_the_same(core)


def means_the_same(core: Core) -> bool:
    """Whether unqualified names mean what the text was judged by: the server has reported all that moved them."""
    path = core.link.search_path
    return path is None or core.door.confirm(path.decode("utf-8", "replace"))


def quick(core: Core, job: Job, transaction: Transaction) -> Step:
    """Record it, forward it, wait for its answer. Everything before it is answered, and the guard may be open."""
    try:
        permission = core.door.admit(job.judgement)
    except Refused as error:
        core.decline(job.judgement, job.command.text, INSUFFICIENT_PRIVILEGE, error.happened)
        yield from refused(core, INSUFFICIENT_PRIVILEGE, error.happened, error.not_done, error.advice)
        return
    core.ticket += 1
    core.records.append(Written(core.ticket, job.judgement, job.command))
    transaction.unkept = True
    if job.simple:
        core.leave_guard()
    else:
        core.unguard()
    answer, asked = Answer(), Answer()
    write = Write(core.ticket, xid=transaction.xid)
    send_job(core, permission, job, answer=answer)
    if not transaction.xid:
        core.link.send_hidden(core.hidden.assigned_xid, 1, asked)
        core.link.sync()
    yield from awaited(core, transaction, write, answer, asked)


def awaited(core: Core, transaction: Transaction, write: Write, answer: Answer, asked: Answer) -> Step:
    """Wait for the answer of what was forwarded.

    Args:
        core: The session.
        transaction: The caller's.
        write: What was forwarded.
        answer: Its answer.
        asked: That to the question for the transaction's id.
    """
    core.flight = Flight(write, Ending.ROLLED_BACK)
    yield Want.QUIET
    core.flight = None
    if (row := asked.row) is not None:
        transaction.xid = row[0]
    if answer.error is None and core.link.status == IN_TRANSACTION:
        transaction.writes.append(Write(write.ticket, rows_of(answer), transaction.xid))
        return
    state, reason = (answer.sqlstate, answer.reason) if answer.error else last_error(core)
    core.effects.append(Outcome(write.ticket, Ending.FAILED, None, state, reason, transaction.xid))
