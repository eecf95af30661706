"""MERGE as a query of the rows that its WHEN clauses would change.

The rows of its source beside the target's, each judged by the first WHEN clause that applies, as MERGE does.
https://www.postgresql.org/docs/current/sql-merge.html
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from edge_agent.classify.parser import Tree
from edge_agent.preview.change import assigned_values, value_of, with_clause
from edge_agent.preview.clauses import PAREN, NotRewritten, Words
from edge_agent.preview.rewrite import Arm, Rewriting, Source, Value
from edge_agent.preview.same import require, same
from edge_agent.preview.target import quoted

_DOES: Final = {"CMD_INSERT": "INSERT", "CMD_UPDATE": "UPDATE", "CMD_DELETE": "DELETE"}


def rewrite_merge(words: Words, node: Tree) -> Rewriting:
    """A MERGE. Raises NotRewritten."""
    relation = node["relation"]
    into = words.need(words.need(0, "MERGE"), "INTO")
    using = words.need(into, "USING")
    joined = words.need(using, "ON")
    first = words.need(joined, "WHEN")
    alias = quoted(relation["alias"]["aliasname"] if "alias" in relation else relation["relname"]).encode()
    target, source = words.slice(into + 1, using), words.slice(using + 1, joined)
    items = target + b" RIGHT JOIN " + source + b" ON (" + words.slice(joined + 1, first) + b")"
    clauses = [clause["MergeWhenClause"] for clause in node["mergeWhenClauses"]]
    texts = list(_conditions(words, first, clauses))
    conditions = [_applies(alias, text, clause) for text, clause in zip(texts, clauses, strict=True)]
    where = b" ".join(b"WHEN %b THEN %b" % (applies, b"true" if clause["commandType"] in _DOES else b"false")
                      for applies, clause in zip(conditions, clauses, strict=True))  # fmt: skip
    where = b"CASE " + where + b" ELSE false END"

    def check(select: Tree) -> None:
        require(same(select.get("withClause"), node.get("withClause")))
        found = select.get("fromClause", [])
        require(len(found) == 1 and "JoinExpr" in found[0] and found[0]["JoinExpr"].get("jointype") == "JOIN_RIGHT")
        join = found[0]["JoinExpr"]
        require(same(join["larg"], {"RangeVar": relation}) and same(join["rarg"], node["sourceRelation"]))
        require(same(join["quals"], node["joinCondition"]))
        _check_arms(select.get("whereClause", {}), clauses)

    made = Source(with_clause(words, node), items, where, check, alias)
    rewriting = Rewriting(relation.get("schemaname", ""), relation["relname"], made, before=True)
    try:
        return replace(rewriting, arms=tuple(_arms(words, first, conditions, clauses)))
    except NotRewritten as reason:
        return replace(rewriting, unsampled=str(reason))


def events_of(node: Tree) -> list[str]:
    """What a MERGE may do: INSERT, UPDATE, DELETE."""
    found = {_DOES.get(clause["MergeWhenClause"]["commandType"], "") for clause in node["mergeWhenClauses"]}
    return sorted(found - {""})


def _conditions(words: Words, start: int, clauses: list[Tree]) -> Iterator[bytes]:
    """The text of each WHEN clause's own condition, or empty."""
    at = start
    for clause in clauses:
        if clause["matchKind"] == "MERGE_WHEN_NOT_MATCHED_BY_SOURCE":
            raise NotRewritten("it changes rows that its source does not have (NOT MATCHED BY SOURCE)")
        then = words.need(at, "THEN")
        yield words.slice(words.need(at, "AND") + 1, then) if "condition" in clause else b""
        at = words.find(then, "WHEN")


def _applies(alias: bytes, condition: bytes, clause: Tree) -> bytes:
    there = b"IS NOT NULL" if clause["matchKind"] == "MERGE_WHEN_MATCHED" else b"IS NULL"
    applies = alias + b".tableoid " + there
    return applies + b" AND (" + condition + b")" if condition else applies


def _arms(words: Words, start: int, conditions: list[bytes], clauses: list[Tree]) -> Iterator[Arm]:
    """What each WHEN clause does, by its exact words. Raises NotRewritten."""
    at = start
    for applies, clause in zip(conditions, clauses, strict=True):
        then = words.need(at, "THEN")
        at = words.find(then, "WHEN")
        stop = min(at, words.find(then, "RETURNING"))
        does = _DOES.get(clause["commandType"], "NOTHING")
        values: tuple[Value, ...] = ()
        if does == "UPDATE":
            values = tuple(assigned_values(words, clause["targetList"], words.need(then, "SET") + 1, stop))
        elif does == "INSERT":
            values = tuple(_inserted(words, clause, then, stop))
        yield Arm(does, applies, values)


def _inserted(words: Words, clause: Tree, start: int, stop: int) -> Iterator[Value]:
    nodes = clause.get("values", [])
    names = [target["ResTarget"] for target in clause.get("targetList", [])]
    if nodes and len(names) != len(nodes):
        raise NotRewritten("it inserts without naming the columns")
    if any("indirection" in name for name in names):
        raise NotRewritten("it changes a part of a column (an element or a field)")
    if not nodes:
        return
    opens = words.need(start, "VALUES") + 1
    if words.kind(opens) != PAREN or words.after_group(opens) != stop:
        raise NotRewritten("its parts could not be told apart")
    stretches = list(words.split(opens + 1, stop - 1, words.depths[opens] + 1))
    require(len(stretches) == len(nodes))
    for name, (begin, end), node in zip(names, stretches, nodes, strict=True):
        yield value_of(name["name"], words, begin, end, node)


def _check_arms(where: Any, clauses: list[Tree]) -> None:
    arms = where.get("CaseExpr", {}).get("args", [])
    require(len(arms) == len(clauses) and "arg" not in where["CaseExpr"])
    for arm, clause in zip(arms, clauses, strict=True):
        expression = arm["CaseWhen"]["expr"]
        if "condition" not in clause:
            require("NullTest" in expression)
            continue
        parts = expression.get("BoolExpr", {}).get("args", [])
        require(len(parts) == 2 and expression["BoolExpr"]["boolop"] == "AND_EXPR" and "NullTest" in parts[0])
        require(same(parts[1], clause["condition"]))
