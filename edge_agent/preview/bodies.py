"""The source text that a statement would run: of a DO block or a procedure."""

from __future__ import annotations

from typing import Final

from edge_agent.classify.parser import Tree
from edge_agent.preview.target import literal

MAX_CANDIDATES: Final = 3
"""Most procedures of one name that are shown, where CALL does not say which."""

_SEPARATOR: Final = "\n\n-- or --\n\n"


def do_body(node: Tree) -> str:
    """The text of a DO block."""
    for option in node.get("args", ()):
        if option["DefElem"]["defname"] == "as":
            return str(option["DefElem"]["arg"]["String"].get("sval", ""))
    return ""


def procedures_sql(node: Tree) -> bytes:
    """One row, one text each: the definitions of the procedures that a CALL's name may mean."""
    names = [part["String"]["sval"] for part in node["funccall"]["funcname"]]
    schema = f"AND n.nspname OPERATOR(pg_catalog.=) {literal(names[-2])}::pg_catalog.name " if len(names) > 1 else ""
    visible = "" if schema else "AND pg_catalog.pg_function_is_visible(p.oid) "
    return (
        "SELECT pg_catalog.pg_get_functiondef(p.oid) FROM pg_catalog.pg_proc p "  # noqa: S608
        "JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) p.pronamespace "
        f"WHERE p.proname OPERATOR(pg_catalog.=) {literal(names[-1])}::pg_catalog.name "
        f"AND p.prokind OPERATOR(pg_catalog.=) 'p' {schema}{visible}ORDER BY p.oid LIMIT {MAX_CANDIDATES}"
    ).encode()


def joined(texts: list[str]) -> str:
    """Several bodies as one text."""
    return _SEPARATOR.join(texts)
