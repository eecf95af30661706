"""SQL's PREPARE and EXECUTE: an EXECUTE reads when what was prepared in this session reads, and nothing else is there.

Programs that dump a database prepare each question once, and run it for each object.

Rules:
  1. Only a Query that is one PREPARE, judged to read, is remembered; and only once the server has made it: a PREPARE
     that fails leaves another text under the name (attack G5).
  2. Whatever else may have given the name to another text forgets it: Parse, Close, DEALLOCATE, DISCARD, and code of
     users that may have run since (`Core.age`).
  3. The text is judged anew at each EXECUTE: policies and the search path may have moved.
  4. A caller with masks owed has it held as before: what an EXECUTE shows can't be told from its text.
  5. It runs under the guard as every read does. What the server calls a write is held then, as any other EXECUTE:
     code of users may have run, so the name means nothing any more.
"""

from __future__ import annotations

from dataclasses import replace

from edge_agent.protocols.postgres import expect
from edge_agent.protocols.postgres.core import Core
from edge_agent.protocols.postgres.door import Judgement, Route
from edge_agent.protocols.postgres.expect import Answer, Expected
from edge_agent.protocols.postgres.pipeline import Statement
from twokeys.command import QueryProtocol


def executed(core: Core, judgement: Judgement) -> Judgement:
    """Judge a Query that may be an EXECUTE by what it runs, where that is known to read; else leave it as it is."""
    name = judgement.verdict.executes
    statement = core.by_sql.get(name.encode()) if name else None
    if statement is None or statement.age != core.age or judgement.refusal[1]:
        return judgement
    prepared = core.door.judge(QueryProtocol.SIMPLE, statement.text)
    if prepared.route is not Route.READ or prepared.masks is not None or judgement.masks is not None:
        return judgement
    own = judgement.verdict.classification
    found = replace(prepared.verdict.classification, kind=own.kind, normalised=own.normalised)
    return Judgement(replace(judgement.verdict, classification=found), prepared.decision)


def by_sql(core: Core, judgement: Judgement, text: bytes) -> Expected | None:
    """What to expect of a Query that reads where it is a PREPARE or an EXECUTE; None for any other."""
    verdict = judgement.verdict
    if verdict.executes:
        return expect.EXECUTED
    if len(verdict.prepared) != 1 or verdict.classification.kind != "PREPARE" or verdict.classification.statements != 1:
        return None
    statement = Statement(verdict.prepared[0].encode(), text, (), core.age)
    held, limits = core.by_sql, core.limits
    if len(held) >= limits.statements or held.size + statement.size > limits.statement_bytes:
        return None
    return Expected(expect.QUERY_TAKES, b"Z", answer=Answer(), done=lambda: core.by_sql.put(statement.name, statement))
