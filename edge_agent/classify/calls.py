"""Calls of functions, in each notation that PostgreSQL has.

`f(x)` is the plain one. `(x).f` calls `f(x)` whatever the type of `x` is, and `alias.f` does so where the alias
stands for a function's single result: `SELECT (7).pg_advisory_lock` takes a lock (shown on 15 and 18).
https://www.postgresql.org/docs/current/xfunc-sql.html#XFUNC-SQL-COMPOSITE-FUNCTIONS
"""

from __future__ import annotations

from typing import Any

from edge_agent.classify import builtins
from edge_agent.classify.builtins_review import ROW, WRITE
from edge_agent.classify.findings import Findings
from edge_agent.classify.parser import Tree
from edge_agent.classify.settings import is_harmless_set_config
from twokeys.effect import Effect


def names_of(parts: list[Tree]) -> list[str]:
    """The strings of a list of String nodes; other nodes (a star) give an empty string."""
    return [part["String"].get("sval", "") if "String" in part else "" for part in parts]


def function_call(findings: Findings, node: Tree) -> None:
    """Judge a FuncCall by its name; its arguments are walked by the caller."""
    names = names_of(node.get("funcname", []))
    schema, name = ("", names[0]) if len(names) == 1 else (names[-2], names[-1])
    if _is_known(findings, names, schema, name):
        return
    if len(names) < 3 and schema in ("", "pg_catalog"):
        if name in builtins.READERS:
            if name in _GROWING:
                _grow(findings, node)
            return
        mark = builtins.FUNCTIONS.get(name)
        if findings.harmless_calls and mark is not None:
            return
        if mark == WRITE:
            findings.because(f"calls {name}, which changes something")
            findings.function("pg_catalog", name, Effect.WRITE)
            return
        if name == "set_config" and is_harmless_set_config(node.get("args", []), findings.search_path):
            return
        if mark is not None:
            findings.because(f"calls {name}, which is no proven reader")
            findings.function("pg_catalog", name, Effect.PRIVILEGED)
            return
    if (schema, name) in builtins.SCHEMA_READERS and len(names) == 2:
        return
    _unknown(findings, schema, name)


def _is_known(findings: Findings, names: list[str], schema: str, name: str) -> bool:
    """Ask the catalogue; True when the name stands for users' functions alone, and all of them read."""
    if findings.known is None or findings.stored or len(names) > 2:
        return False
    reading = findings.known.call(schema, name, findings.search_path)
    if not findings.learn(reading, f"calls {name}"):
        return False
    return schema not in ("", "pg_catalog") or name not in builtins.FUNCTIONS


def _unknown(findings: Findings, schema: str, name: str) -> None:
    spelled = f"{schema}.{name}" if schema else name
    if builtins.ESCAPING_EXTENSIONS.match(name):
        findings.because(f"calls {spelled}, which can reach beyond this database")
        findings.function(schema or "public", name, Effect.PRIVILEGED)
        if not findings.stored:
            findings.certain = False
    elif findings.stored:
        findings.because(f"uses the function {spelled}")
    else:
        for each in (schema,) if schema else findings.search_path:
            findings.function(each, name, Effect.PRIVILEGED)
        findings.doubt(f"calls {spelled}, which isn't built in")


def _is_risky(name: str) -> bool:
    return name in builtins.RISKY or builtins.ESCAPING_EXTENSIONS.match(name) is not None


def column_reference(findings: Findings, node: Tree) -> None:
    """Judge `alias.name`: a column as a rule, a call if there is no such column."""
    parts = node.get("fields", ())
    if len(parts) < 2 or "String" not in parts[-1]:
        return
    name = parts[-1]["String"].get("sval", "")
    # Only what takes a row, or anything, can be called on a table's alias: extensions' names are columns there.
    if name in builtins.RISKY:
        findings.doubt(f"may call {name} by column notation")
    elif findings.known is not None and not findings.stored:
        findings.learn(findings.known.field(name, findings.search_path), f"may call {name} by column notation")
    if "String" in parts[-2]:
        findings.fields.append((parts[-2]["String"].get("sval", ""), name))


def _reads(findings: Findings, name: str) -> bool:
    """Whether a call of `name`, should it be one, is of a built-in reader that no user's function overloads."""
    if name not in builtins.READERS:
        return False
    reading = findings.known.call("", name, findings.search_path) if findings.known is not None else None
    return reading is None or reading.proven


def indirection(findings: Findings, node: Tree) -> None:
    """Judge `(expression).name`: a call of any function of one argument, unless the name is a known field."""
    for part in node.get("indirection", ()):
        if "String" not in part:
            continue
        name = part["String"].get("sval", "")
        known = None if findings.known is None or findings.stored else findings.known
        found = None if known is None else known.field(name, findings.search_path)
        findings.learn(found, f"may call {name} by field notation")
        if found is not None and not found.proven:
            continue
        if name not in builtins.KNOWN_FIELDS and not _reads(findings, name):
            if findings.stored and not _is_risky(name):
                findings.because(f"may call {name}")
            else:
                findings.doubt(f"may call {name} by field notation")


def range_function(findings: Findings, node: Tree) -> None:
    """Note which names a function in FROM has; `check_fields` looks at what is asked of them."""
    alias: dict[str, Any] = node.get("alias", {})
    called = _called(node)
    name = alias.get("aliasname", called[-1] if called else "")
    rows = len(called) > 1 or "ordinality" in node or (bool(called) and builtins.FUNCTIONS.get(called[0]) == ROW)
    if rows or "coldeflist" in node:
        # The alias stands for a row then, as a table's does.
        findings.aliases.setdefault(name, []).append(None)
        return
    columns = frozenset(names_of(alias.get("colnames", [])))
    findings.aliases.setdefault(name, []).append(columns | {name, *called, *builtins.KNOWN_FIELDS})


def _called(node: Tree) -> list[str]:
    """The functions' names in a RangeFunction: a list of (function, column definitions) each."""
    found = []
    for entry in node.get("functions", ()):
        for item in entry.get("List", {}).get("items", ()):
            if "FuncCall" in item:
                found.append(names_of(item["FuncCall"].get("funcname", []))[-1])
            elif item:
                # SQL's own value functions (CURRENT_DATE) and the like; the name is of no use.
                found.append(next(iter(item)))
    return found


def check_fields(findings: Findings) -> None:
    """After a walk: does `alias.name` call a function on a function's single result?"""
    for alias, name in findings.fields:
        for columns in findings.aliases.get(alias, ()):
            if columns is not None and name not in columns and not _reads(findings, name):
                findings.doubt(f"may call {name} by column notation")
    findings.fields.clear()
    findings.aliases.clear()


_GROWING = frozenset({"repeat", "lpad", "rpad"})


def _grow(findings: Findings, node: Tree) -> None:
    """Multiply the factors of functions that build long strings; constants are folded while the server plans."""
    arguments: list[Tree] = node.get("args", [])
    count = arguments[1] if len(arguments) > 1 else {}
    if "A_Const" in count:
        factor = max(1, int(count["A_Const"].get("ival", {}).get("ival", 1)))
    elif "ColumnRef" in count or "ParamRef" in count:
        factor = 1
    else:
        factor = findings.limits.folded_bytes
    findings.folded *= factor
    if findings.folded > findings.limits.folded_bytes and len(arguments) > 1:
        findings.doubt("may use up the server's memory by nested repeat")
