"""An allowed write by itself, in a transaction of ours: the COMMIT goes with it.

    begun, its id recorded, on disk ─▶ the write and COMMIT, in one flight ─▶ answered

Nobody has to look at what it did before it is committed: no bound of rows, and nothing else in its transaction. Where
the write fails, COMMIT rolls back (https://www.postgresql.org/docs/current/sql-commit.html), and one that fails itself
is an error of the write's, as it is without us.
"""

from __future__ import annotations

from edge_agent.gate import Pass
from edge_agent.protocols.postgres import encode
from edge_agent.protocols.postgres.allowed_step import is_of_rows
from edge_agent.protocols.postgres.core import Core, Flight, Step, Want, ask, runs_in_parts, send_job
from edge_agent.protocols.postgres.events import Ending, Outcome
from edge_agent.protocols.postgres.expect import Answer
from edge_agent.protocols.postgres.link import FAILED, IDLE, Broken
from edge_agent.protocols.postgres.pipeline import Job
from edge_agent.protocols.postgres.places import last_error, rows_of
from edge_agent.protocols.postgres.steps import error_of
from edge_agent.protocols.postgres.transaction import Write


def is_alone(core: Core, job: Job, permission: Pass) -> bool:
    """Whether nothing else comes in the transaction of ours that was begun for it, and it may change any rows."""
    if core.own or permission.most_rows is not None or permission.within is not None or runs_in_parts(job):
        return False
    return is_of_rows(job.judgement) and (job.simple or core.sync_next)


def run_and_commit(core: Core, job: Job, permission: Pass, write: Write) -> Step:
    """Forward it with the COMMIT behind it, and tell its outcome."""
    answer, ended = Answer(), Answer()
    send_job(core, permission, job, keep=job.simple, answer=answer)
    core.link.send_hidden(core.hidden.commit, 1, ended)
    core.link.sync()
    core.flight = Flight(write, Ending.UNKNOWN)
    yield Want.QUIET
    core.flight, core.own = None, None
    failure = core.link.last_error
    if core.link.status == FAILED:
        # A late cancel hit the COMMIT before it began.
        yield from ask(core, core.hidden.rollback, 1)
    core.link.last_error = failure
    if core.link.status != IDLE:
        raise Broken("A transaction of ours did not end with its COMMIT.", alarm=True)
    done = Write(write.ticket, rows_of(answer), write.xid)
    if not answer.tags:
        state, reason = (answer.sqlstate, answer.reason) if answer.error else last_error(core)
        core.effects.append(Outcome(write.ticket, Ending.FAILED, None, state, reason, write.xid))
    elif ended.tags == [b"COMMIT"]:
        core.end_writes([done], Ending.COMMITTED)
        core.link.release_kept()
    else:
        core.link.drop_kept()
        core.end_writes([done], Ending.FAILED, ended.sqlstate, ended.reason)
        core.link.say(error_of(ended))
    if job.simple:
        core.link.say(encode.ready_for_query(core.link.status))
