"""COPY FROM STDIN: its data come after its text, so they are taken before anybody is asked (attack W5).

held     text ─▶ columns asked ─▶ CopyInResponse of ours ─▶ data staged and digested ─▶ CopyDone ─▶ Held, with digest
              ─▶ Pass ─▶ text forwarded ─▶ the server's CopyInResponse ─▶ the staged data ─▶ CopyDone
allowed  text ─▶ Pass ─▶ text forwarded ─▶ the server's CopyInResponse ─▶ data pass through, digested on the way

The shell keeps staged data and digests them once more as it gives them back: data that are not the ones held end in
CopyFail, which the server answers by an error and no row.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

from edge_agent.classify.copy_from import CopyFrom, read_copy_from
from edge_agent.protocols.postgres import encode, sqlstate
from edge_agent.protocols.postgres import server_messages as server
from edge_agent.protocols.postgres.copy_intake import GIVEN_UP, Intake
from edge_agent.protocols.postgres.core import Core, Step, Want, ask, refused
from edge_agent.protocols.postgres.events import Copied, Order, SendStaged, StageBegun, Staged, StageDropped
from edge_agent.protocols.postgres.expect import Answer
from edge_agent.protocols.postgres.link import IN_TRANSACTION
from edge_agent.protocols.postgres.pipeline import Job
from twokeys.copy_data import CopyFormat
from twokeys.decision import Outcome as Decided
from twokeys.errors import InvalidInput

Refusal = tuple[str, str, str, str]
MAX_COLUMNS = 1664
"""Of a relation in PostgreSQL (MaxTupleAttributeNumber)."""


def is_copy_in(job: Job) -> bool:
    """Whether data of the client follow it."""
    return job.judgement.verdict.is_copy_in


def staged(core: Core, job: Job) -> Generator[Want, Order | None, Job | None]:
    """Take the data of a COPY that may be held. Returns the Job with them; None when it was answered with an error."""
    if job.judgement.decision.outcome is not Decided.HOLD:
        return job
    try:
        copy = read_copy_from(job.command.text)
    except InvalidInput as error:
        yield from refused(core, sqlstate.NOT_SUPPORTED, error.happened)
        return None
    columns = yield from _columns(core, copy)
    if not isinstance(columns, int):
        yield from refused(core, *columns)
        return None
    intake = core.intake = Intake(copy, lambda data: _stage(core, data), core.limits.copy_bytes)
    core.effects.append(StageBegun())
    _answer_tail(core, job)
    core.link.say(encode.copy_in_response(columns, binary=copy.format is CopyFormat.BINARY))
    core.until = lambda: intake.over
    yield Want.COPY
    core.intake = None
    core.dropping = not intake.ended
    if intake.failure is None:
        return replace(job, command=replace(job.command, copy=intake.copied()))
    core.effects.append(StageDropped())
    state, message = intake.failure
    core.decline(job.judgement, job.command.text, state, message)
    yield from refused(core, state, message, "", "Nothing was run, and nobody was asked.")
    return None


def transferred(core: Core, job: Job, ticket: int, answer: Answer) -> Step:
    """The data, once the text was forwarded: the staged ones, or the client's as they come."""
    core.until = lambda: core.link.copy_in or core.link.quiet
    yield Want.COPY
    if core.link.copy_in and job.command.copy is not None:
        core.sending = ticket
        core.until = lambda: not core.sending or answer.error is not None
        core.effects.append(SendStaged(ticket))
        yield Want.COPY
        core.sending = 0
    elif core.link.copy_in:
        yield from _passed_through(core, job, ticket, answer)
    core.link.copy_in = False
    if job.portal is not None:
        core.unguard()
        core.link.sync()
        core.unsynced = False


def _passed_through(core: Core, job: Job, ticket: int, answer: Answer) -> Step:
    link = core.link
    intake = core.intake = Intake(
        read_copy_from(job.command.text), lambda data: link.send(encode.copy_data(data), None)
    )
    core.until = lambda: intake.over or answer.error is not None
    yield Want.COPY
    core.intake = None
    core.dropping = not intake.ended
    if answer.error is None:
        # The server says the beginning of it itself.
        reason = "" if intake.failure is None else intake.failure[1].removeprefix(GIVEN_UP)
        link.send(encode.COPY_DONE_MESSAGE if intake.failure is None else encode.copy_fail(reason), None)
    core.effects.append(Copied(ticket, intake.copied()))


def _stage(core: Core, data: bytes) -> None:
    last = core.effects[-1] if core.effects else None
    if isinstance(last, Staged):
        last.parts.append(data)
    else:
        core.effects.append(Staged([data]))


def _answer_tail(core: Core, job: Job) -> None:
    """The client waits for these before it sends data; the server's own answers come when it has them, unseen."""
    if job.tail is not None:
        job.tail.answered = True
        core.link.say(encode.BIND_COMPLETE_MESSAGE)
        for _ in job.tail.describes:
            core.link.say(encode.NO_DATA_MESSAGE)


def _columns(core: Core, copy: CopyFrom) -> Generator[Want, Order | None, int | Refusal]:
    """How many columns the data have, by the server's word; or why it can't be run."""
    question = core.hidden.question(_columns_sql(copy))
    if core.may_be_written and core.link.status == IN_TRANSACTION:
        answer = yield from ask(core, core.hidden.guard_open + question + core.hidden.guard_close, 4)
    else:
        answer = yield from ask(core, question, 1)
    if answer.error is not None or not answer.rows:
        reason = answer.reason or "The server does not tell the columns of the relation."
        return answer.sqlstate or sqlstate.INTERNAL_ERROR, reason, "", "Nothing was run."
    relation, count = server.read_data_row(bytes(answer.rows), 0, len(answer.rows))
    found = int(count or 0)
    if relation is None:
        return sqlstate.UNKNOWN_TABLE, f'relation "{copy.relation}" does not exist', "", ""
    if copy.columns and found != len(copy.columns):
        named = "A column named in the COPY does not exist, is generated, or is named twice."
        return sqlstate.UNKNOWN_COLUMN, named, "", ""
    return min(found, MAX_COLUMNS)


def _columns_sql(copy: CopyFrom) -> bytes:
    names = ".".join('"' + name.replace('"', '""') + '"' for name in (copy.schema, copy.relation) if name)
    relation = f"pg_catalog.to_regclass({_literal(names)})"
    columns = ", ".join(map(_literal, copy.columns))
    listed = f"AND attname::pg_catalog.text OPERATOR(pg_catalog.=) ANY (ARRAY[{columns}])" if copy.columns else ""
    sql = (
        f"SELECT {relation}::pg_catalog.text, "  # noqa: S608 - every name in it is a quoted literal
        "(SELECT pg_catalog.count(*) FROM pg_catalog.pg_attribute "
        f"WHERE attrelid OPERATOR(pg_catalog.=) {relation}::pg_catalog.oid AND attnum OPERATOR(pg_catalog.>) 0 "
        f"AND NOT attisdropped AND attgenerated::pg_catalog.text OPERATOR(pg_catalog.=) '' {listed})::pg_catalog.text"
    )
    return sql.encode()


def _literal(text: str) -> str:
    # standard_conforming_strings is on: a backslash is one.
    return "'" + text.replace("'", "''") + "'"
