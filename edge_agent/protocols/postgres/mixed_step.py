"""A Query of several statements with transaction control among them, all of which read: one after the other.

    BEGIN; SELECT 1; COMMIT  ─▶ three Queries, each judged, admitted, recorded and answered as if it had come by itself;
                                the client sees one ReadyForQuery, after the last, or after the first that fails

ODBC drivers send such texts. What is more than a read in one of them is refused (`door`): people could not be asked
about it by itself. https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-MULTI-STATEMENT
"""

from __future__ import annotations

from edge_agent.classify.parser import Unparsable, parse
from edge_agent.protocols.postgres import encode, sqlstate
from edge_agent.protocols.postgres.core import Core, Step, Want, refused
from edge_agent.protocols.postgres.door import MIXED, Judgement, Route
from edge_agent.protocols.postgres.events import Forwarded
from edge_agent.protocols.postgres.expect import QUERY_TAKES, Answer, Expected
from edge_agent.protocols.postgres.masking import HIDES, Result
from edge_agent.protocols.postgres.pipeline import Job
from edge_agent.protocols.postgres.rewind import advice
from edge_agent.protocols.postgres.steps import transaction_step
from twokeys.command import PostgresCommand, QueryProtocol
from twokeys.errors import Refused


def mixed_step(core: Core, judgement: Judgement, text: bytes) -> Step:
    """Run the statements of a text, up to the first that fails."""
    parts = [(part, core.door.judge(QueryProtocol.SIMPLE, part)) for part in _statements(text)]
    if not parts or not all(_may_be_a_part(found) for _, found in parts):
        core.decline(judgement, text, *MIXED)
        yield from refused(core, MIXED[0], f"twokeys: refused: {MIXED[1]}", "", "Nothing was run.")
        return
    core.mixed = True
    try:
        for part, found in parts:
            core.link.last_error = {}
            if found.route is Route.TRANSACTION:
                command = PostgresCommand(QueryProtocol.SIMPLE, part)
                yield from transaction_step(core, Job(command, found, encode.query(part)))
            else:
                yield from _read(core, part, found)
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


def _may_be_a_part(judgement: Judgement) -> bool:
    verdict = judgement.verdict
    if judgement.route is Route.TRANSACTION:
        return True
    named = verdict.prepared or verdict.executes or verdict.resets_session
    return judgement.route is Route.READ and not named and not verdict.is_copy_out


def _read(core: Core, part: bytes, judgement: Judgement) -> Step:
    try:
        permission = core.door.admit(judgement)
    except Refused as error:
        core.decline(judgement, part, sqlstate.INSUFFICIENT_PRIVILEGE, error.happened)
        yield from refused(core, sqlstate.INSUFFICIENT_PRIVILEGE, error.happened, error.not_done, error.advice)
        return
    core.records.append(Forwarded(judgement, QueryProtocol.SIMPLE, part, None))
    core.forget_names(judgement.verdict)
    owed = judgement.masks
    mask, hides = (None, b"Z") if owed is None else (Result(owed), HIDES + b"Z")
    # With an Answer: what the server calls a write is the client's error, as the whole can't be rewound.
    expected = Expected(QUERY_TAKES, b"Z", answer=Answer(), hides=hides, mask=mask)
    core.link.advice = advice(core)
    core.read_simple(permission, encode.query(part), expected, leaves=judgement.leaves)
    yield Want.QUIET
    core.link.advice = b""
