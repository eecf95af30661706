"""A write on probation: it runs, the server counts what it changed, and it stays only when that is within its Pass.

    SAVEPOINT, count ─▶ forward, its answer kept aside ─▶ count ─▶ within: RELEASE, the client has its answer
                                                               └─▶ more, or not known: ROLLBACK TO, it waits for people

Rules:
  1. What was changed is the larger of the command tag's count and of what the server counted in all tables of the
     transaction: rows of data-changing CTEs, triggers, rules and cascades too. Not known (`track_counts` is off, a
     count that fell, no tag) is more.
     Triggers that are deferred to the end of the transaction run for the count, are undone, and run again at its end.
  2. Until that is decided the client sees nothing of its answer: rows of RETURNING can't be taken back.
  3. What rolls back can't undo: sequences that moved, and what triggers did outside of the database.
"""

from __future__ import annotations

from collections.abc import Generator

from edge_agent.gate import Pass
from edge_agent.protocols.postgres import server_messages as server
from edge_agent.protocols.postgres.core import Core, Flight, Step, Want, ask, send_job
from edge_agent.protocols.postgres.events import Ending, Order, Outcome, Tried
from edge_agent.protocols.postgres.expect import Answer
from edge_agent.protocols.postgres.link import IN_TRANSACTION, Broken
from edge_agent.protocols.postgres.pipeline import Job
from edge_agent.protocols.postgres.places import Place, end_in_ours, end_in_theirs, last_error, rows_of
from edge_agent.protocols.postgres.transaction import Write
from twokeys.errors import InvalidInput


def on_probation(
    core: Core, job: Job, place: Place, permission: Pass, write: Write
) -> Generator[Want, Order | None, Tried | None]:
    """Run it. None when that was its end: it stays or has failed. Else nothing of it is left, and this is to be told.

    Until then it is a flight: should the session end, it is rolled back.
    """
    link, within = core.link, permission.within
    if place not in (Place.CLIENT, Place.OWN) or within is None or link.status != IN_TRANSACTION:
        return Tried(write.ticket, None, stays=False)
    core.flight = Flight(write, Ending.ROLLED_BACK)
    before = yield from _changed(core, core.hidden.try_begin, 2)
    if before is None:
        yield from _undo(core, job)
        return Tried(write.ticket, None, stays=False)
    answer = Answer()
    link.set_aside()
    send_job(core, permission, job, keep=job.simple and place is Place.OWN, answer=answer)
    yield Want.QUIET
    if link.last_error:
        core.flight = None
        state, reason = (answer.sqlstate, answer.reason) if answer.error else last_error(core)
        core.effects.append(Outcome(write.ticket, Ending.FAILED, None, state, reason, write.xid))
        yield from _end(core, job, place, None)
        return None
    rows = _most(rows_of(answer), before, (yield from _changed(core, core.hidden.try_all, 5)))
    if rows is None or rows > within or link.overflowed:
        yield from _undo(core, job)
        return Tried(write.ticket, rows, stays=False)
    kept = yield from ask(core, core.hidden.try_keep, 1)
    if kept.error is not None:
        raise Broken("What was tried could not be kept.")
    core.flight = None
    core.effects.append(Tried(write.ticket, rows, stays=True))
    yield from _end(core, job, place, Write(write.ticket, rows_of(answer), write.xid))
    return None


def _end(core: Core, job: Job, place: Place, done: Write | None) -> Step:
    """The client has its answer, and the Command ends as any other at its place."""
    core.link.bring_back()
    if place is Place.CLIENT:
        end_in_theirs(core, done)
    else:
        yield from end_in_ours(core, job, done)


def _undo(core: Core, job: Job) -> Step:
    undone = yield from ask(core, core.hidden.try_undo, 2)
    if undone.error is not None or core.link.status != IN_TRANSACTION:
        raise Broken("What was tried could not be undone.", alarm=True)
    core.link.drop_kept()
    core.link.bring_back(drop=True)
    if job.portal is not None:
        # Gone with the savepoint: bound anew when it is run after all, and the client has no answer of it yet.
        job.portal.sent = job.portal.started = False


def _changed(core: Core, commands: bytes, count: int) -> Generator[Want, Order | None, int | None]:
    """What the transaction has changed so far; None when the server does not say."""
    answer = yield from ask(core, commands, count)
    if answer.error is not None:
        return None
    try:
        counts, total = server.read_data_row(bytes(answer.rows), 0, len(answer.rows))
    except (InvalidInput, ValueError):
        return None
    return int(total) if counts == b"on" and total is not None and total.isdigit() else None


def _most(tag: int | None, before: int | None, after: int | None) -> int | None:
    if tag is None or before is None or after is None or after < before:
        return None
    return max(tag, after - before)
