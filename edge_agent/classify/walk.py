"""The walk over a query's tree: what it reads, what it changes, and what it might call.

Iterative, so that no depth of a text can exhaust the stack. Each node is met with the names of the common table
expressions in scope and the effect that a relation standing there has.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from edge_agent.classify import builtins
from edge_agent.classify.calls import check_fields, column_reference, function_call, indirection, range_function
from edge_agent.classify.findings import Findings
from edge_agent.classify.grammar import ANY_NODE, DEFINITION_NODES, LEAVES, QUERY_NODES
from edge_agent.classify.libpg_query import FIELD_TYPES
from edge_agent.classify.names import has_invisible
from edge_agent.classify.parser import Tree
from twokeys.effect import Effect

Scope: TypeAlias = frozenset[str]
_Item: TypeAlias = tuple[str, Tree, Scope, Effect]
_Handler: TypeAlias = Callable[[Findings, Tree, Scope, Effect], None]

_NO_NAMES: Final[Scope] = frozenset()
_NO_FIELDS: Final[dict[str, str]] = {}


def walk(findings: Findings, kind: str, node: Tree, relations: Effect = Effect.READ) -> None:
    """Walk one statement's tree and note into `findings` what it does.

    Args:
        kind: The node name of `node`.
        relations: What happens to a relation that stands outside of any query (in a definition).

    Raises:
        TooMuch: See `Findings.count`.
    """
    allowed = DEFINITION_NODES if findings.definition else QUERY_NODES
    if findings.known is not None and not findings.stored:
        why = findings.known.everywhere(findings.search_path)
        if why:
            findings.doubt(why)
    stack: list[_Item] = [(kind, node, _NO_NAMES, relations)]
    while stack:
        kind, node, scope, effect = stack.pop()
        findings.count(1)
        if kind not in allowed:
            findings.doubt(f"holds something that the classifier doesn't know ({kind})")
            continue
        handler = _HANDLERS.get(kind)
        done: tuple[str, ...] = ()
        if handler is not None:
            handler(findings, node, scope, effect)
            done = _HANDLED.get(kind, ())
            if kind in _QUERIES:
                effect = Effect.READ
                if "withClause" in node:
                    scope = _open_with(stack, node, scope)
                    done = (*done, "withClause")
        _push(findings, stack, (kind, node, scope, effect), done)
    check_fields(findings)
    if findings.locks:
        findings.raise_reads()


def _push(findings: Findings, stack: list[_Item], item: _Item, done: tuple[str, ...]) -> None:
    """Push what `item` holds, but for the fields that are done."""
    kind, node, scope, effect = item
    for key, value in node.items():
        if value.__class__ is list:
            if key in done:
                continue
            findings.count(len(value))
            for held in value:
                for name, fields in held.items():
                    if name not in LEAVES:
                        stack.append((name, fields, scope, effect))
        elif value.__class__ is dict:
            if key in done:
                continue
            fixed = FIELD_TYPES.get(kind, _NO_FIELDS).get(key)
            if fixed == ANY_NODE:
                for name, fields in value.items():
                    if name not in LEAVES:
                        stack.append((name, fields, scope, effect))
            elif fixed is not None:
                stack.append((fixed, value, scope, effect))
            else:
                findings.doubt(f"holds something that the classifier doesn't know ({kind}.{key})")


def _open_with(stack: list[_Item], node: Tree, scope: Scope) -> Scope:
    """Push the common table expressions of `node`; returns the scope of its body.

    Without RECURSIVE an expression sees those before it alone: in `WITH t AS (SELECT * FROM t)` the inner `t` is the
    table.
    """
    clause: Tree = node["withClause"]
    tables: list[Tree] = [held["CommonTableExpr"] for held in clause.get("ctes", ())]
    body = scope | {table["ctename"] for table in tables}
    for table in tables:
        stack.append(("CommonTableExpr", table, body if "recursive" in clause else scope, Effect.READ))
        scope = scope | {table["ctename"]}
    return body


def _select(findings: Findings, node: Tree, scope: Scope, effect: Effect) -> None:
    if "lockingClause" in node:
        findings.locks = True
        findings.because("locks rows")


def _into(findings: Findings, node: Tree, scope: Scope, effect: Effect) -> None:
    findings.relation(node.get("rel", {}), Effect.DDL)


def _modify(findings: Findings, node: Tree, scope: Scope, effect: Effect) -> None:
    findings.relation(node.get("relation", {}), Effect.WRITE)


def _range_var(findings: Findings, node: Tree, scope: Scope, effect: Effect) -> None:
    if "schemaname" in node or effect is not Effect.READ or node.get("relname") not in scope:
        findings.relation(node, effect)


def _type_name(findings: Findings, node: Tree, scope: Scope, effect: Effect) -> None:
    names = [part["String"]["sval"] for part in node.get("names", ())]
    schema, name = ("pg_catalog", names[0]) if len(names) == 1 else (names[0], names[-1]) if names else ("", "")
    if findings.known is not None and not findings.definition and len(names) < 3 and "pct_type" not in node:
        reading = findings.known.type(schema if len(names) > 1 else "", name, findings.search_path)
        if findings.learn(reading, f"uses the type {'.'.join(names)}"):
            if not (schema == "pg_catalog" and name in builtins.TYPES):
                return
        elif reading is not None:
            return
    if schema == "pg_catalog" and name in builtins.TYPES and len(names) < 3 and "pct_type" not in node:
        return
    if findings.definition:
        return
    if name in ("record", "void", "unknown") and schema == "pg_catalog":
        return
    findings.doubt(f"uses the type {'.'.join(names)}, which isn't built in")


def _operator(findings: Findings, names: list[Tree]) -> None:
    """An operator by name alone is fine where the catalogue knows nothing against it, or there is none: the server's
    read-only mode is the second witness of what it calls."""
    if findings.known is not None and not findings.stored and 0 < len(names) < 3:
        parts = [part["String"]["sval"] for part in names]
        schema = parts[0] if len(parts) > 1 else ""
        readings = [findings.known.operator(schema, each, findings.search_path) for each in _spelled(parts[-1])]
        if [findings.learn(reading, f"uses the operator {parts[-1]}") for reading in readings] == [True] and schema:
            return
    if len(names) > 1 and (len(names) > 2 or names[0]["String"]["sval"] != "pg_catalog"):
        spelled = ".".join(part["String"]["sval"] for part in names)
        if findings.stored:
            findings.because(f"uses the operator {spelled}")
        else:
            findings.doubt(f"uses the operator {spelled}, which isn't built in")


_BETWEEN: Final = ("<", "<=", ">", ">=")


def _spelled(name: str) -> tuple[str, ...]:
    """The operators that a name stands for: BETWEEN is spelled with letters."""
    return _BETWEEN if name.startswith(("BETWEEN", "NOT BETWEEN")) else (name,)


def _equals(findings: Findings) -> None:
    """Something compares by `=` without saying so."""
    _operator(findings, [{"String": {"sval": "="}}])


def _case(findings: Findings, node: Tree, scope: Scope, effect: Effect) -> None:
    if "arg" in node:
        _equals(findings)


def _join(findings: Findings, node: Tree, scope: Scope, effect: Effect) -> None:
    if "usingClause" in node or "isNatural" in node:
        _equals(findings)


def _expression(findings: Findings, node: Tree, scope: Scope, effect: Effect) -> None:
    _operator(findings, node.get("name", []))


def _sort(findings: Findings, node: Tree, scope: Scope, effect: Effect) -> None:
    _operator(findings, node.get("useOp", []))


def _sublink(findings: Findings, node: Tree, scope: Scope, effect: Effect) -> None:
    _operator(findings, node.get("operName", []))
    if "operName" not in node and "testexpr" in node:
        _equals(findings)


def _sample(findings: Findings, node: Tree, scope: Scope, effect: Effect) -> None:
    method = [part["String"]["sval"] for part in node.get("method", ())]
    if not method or method[-1] not in builtins.SAMPLE_METHODS or method[:-1] not in ([], ["pg_catalog"]):
        findings.doubt(f"samples by {'.'.join(method)}, which isn't built in")


def _locking(findings: Findings, node: Tree, scope: Scope, effect: Effect) -> None:
    findings.locks = True


def _call(findings: Findings, node: Tree, scope: Scope, effect: Effect) -> None:
    function_call(findings, node)


def _column(findings: Findings, node: Tree, scope: Scope, effect: Effect) -> None:
    column_reference(findings, node)


def _field(findings: Findings, node: Tree, scope: Scope, effect: Effect) -> None:
    indirection(findings, node)


def _function_range(findings: Findings, node: Tree, scope: Scope, effect: Effect) -> None:
    range_function(findings, node)


def _own_name(findings: Findings, node: Tree, scope: Scope, effect: Effect) -> None:
    if has_invisible(node.get("ctename", "")):
        findings.doubt("a name holds characters that can't be seen")


_QUERIES: Final = frozenset({"SelectStmt", "InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"})

_HANDLERS: Final[dict[str, _Handler]] = {
    "SelectStmt": _select,
    "IntoClause": _into,
    "InsertStmt": _modify,
    "UpdateStmt": _modify,
    "DeleteStmt": _modify,
    "MergeStmt": _modify,
    "RangeVar": _range_var,
    "TypeName": _type_name,
    "A_Expr": _expression,
    "SortBy": _sort,
    "SubLink": _sublink,
    "CaseExpr": _case,
    "JoinExpr": _join,
    "RangeTableSample": _sample,
    "LockingClause": _locking,
    "FuncCall": _call,
    "ColumnRef": _column,
    "A_Indirection": _field,
    "RangeFunction": _function_range,
    "CommonTableExpr": _own_name,
}

_HANDLED: Final[dict[str, tuple[str, ...]]] = {
    "InsertStmt": ("relation",),
    "UpdateStmt": ("relation",),
    "DeleteStmt": ("relation",),
    "MergeStmt": ("relation",),
    "IntoClause": ("rel",),
    "RangeVar": ("alias",),
    "A_Expr": ("name",),
    "FuncCall": ("funcname",),
    "ColumnRef": ("fields",),
    "TypeName": ("names",),
    # The names there are aliases, not tables.
    "LockingClause": ("lockedRels",),
    "RangeTableSample": ("method",),
}
"""Fields that the handler has dealt with."""
