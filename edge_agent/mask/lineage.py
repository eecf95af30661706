"""Which computed columns of a SELECT provably hold no classified value.

Proven is little, by the parse tree alone: constants, parameters, ``count(*)``, and the usual aggregates and arithmetic
over plain columns whose names no classified column bears. Whatever else is computed is redacted.

What is spelled like a built-in function or operator may be one of users' own: `owed` asks the classifier, too.
Only unqualified column names count: ``c.name`` may be a call of a function on the whole row, and a name that a table of
the FROM list bears may be its whole row.
"""

from __future__ import annotations

from typing import Final

from edge_agent.classify.builtins import TYPES
from edge_agent.classify.parser import Tree
from edge_agent.mask.columns import Columns
from edge_agent.mask.taint import only_select

_AGGREGATES: Final = frozenset({"count", "sum", "avg", "min", "max", "round", "date_trunc"})
_OPERATORS: Final = frozenset({"+", "-", "*", "/", "%", "=", "<", ">", "<=", ">=", "<>"})

_ARGUMENTS: Final = {
    "A_Expr": ("lexpr", "rexpr"),
    "TypeCast": ("arg",),
    "CoalesceExpr": ("args",),
    "FuncCall": ("args",),
}
_FIELDS: Final = {
    "A_Expr": {"kind", "name", "lexpr", "rexpr", "location"},
    "TypeCast": {"arg", "typeName", "location"},
    "CoalesceExpr": {"args", "location"},
    "FuncCall": {"funcname", "args", "agg_star", "agg_distinct", "funcformat", "location"},
}
"""Fields that are understood; any other proves nothing."""


def cleared(text: bytes, columns: Columns) -> tuple[bool, ...] | None:
    """By result column, whether it provably holds no classified value; None where nothing is proven."""
    select = only_select(text)
    if select is None or not columns.known or select.get("op", "SETOP_NONE") != "SETOP_NONE":
        return None
    names = None if "withClause" in select else _names(select.get("fromClause", []))
    found: list[bool] = []
    for target in select.get("targetList", []):
        value: Tree = target.get("ResTarget", {}).get("val", {})
        if _is_star(value):
            return None
        found.append(_is_clear(value, columns, names))
    return tuple(found) or None


def _is_star(value: Tree) -> bool:
    """Whether it stands for several columns, so that nothing is known of those behind it."""
    for kind, key in (("ColumnRef", "fields"), ("A_Indirection", "indirection")):
        if kind in value:
            return any("A_Star" in part for part in value[kind].get(key, []))
    return False


def _names(items: list[Tree]) -> frozenset[str] | None:
    """Names that stand for rows in a FROM list of plain tables; None for any other list."""
    found: set[str] = set()
    stack = list(items)
    while stack:
        ((kind, node),) = stack.pop().items()
        alias: Tree = node.get("alias", {})
        if "colnames" in alias or "join_using_alias" in node:
            return None
        if "aliasname" in alias:
            found.add(alias["aliasname"])
        if kind == "RangeVar":
            found.add(node["relname"])
        elif kind == "JoinExpr":
            stack += [node["larg"], node["rarg"]]
        else:
            return None
    return frozenset(found)


def _is_clear(value: Tree, columns: Columns, names: frozenset[str] | None) -> bool:
    stack = [value]
    while stack:
        item = stack.pop()
        if len(item) != 1:
            return False
        ((kind, node),) = item.items()
        if kind in ("A_Const", "ParamRef", "SQLValueFunction"):
            continue
        if kind == "ColumnRef":
            if not _is_clear_column(node, columns, names):
                return False
        elif kind not in _ARGUMENTS or set(node) - _FIELDS[kind] or not _is_known(kind, node):
            return False
        else:
            for key in _ARGUMENTS[kind]:
                held = node.get(key, [])
                stack += held if isinstance(held, list) else [held]
    return True


def _is_known(kind: str, node: Tree) -> bool:
    match kind:
        case "FuncCall":
            spelled = [part.get("String", {}).get("sval", "") for part in node.get("funcname", [])]
            return spelled[-1] in _AGGREGATES and spelled[:-1] in ([], ["pg_catalog"])
        case "A_Expr":
            spelled = [part.get("String", {}).get("sval", "") for part in node.get("name", [])]
            return node.get("kind") == "AEXPR_OP" and len(spelled) == 1 and spelled[0] in _OPERATORS
        case "TypeCast":
            spelled = [part.get("String", {}).get("sval", "") for part in node["typeName"].get("names", [])]
            # A type of users' own may have a cast that is code of theirs.
            return bool(spelled) and spelled[-1] in TYPES and spelled[:-1] in ([], ["pg_catalog"])
        case _:
            return True


def _is_clear_column(node: Tree, columns: Columns, names: frozenset[str] | None) -> bool:
    fields = node.get("fields", [])
    if names is None or len(fields) != 1:
        return False
    name = fields[0].get("String", {}).get("sval", "")
    return bool(name) and name not in names and name not in columns.names
