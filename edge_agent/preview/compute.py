"""Computes a Preview: from a Command's text and what its own session answers. Whatever fails says so in it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from edge_agent.preview.bodies import do_body, joined, procedures_sql
from edge_agent.preview.change import IN_WITH, changes_in_with
from edge_agent.preview.clauses import NotRewritten
from edge_agent.preview.limits import DEFAULT_LIMITS, PreviewLimits
from edge_agent.preview.locks import locks_of, relation_name
from edge_agent.preview.masking import MaskRows
from edge_agent.preview.merge import events_of
from edge_agent.preview.prepared import executed, prepared_sql, read_prepared
from edge_agent.preview.question import Answered, Asking, Question
from edge_agent.preview.rewrite import Rewriting, sample_columns
from edge_agent.preview.sample import Sampled
from edge_agent.preview.side_effects import notes_on, side_effects
from edge_agent.preview.statement import Statement, read_statement, rewrite
from edge_agent.preview.target import Target, TargetColumn, read_target, target_sql
from edge_agent.preview.volatile import unsteady
from twokeys.command import PostgresCommand
from twokeys.preview import MAX_BODY_CHARACTERS, MAX_CELL_CHARACTERS, Column, Plan, Preview

_EVENTS: Final = {"InsertStmt": "INSERT", "UpdateStmt": "UPDATE", "DeleteStmt": "DELETE", "MergeStmt": "MERGE"}

_WAITS: Final = "Before it has its locks it waits for whoever uses the table, and all who come after it wait behind it."
_AS_OF_NOW: Final = "Counted now: by the time it runs there may be others. It is rolled back when it changes more rows."


class Computing:
    """Computes the Previews of one session."""

    def __init__(self, asking: Asking, mask: MaskRows, limits: PreviewLimits = DEFAULT_LIMITS) -> None:
        """Args: asking: the session; mask: of this caller's Decision; limits: the named ones."""
        self._asking, self._mask, self._limits = asking, mask, limits

    async def preview(self, command: PostgresCommand, kind: str) -> Preview:
        """What this Command would do. `kind` is its kind in words; see `twokeys.effect.Classification`."""
        action = kind[:256]
        try:
            return await self._previewed(command, action)
        except NotRewritten as reason:
            return Preview(action=action, why=[_why(reason)])
        except (KeyError, IndexError, TypeError, ValueError, RecursionError):
            # A tree that this package reads wrongly must not end the session: people decide without a preview.
            return Preview(action=action, why=["It could not be made: its statement is of an unusual form."])

    async def _previewed(self, command: PostgresCommand, action: str) -> Preview:
        statement = read_statement(command.text, self._limits)
        if statement.kind in _EVENTS:
            return await self._rows(statement, action)
        if statement.kind == "ExecuteStmt":
            return await self._prepared(statement, action)
        if statement.kind in ("DoStmt", "CallStmt"):
            return await self._body(statement, action)
        if statement.kind == "CopyStmt":
            return self._copy(statement, action, command)
        if statement.kind == "SelectStmt" and changes_in_with(statement.node):
            raise NotRewritten(IN_WITH)
        return _definition(statement, action)

    async def _rows(self, statement: Statement, action: str) -> Preview:
        events = events_of(statement.node) if statement.kind == "MergeStmt" else [_EVENTS[statement.kind]]
        found, preview = await self._target(statement.node["relation"], action)
        if found is None:
            return preview
        try:
            rewriting = rewrite(statement)
        except NotRewritten as reason:
            effects = side_effects(found, events, ())
            return msgspec.structs.replace(preview, effects=effects, why=[_why(reason)], notes=notes_on(found, events))
        assigned = [value.column for value in rewriting.values] or list(rewriting.columns)
        rewriting = rewriting.widened(len(found.columns))
        why: list[str] = []
        plan = await self._plan(rewriting, why)
        # What INSERT adds is not found in the table: its policies refuse a row with an error, and hide none.
        hidden = rewriting.before and found.unread
        rows = await self._count(rewriting, unsteady(statement.node), found.role if hidden else "", why)
        columns, sample = await self._sample(rewriting, found, why)
        counted = [_AS_OF_NOW] if rows is not None else []
        if rows is not None and found.row_security:
            counted.append(f"Counted as {found.role}, who will run it, under the table's row-level security."[:1024])
        return msgspec.structs.replace(
            preview, rows=rows, plan=plan, columns=columns, sample=sample,
            effects=side_effects(found, events, assigned), why=list(dict.fromkeys(why)),
            notes=[*counted, *rewriting.notes, *notes_on(found, events)],
        )  # fmt: skip

    async def _target(self, relation: dict[str, Any], action: str) -> tuple[Target | None, Preview]:
        preview = Preview(action=action, target=relation_name(relation)[:1024])
        if "catalogname" in relation:
            return None, msgspec.structs.replace(preview, why=["It names a database."])
        answer = await self._own(target_sql(relation.get("schemaname", ""), relation["relname"]))
        if answer.reason:
            return None, msgspec.structs.replace(preview, why=[_failed("What it changes", answer)])
        target = read_target(answer.rows[0][0] or "") if answer.rows and answer.rows[0] else None
        if target is None:
            return None, msgspec.structs.replace(preview, why=["There is no such table now."])
        return target, msgspec.structs.replace(preview, target=target.name[:1024])

    async def _plan(self, rewriting: Rewriting, why: list[str]) -> Plan | None:
        if rewriting.source is None:
            return None
        answer = await self._callers(rewriting.plan_sql())
        if answer.reason:
            why.append(_failed("Its plan", answer))
            return None
        return _plan("\n".join(row[0] or "" for row in answer.rows if row))

    async def _count(self, rewriting: Rewriting, changing: str, hidden_from: str, why: list[str]) -> int | None:
        if rewriting.known_rows is not None:
            return rewriting.known_rows
        if hidden_from:
            why.append(
                "How many rows is not counted: the table's row-level security has policies of single commands, so "
                f"{hidden_from} may change other rows than it can read."[:1024]
            )
            return None
        if changing:
            why.append(
                f"The number of rows is another each time: it depends on {changing}, which is volatile. "
                "Nothing bounds the rows of this write but your decision."[:1024]
            )
            return None
        answer = await self._callers(rewriting.count_sql())
        if answer.reason:
            why.append(_failed("The number of rows", answer))
            return None
        text = answer.rows[0][0] if answer.rows and answer.rows[0] else None
        return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 16 else None

    async def _sample(self, rewriting: Rewriting, target: Target, why: list[str]) -> tuple[list[Column], list[Any]]:
        if rewriting.source is None:
            return [], []
        columns = self._columns(rewriting, target)
        try:
            answer = await self._callers(rewriting.sample_sql(columns, self._limits))
        except NotRewritten as reason:
            why.append(_why(reason))
            return [], []
        if answer.reason:
            why.append(_failed("Which rows", answer))
            return [], []
        sampled = Sampled(rewriting, target, columns, self._limits)
        rows = sampled.rows(answer.rows, self._mask)
        return (sampled.headings(), rows) if rows else ([], [])

    def _columns(self, rewriting: Rewriting, target: Target) -> tuple[TargetColumn, ...]:
        if rewriting.before:
            return sample_columns(target, rewriting.assigned, self._limits.columns)
        known = {column.name: column for column in target.columns}
        names = rewriting.columns or tuple(known)[: rewriting.width]
        missing = [name for name in names if name not in known]
        if missing or not names:
            raise NotRewritten("it names a column that there is not")
        return tuple(known[name] for name in names[: self._limits.columns])

    async def _body(self, statement: Statement, action: str) -> Preview:
        preview = Preview(action=action, why=["What code does is not known before it runs: this is its source."])
        if statement.kind == "DoStmt":
            return _with_body(preview, do_body(statement.node))
        answer = await self._own(procedures_sql(statement.node))
        texts = [row[0] for row in answer.rows if row and row[0]]
        if answer.reason or not texts:
            return msgspec.structs.replace(preview, why=["The source of the procedure is not known."])
        return _with_body(preview, joined([text for text in texts if text]))

    async def _prepared(self, statement: Statement, action: str) -> Preview:
        """EXECUTE: as what was prepared under its name, with its values in place of the parameters."""
        answer = await self._own(prepared_sql(statement.node))
        row = answer.rows[0] if answer.rows else ()
        if answer.reason or len(row) != 2 or not row[0]:
            return Preview(action=action, why=["No statement is prepared under this name, or it can't be looked up."])
        preview = Preview(action=action)
        try:
            inner = executed(statement, read_prepared(row[0], self._limits), row[1] or "[]", self._limits)
            if inner.kind in _EVENTS:
                preview = await self._rows(inner, action)
            else:
                preview = Preview(action=action, why=["What was prepared is no INSERT, UPDATE, DELETE or MERGE."])
        except NotRewritten as reason:
            preview = Preview(action=action, why=[_why(reason)])
        return _with_body(preview, row[0])

    def _copy(self, statement: Statement, action: str, command: PostgresCommand) -> Preview:
        """COPY FROM STDIN, whose data were staged; other kinds have nothing to be told."""
        node = statement.node
        names = [part["String"]["sval"] for part in node.get("attlist", ())][: self._limits.columns]
        data = command.copy
        if data is None or "relation" not in node:
            return Preview(action=action, why=["What it copies is not known before it runs."])
        why = [] if data.rows is not None else ["How many rows it brings along could not be counted."]
        return Preview(
            action=action, target=relation_name(node["relation"])[:1024], rows=data.rows,
            columns=[Column(name=name[:256]) for name in names], locks=locks_of(statement.kind, node), why=why,
            notes=["Rows as the data has them: the data itself stands with the command.", "It has all columns of the"
                   " table." if not names else f"It brings {len(names)} of the table's columns."],
        )  # fmt: skip

    async def _own(self, sql: bytes) -> Answered:
        return await self._asking.ask(self._question(sql, of_caller=False))

    async def _callers(self, sql: bytes) -> Answered:
        return await self._asking.ask(self._question(sql, of_caller=True))

    def _question(self, sql: bytes, *, of_caller: bool) -> Question:
        limits = self._limits
        return Question(sql, of_caller, limits.answer_bytes, limits.statement_milliseconds, limits.lock_milliseconds)


