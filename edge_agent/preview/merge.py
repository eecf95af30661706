"""MERGE as a query of the rows that its WHEN clauses would change.

The rows of its source beside the target's, each judged by the first WHEN clause that applies, as MERGE does.
https://www.postgresql.org/docs/current/sql-merge.html
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from edge_agent.classify.parser import Tree
from edge_agent.preview.change import with_clause
from edge_agent.preview.clauses import NotRewritten, Words
from edge_agent.preview.rewrite import Rewriting, Source
from edge_agent.preview.same import require, same
from edge_agent.preview.target import quoted

_UNSAMPLED: Final = "what MERGE does with a row depends on its WHEN clauses: read them"


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
    arms = [_arm(alias, text, clause) for text, clause in zip(_conditions(words, first, clauses), clauses, strict=True)]
    where = b"CASE " + b" ".join(arms) + b" ELSE false END"

    def check(select: Tree) -> None:
        require(same(select.get("withClause"), node.get("withClause")))
        found = select.get("fromClause", [])
        require(len(found) == 1 and "JoinExpr" in found[0] and found[0]["JoinExpr"].get("jointype") == "JOIN_RIGHT")
        join = found[0]["JoinExpr"]
        require(same(join["larg"], {"RangeVar": relation}) and same(join["rarg"], node["sourceRelation"]))
        require(same(join["quals"], node["joinCondition"]))
        _check_arms(select.get("whereClause", {}), clauses)

    made = Source(with_clause(words, node), items, where, check, alias)
    return Rewriting(relation.get("schemaname", ""), relation["relname"], made, before=True, unsampled=_UNSAMPLED)


def events_of(node: Tree) -> list[str]:
    """What a MERGE may do: INSERT, UPDATE, DELETE."""
    words = {"CMD_INSERT": "INSERT", "CMD_UPDATE": "UPDATE", "CMD_DELETE": "DELETE"}
    found = {words.get(clause["MergeWhenClause"]["commandType"], "") for clause in node["mergeWhenClauses"]}
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


def _arm(alias: bytes, condition: bytes, clause: Tree) -> bytes:
    there = b"IS NOT NULL" if clause["matchKind"] == "MERGE_WHEN_MATCHED" else b"IS NULL"
    applies = alias + b".tableoid " + there
    if condition:
        applies += b" AND (" + condition + b")"
    return b"WHEN " + applies + b" THEN " + (b"false" if clause["commandType"] == "CMD_NOTHING" else b"true")


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
