"""Where a Command runs, once it has its Pass, and how its outcome is learned.

CLIENT    in the client's own transaction, which was lifted when it began; its outcome is known at that one's end
OWN       in a transaction of ours, committed after a Query, or at the Sync of an extended group
BRACKET   between SET default_transaction_read_only = off and = on: what can't run in a transaction block
READ      a read that waited: as any other read
"""

from __future__ import annotations

import enum
from collections.abc import Generator

from edge_agent.gate import Pass
from edge_agent.protocols.postgres import encode, sqlstate
from edge_agent.protocols.postgres import server_messages as server
from edge_agent.protocols.postgres.bounded import exceeds, roll_back_excess
from edge_agent.protocols.postgres.copy_in import is_copy_in, transferred
from edge_agent.protocols.postgres.core import Core, Flight, Step, Want, ask, rolled_back, send_job
from edge_agent.protocols.postgres.events import Ending, Order, Outcome
from edge_agent.protocols.postgres.expect import Answer
from edge_agent.protocols.postgres.link import FAILED, IDLE, IN_TRANSACTION, Broken
from edge_agent.protocols.postgres.masking import query_answer
from edge_agent.protocols.postgres.pipeline import Job
from edge_agent.protocols.postgres.rewind import advice
from edge_agent.protocols.postgres.steps import error_of
from edge_agent.protocols.postgres.transaction import Write


class Place(enum.Enum):
    """See the module."""

    CLIENT, OWN, BRACKET, READ = range(4)


def place_of(core: Core, job: Job) -> Place:
    """Where a Command would run now."""
    if not job.judgement.writes:
        return Place.READ
    if core.transaction is not None:
        return Place.CLIENT
    if core.own is not None or job.judgement.verdict.can_run_in_transaction:
        return Place.OWN
    return Place.BRACKET


def run(core: Core, job: Job, place: Place, permission: Pass, write: Write) -> Step:
    """Run a Command at its place."""
    match place:
        case Place.BRACKET:
            yield from _run_bracketed(core, job, permission, write)
        case Place.READ:
            yield from _run_read(core, job, permission, write)
        case Place.CLIENT:
            yield from _run_in_theirs(core, job, permission, write)
        case Place.OWN:
            yield from _run_in_ours(core, job, permission, write)


def last_error(core: Core) -> tuple[str, str]:
    """SQLSTATE and message of the last error; empty without one."""
    error = core.link.last_error
    return error.get("C", b"").decode("ascii", "replace"), error.get("M", b"").decode("utf-8", "replace")


def rows_of(answer: Answer) -> int | None:
    """Rows affected: the counts of all tags but SELECT's; None where none counts."""
    counts = [server.rows_of_tag(tag) for tag in answer.tags if not tag.startswith((b"SELECT", b"FETCH"))]
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def _fly(core: Core, write: Write, lost: Ending, answer: Answer) -> Generator[Want, Order | None, Write | None]:
    """Wait for a forwarded Command. Returns the write with its rows; None when it failed, which is told."""
    core.flight = Flight(write, lost)
    yield Want.QUIET
    core.flight = None
    done = Write(write.ticket, rows_of(answer), write.xid)
    if core.link.last_error:
        state, reason = (answer.sqlstate, answer.reason) if answer.error else last_error(core)
        core.effects.append(Outcome(write.ticket, Ending.FAILED, None, state, reason, write.xid))
        return None
    return done


def _run_in_theirs(core: Core, job: Job, permission: Pass, write: Write) -> Step:
    answer = Answer()
    kept = job.simple and permission.most_rows is not None
    send_job(core, permission, job, keep=kept, answer=answer)
    if is_copy_in(job):
        yield from transferred(core, job, write.ticket, answer)
    done = yield from _fly(core, write, Ending.ROLLED_BACK, answer)
    if done is not None and exceeds(permission, done):
        yield from roll_back_excess(core, permission, done)
        return
    end_in_theirs(core, done)
    if kept:
        core.link.release_kept()
        if not core.mixed:
            core.link.say(encode.ready_for_query(core.link.status))