def _definition(statement: Statement, action: str) -> Preview:
    """DDL and all else: its locks, where they are known."""
    locks = locks_of(statement.kind, statement.node)
    if locks:
        return Preview(action=action, locks=locks, notes=[_WAITS])
    return Preview(
        action=action, why=["What it would do can't be asked of the server, and its locks aren't listed here."]
    )


def _with_body(preview: Preview, body: str) -> Preview:
    return msgspec.structs.replace(preview, body=body[:MAX_BODY_CHARACTERS], body_cut=len(body) > MAX_BODY_CHARACTERS)


def _plan(text: str) -> Plan | None:
    """EXPLAIN (FORMAT JSON)'s topmost node."""
    try:
        top = json.loads(text)[0]["Plan"]
        return Plan(
            node=_node(top), rows=int(top["Plan Rows"]), cost=f"{float(top['Total Cost']):.2f}"[:MAX_CELL_CHARACTERS]
        )
    except (ValueError, KeyError, TypeError, IndexError, OverflowError, RecursionError):
        return None


def _node(top: dict[str, Any]) -> str:
    """A node in words: its type, and what it reads."""
    parts: Iterable[Any] = (top.get("Node Type"), top.get("Relation Name") and f"on {top['Relation Name']}")
    return " ".join(str(part) for part in parts if part)[:256]


def _why(reason: NotRewritten) -> str:
    return f"No rows are shown: {reason}."[:1024]


def _failed(what: str, answer: Answered) -> str:
    return f"{what} could not be asked for: {answer.reason}"[:1024]
