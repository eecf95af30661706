"""A question of a preview, asked in the client's own session while its Command waits.

    idle              BEGIN READ ONLY, timeouts, question, ROLLBACK                                one flight
    in a transaction  the guard's savepoint, read-only, timeouts, question, ROLLBACK TO, RELEASE   one flight

Rules:
  1. A question with words of the caller's is asked only when the door proves it a read, as any read of the client's.
  2. It runs where the server itself refuses to write, under timeouts of its own, and is rolled back: locks that it took
     and settings that it made are gone, and the transaction is as it was, whatever happened.
  3. The server's error texts go no further: they can hold values of rows.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Final

from edge_agent.preview.question import Answered, Question
from edge_agent.protocols.postgres import encode
from edge_agent.protocols.postgres import server_messages as server
from edge_agent.protocols.postgres.core import Core, Want, ask
from edge_agent.protocols.postgres.events import Order
from edge_agent.protocols.postgres.expect import Answer
from edge_agent.protocols.postgres.limits import HEADER_BYTES
from edge_agent.protocols.postgres.link import FAILED, IDLE, Broken
from edge_agent.protocols.postgres.pipeline import Job
from twokeys.command import QueryProtocol
from twokeys.errors import InvalidInput

_REASONS: Final = {
    "57014": "the server would have worked too long at it",
    "55P03": "another session holds a lock on it",
    "25006": "it would write",
    "42501": "the Edge's role may not read it",
}
"""By SQLSTATE (appendix A of PostgreSQL's manual)."""

UNPROVEN: Final = "it is no proven read: what it calls could do something"
TOO_LONG: Final = "the answer is too long"


def answered(
    core: Core, job: Job, types: tuple[int, ...], question: Question
) -> Generator[Want, Order | None, Answered]:
    """Ask, and leave nothing of it behind. Raises Broken when the transaction is not as it was."""
    if question.of_caller and not _is_proven(core, question.sql):
        return Answered(reason=UNPROVEN)
    before = core.link.status
    core.link.last_error = {}
    answer = Answer(most=question.most_bytes)
    yield from _asked(core, _commands(core, job, types, question, idle=before == IDLE), answer)
    if core.link.status == FAILED or (before == IDLE and core.link.status != IDLE):
        undo, count = (core.hidden.rollback, 1) if before == IDLE else (core.hidden.guard_undo, 2)
        yield from ask(core, undo, count)
    if core.link.status != before:
        raise Broken("A question of ours could not be undone.", alarm=True)
    core.link.last_error = {}
    return _read(answer)


def _is_proven(core: Core, sql: bytes) -> bool:
    verdict = core.door.judge(QueryProtocol.SIMPLE, sql).verdict
    plain = not verdict.actions and not verdict.is_copy_in and not verdict.is_copy_out
    return verdict.is_read and plain and verdict.classification.statements == 1


def _commands(
    core: Core, job: Job, types: tuple[int, ...], question: Question, *, idle: bool
) -> tuple[bytes, int]:  # fmt: skip
    """The flight, and how many commands it has."""
    hidden = core.hidden
    timeouts = b"".join(
        hidden.question(text)
        for text in (
            b"SET LOCAL statement_timeout = %d" % question.statement_milliseconds,
            b"SET LOCAL lock_timeout = %d" % question.lock_milliseconds,
        )
    )
    asking = _bound(core, job, types, question) if question.of_caller else hidden.question(question.sql)
    if idle:
        return hidden.question(b"BEGIN READ ONLY") + timeouts + asking + hidden.rollback, 5
    return hidden.guard_open + timeouts + asking + hidden.guard_undo, 7


def _bound(core: Core, job: Job, types: tuple[int, ...], question: Question) -> bytes:
    """The question with the Command's own values, of the types that the server resolved for it."""
    name = core.hidden.name
    command = job.command
    return b"".join(
        (
            encode.close(b"S", name),
            encode.close(b"P", name),
            encode.parse(name, question.sql, types[: len(command.parameter_values)]),
            encode.bind(name, name, command.parameter_values, command.parameter_formats),
            encode.execute(name),
        )
    )


def _asked(core: Core, commands: tuple[bytes, int], answer: Answer) -> Generator[Want, Order | None, None]:
    core.link.send_hidden(*commands, answer)
    core.link.sync()
    yield Want.QUIET


def _read(answer: Answer) -> Answered:
    if answer.error is not None:
        return Answered(reason=_REASONS.get(answer.sqlstate, f"the server refused it ({answer.sqlstate})"))
    if answer.dropped:
        return Answered(reason=TOO_LONG)
    rows: list[tuple[str | None, ...]] = []
    data, at = bytes(answer.rows), 0
    try:
        while at < len(data):
            end = at + 1 + int.from_bytes(data[at + 1 : at + HEADER_BYTES])
            values = server.read_data_row(data, at, end)
            rows.append(tuple(None if value is None else value.decode("utf-8", "replace") for value in values))
            at = end
    except InvalidInput:
        return Answered(reason="the server's answer could not be read")
    return Answered(tuple(rows))
