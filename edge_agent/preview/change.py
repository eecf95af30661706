"""UPDATE and DELETE as queries of the rows they would change.

https://www.postgresql.org/docs/current/sql-update.html, sql-delete.html
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from edge_agent.classify.parser import Tree
from edge_agent.preview.clauses import EQUALS, PAREN, NotRewritten, Words
from edge_agent.preview.rewrite import DEFAULT, Rewriting, Source, Value
from edge_agent.preview.same import require, same
from edge_agent.preview.target import quoted

IN_WITH: Final = "its WITH clause changes data, which is not counted, so that nothing bounds it but your decision"


def rewrite_update(words: Words, node: Tree) -> Rewriting:
    """An UPDATE. Raises NotRewritten."""
    values = node["targetList"]
    verb = words.need(0, "UPDATE")
    assign = words.need(verb, "SET")
    stop = words.find(assign, "WHERE", "RETURNING")
    items = _from(words, assign, stop) if "fromClause" in node else stop
    source = _source(words, node, (verb, assign), (items, stop), node.get("fromClause", []))
    relation = node["relation"]
    new = tuple(assigned_values(words, values, assign + 1, items))
    return Rewriting(relation.get("schemaname", ""), relation["relname"], source, before=True, values=new)


def rewrite_delete(words: Words, node: Tree) -> Rewriting:
    """A DELETE. Raises NotRewritten."""
    verb = words.need(words.need(0, "DELETE_P"), "FROM")
    stop = words.find(verb, "WHERE", "RETURNING")
    items = words.need(verb, "USING") if "usingClause" in node else stop
    source = _source(words, node, (verb, min(items, stop)), (items, stop), node.get("usingClause", []))
    relation = node["relation"]
    return Rewriting(relation.get("schemaname", ""), relation["relname"], source, before=True)


def _from(words: Words, start: int, stop: int) -> int:
    """The FROM of an UPDATE: not that of IS DISTINCT FROM."""
    at = words.need(start, "FROM")
    while words.is_word(at - 1, "DISTINCT"):
        at = words.need(at + 1, "FROM")
    if at >= stop:
        raise NotRewritten("its parts could not be told apart")
    return at


def _source(
    words: Words, node: Tree, target: tuple[int, int], others: tuple[int, int], more: list[Any]
) -> Source:  # fmt: skip
    """Where the rows of an UPDATE or DELETE are found.

    Args:
        words: Of the statement.
        node: Its node.
        target: The tokens before the target, and behind it.
        others: The tokens FROM or USING, and behind that list.
        more: The nodes of that list.
    """
    condition = node.get("whereClause")
    if condition is not None and "CurrentOfExpr" in condition:
        raise NotRewritten("it changes the row that a cursor stands on (WHERE CURRENT OF)")
    relation = node["relation"]
    alias = relation["alias"]["aliasname"] if "alias" in relation else relation["relname"]
    items = words.slice(target[0] + 1, target[1])
    if more:
        items += b", " + words.slice(others[0] + 1, others[1])
    where = b""
    if condition is not None:
        where = words.slice(words.need(target[1], "WHERE") + 1, words.find(target[1], "RETURNING"))
    wanted = [{"RangeVar": relation}, *more]

    def check(select: Tree) -> None:
        require(same(select.get("withClause"), node.get("withClause")))
        require(same(select.get("fromClause"), wanted))
        require(same(select.get("whereClause"), condition))

    return Source(with_clause(words, node), items, where, check, quoted(alias).encode(), distinct=bool(more))


def changes_in_with(node: Tree) -> bool:
    """Whether the WITH clause of a statement changes data."""
    tables = node.get("withClause", {}).get("ctes", ())
    return any("SelectStmt" not in table["CommonTableExpr"]["ctequery"] for table in tables)


def with_clause(words: Words, node: Tree) -> bytes:
    """The WITH clause's text, or empty. Raises NotRewritten for one that changes data."""
    if "withClause" not in node:
        return b""
    if changes_in_with(node):
        raise NotRewritten(IN_WITH)
    return words.slice(0, words.need(0, "UPDATE", "DELETE_P", "INSERT", "MERGE"))


def assigned_values(words: Words, nodes: list[Any], start: int, stop: int) -> Iterator[Value]:
    """The new values of SET, in order. Raises NotRewritten for what is no plain column, or a row of a sub-select."""
    taken = 0
    for begin, end in words.split(start, stop):
        if taken >= len(nodes):
            raise NotRewritten("its parts could not be told apart")
        target = nodes[taken]["ResTarget"]
        if "indirection" in target:
            raise NotRewritten("it changes a part of a column (an element or a field)")
        if "MultiAssignRef" not in target["val"]:
            taken += 1
            yield value_of(target["name"], words, begin + 2, end, target["val"])
            continue
        source = target["val"]["MultiAssignRef"]["source"]
        row = source.get("RowExpr")
        if row is None:
            raise NotRewritten("it takes several values from one sub-select")
        for name, value in zip(nodes[taken:], row_of_values(words, row["args"], begin, end), strict=False):
            taken += 1
            yield value_of(name["ResTarget"]["name"], words, *value)
    require(taken == len(nodes))


def row_of_values(words: Words, nodes: list[Any], begin: int, end: int) -> Iterator[tuple[int, int, Any]]:
    """The stretches and nodes of a row of values: ``(a, b) = (1, 2)``, with or without ROW."""
    equals = next((at for at in range(begin, end) if words.kind(at) == EQUALS and not words.depths[at]), end)
    opens = next((at for at in range(equals, end) if words.kind(at) == PAREN), end)
    if opens == end or words.after_group(opens) != end:
        raise NotRewritten("its parts could not be told apart")
    stretches = list(words.split(opens + 1, end - 1, words.depths[opens] + 1))
    require(len(stretches) == len(nodes))
    for (start, stop), node in zip(stretches, nodes, strict=True):
        yield start, stop, node


def value_of(column: str, words: Words, start: int, stop: int, node: Any) -> Value:
    if "SetToDefault" in node:
        return Value(column, DEFAULT, node)
    return Value(column, words.slice(start, stop), node)