def end_in_theirs(core: Core, done: Write | None) -> None:
    """A Command in the client's own transaction was answered; None when it failed."""
    if done is not None and core.transaction is not None:
        core.transaction.writes.append(done)


def _run_in_ours(core: Core, job: Job, permission: Pass, write: Write) -> Step:
    answer = Answer()
    send_job(core, permission, job, keep=job.simple, answer=answer)
    if is_copy_in(job):
        yield from transferred(core, job, write.ticket, answer)
    done = yield from _fly(core, write, Ending.ROLLED_BACK, answer)
    if done is not None and exceeds(permission, done) and core.own is not None and core.link.status == IN_TRANSACTION:
        yield from roll_back_excess(core, permission, done)
        return
    yield from end_in_ours(core, job, done)


def end_in_ours(core: Core, job: Job, done: Write | None) -> Step:
    """A Command in a transaction of ours was answered; None when it failed."""
    if core.own is not None and done is not None:
        core.own.append(done)
    if core.link.status == IDLE or core.own is None:
        core.committing = True
        raise Broken("A transaction of ours was ended by the statement in it.", alarm=True)
    if not job.simple:
        # Its outcome is known at the client's Sync: a Sync group is one transaction.
        return
    if done is None or core.link.status == FAILED:
        yield from rolled_back(core)
    else:
        yield from _commit_query(core)
    core.link.say(encode.ready_for_query(core.link.status))


def _commit_query(core: Core) -> Step:
    """Commit after a Query. Its CommandComplete was kept back: an error of the COMMIT takes its place."""
    core.committing = True
    answer = yield from ask(core, core.hidden.commit, 1)
    core.committing = False
    writes, core.own = core.own or [], None
    if answer.tags == [b"COMMIT"]:
        core.end_writes(writes, Ending.COMMITTED)
        core.link.release_kept()
        return
    core.link.drop_kept()
    core.end_writes(writes, Ending.FAILED, answer.sqlstate, answer.reason)
    core.link.say(error_of(answer))


def _run_bracketed(core: Core, job: Job, permission: Pass, write: Write) -> Step:
    answer = Answer()
    core.link.bracket = True
    opened = yield from ask(core, core.hidden.bracket_open, 1)
    if opened.error is None:
        send_job(core, permission, job, keep=job.simple, answer=answer)
        done = yield from _fly(core, write, Ending.UNKNOWN, answer)
        if done is not None:
            core.effects.append(Outcome(write.ticket, Ending.COMMITTED, done.rows))
    else:
        core.flight = None
        core.effects.append(Outcome(write.ticket, Ending.FAILED, None, opened.sqlstate, opened.reason))
        core.link.say(error_of(opened))
    for _ in range(_CLOSING_TRIES):
        closed = yield from ask(core, core.hidden.bracket_close, 1)
        if closed.error is None:
            break
    core.link.bracket = False
    if not core.link.read_only_default or closed.error is not None or core.link.status != IDLE:
        raise Broken("The session could not be made read-only again.", alarm=True)
    core.link.release_kept()
    if job.simple:
        core.link.say(encode.ready_for_query(core.link.status))
    elif opened.error is not None:
        core.tail, core.link.failed = None, True


_CLOSING_TRIES = 2
"""A late cancel can hit the closing SET once."""


def _run_read(core: Core, job: Job, permission: Pass, write: Write) -> Step:
    answer = Answer()
    core.link.advice = advice(core)
    core.note_read(job.judgement.verdict)
    if job.simple:
        core.link.last_error = {}
        owed = core.masks.of(job.judgement.verdict, job.command.text)
        core.read_simple(permission, job.raw, query_answer(owed, answer, hides=b"Z" * core.mixed))
    else:
        core.guard()
        core.leaves = True
        send_job(core, permission, job, answer=answer)
    done = yield from _fly(core, write, Ending.UNKNOWN, answer)
    core.link.advice = b""
    if done is not None:
        core.effects.append(Outcome(write.ticket, Ending.COMMITTED, done.rows))
    elif answer.sqlstate == sqlstate.READ_ONLY_TRANSACTION and not job.judgement.moves_names:
        # It was recorded as a read and has its Outcome: the next time it is judged as the write that it is.
        core.door.witness(job.command.text, answer.reason)
