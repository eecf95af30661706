"""A Query of several statements with transaction control among them: one after the other.

    BEGIN; SELECT 1; COMMIT       ─▶ three Queries, each judged, admitted, recorded and answered as if it had come by
                                     itself; the client sees one ReadyForQuery, after the last, or after the first that
                                     fails
    RELEASE a; SAVEPOINT a; UPDATE … ─▶ the same: what asks people comes last, and in the caller's own transaction, so
                                     that nothing was done before they answer, and nothing is done after it

ODBC drivers send such texts (ADR 31). Of any other, what is more than a read is refused (`classify.sql`, and here).
https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-MULTI-STATEMENT
"""

from __future__ import annotations

from edge_agent.classify.parser import Unparsable, parse
from edge_agent.classify.transaction import LEADING, TxnKind
from edge_agent.protocols.postgres import encode, sqlstate
from edge_agent.protocols.postgres.core import Core, Step, Want, refused
from edge_agent.protocols.postgres.door import MIXED, Judgement, Route
from edge_agent.protocols.postgres.events import Forwarded
from edge_agent.protocols.postgres.expect import Answer
from edge_agent.protocols.postgres.masking import query_answer
from edge_agent.protocols.postgres.pipeline import Job
from edge_agent.protocols.postgres.rewind import advice
from edge_agent.protocols.postgres.steps import transaction_step
from edge_agent.protocols.postgres.write_step import write_step
from twokeys.command import PostgresCommand, QueryProtocol
from twokeys.errors import Refused


def mixed_step(core: Core, judgement: Judgement, text: bytes) -> Step:
    """Run the statements of a text, up to the first that fails."""
    parts = _statements(text)
    if not _may_run(core, [core.door.judge(QueryProtocol.SIMPLE, part) for part in parts]):
        core.decline(judgement, text, *MIXED)
        yield from refused(core, MIXED[0], f"twokeys: refused: {MIXED[1]}", "", "Nothing was run.")
        return
    core.mixed = True
    try:
        for part in parts:
            core.link.last_error = {}
            # Judged anew: what came before it may have moved what names mean.
            yield from _run(core, part, core.door.judge(QueryProtocol.SIMPLE, part))
            if core.link.last_error:
                break
    finally:
        core.mixed = False
    core.link.failed = False
    core.link.say(encode.ready_for_query(core.link.status))


def _statements(text: bytes) -> list[bytes]:
    try:
        trees = parse(text)
    except Unparsable:
        return []
    starts = [tree.get("stmt_location", 0) for tree in trees]
    lengths = [tree.get("stmt_len", len(text)) for tree in trees]
    return [text[start : start + length] for start, length in zip(starts, lengths, strict=True)]


def _may_run(core: Core, found: list[Judgement]) -> bool:
    """Whether all of a text's statements may run one by one, as far as can be told before the first."""
    if not found or not all(map(_may_be_a_part, found[:-1])):
        return False
    last = found[-1]
    if last.route is not Route.STEP:
        return _may_be_a_part(last)
    kinds = [one.verdict.actions[0].kind for one in found[:-1] if one.route is Route.TRANSACTION]
    if last.verdict.is_copy_in or not last.verdict.can_run_in_transaction or not LEADING.issuperset(kinds):
        return False
    return core.transaction is not None or TxnKind.BEGIN in kinds


def _may_be_a_part(judgement: Judgement) -> bool:
    verdict = judgement.verdict
    if judgement.route is Route.TRANSACTION:
        return True
    if verdict.executes or verdict.resets_session or verdict.is_copy_out or verdict.classification.kind == "PREPARE":
        return False
    return judgement.route is Route.READ


def _run(core: Core, part: bytes, judgement: Judgement) -> Step:
    job = Job(PostgresCommand(QueryProtocol.SIMPLE, part), judgement, encode.query(part))
    if judgement.route is Route.TRANSACTION:
        yield from transaction_step(core, job)
    elif judgement.route is Route.STEP and core.transaction is not None and not judgement.verdict.is_copy_in:
        yield from write_step(core, job)
    elif _may_be_a_part(judgement):
        yield from _read(core, part, judgement)
    else:
        core.decline(judgement, part, *MIXED)
        yield from refused(core, MIXED[0], f"twokeys: refused: {MIXED[1]}", "", "This statement was not run.")


def _read(core: Core, part: bytes, judgement: Judgement) -> Step:
    try:
        permission = core.door.admit(judgement)
    except Refused as error:
        core.decline(judgement, part, sqlstate.INSUFFICIENT_PRIVILEGE, error.happened)
        yield from refused(core, sqlstate.INSUFFICIENT_PRIVILEGE, error.happened, error.not_done, error.advice)
        return
    core.records.append(Forwarded(judgement, QueryProtocol.SIMPLE, part, None))
    core.note_read(judgement.verdict)
    # With an Answer: what the server calls a write is the client's error, as the whole can't be rewound.
    expected = query_answer(judgement.masks, Answer(), hides=b"Z")
    core.link.advice = advice(core)
    core.read_simple(permission, encode.query(part), expected, leaves=judgement.leaves)
    yield Want.QUIET
    core.link.advice = b""
