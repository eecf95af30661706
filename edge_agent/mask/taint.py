"""Whether a text may show something classified, by what the classifier found in it."""

from __future__ import annotations

from typing import Final

from edge_agent.classify.parser import Tree, Unparsable, parse
from edge_agent.classify.sql import SqlVerdict
from edge_agent.mask.columns import Columns
from twokeys.effect import Effect, ObjectKind

_OPAQUE: Final = frozenset({"FETCH", "MOVE", "EXECUTE", "UNKNOWN", "CALL", "DO"})
"""Statements whose text does not tell what they show."""

TELLTALE_FUNCTIONS: Final = frozenset(
    {"pg_stat_get_activity", "pg_stat_get_backend_activity", "pg_mcv_list_items", "pg_cursor", "pg_prepared_statement"}
)
"""Built-in readers that show other sessions' texts, or values out of statistics."""


def touches(verdict: SqlVerdict, text: bytes, columns: Columns) -> bool:
    """Whether a result of this text may hold a classified value. What is not known may.

    Args:
        verdict: The classifier's.
        text: As it was judged.
        columns: What is classified.
    """
    classification = verdict.classification
    if not classification.certain or classification.kind in _OPAQUE or verdict.cursors or verdict.executes:
        return True
    for access in classification.accesses:
        match access.object.kind:
            case ObjectKind.TABLE:
                name = access.object.name
                if not columns.known or name in columns.relations or name.startswith("pg_toast."):
                    return True
            case ObjectKind.FUNCTION:
                return True
            case ObjectKind.DATABASE:
                if access.effect > Effect.WRITE:
                    return True
    return _calls_telltale(text)


def _calls_telltale(text: bytes) -> bool:
    """Whether any name in the parsed text is one of those functions': called, or by column notation."""
    if b"_" not in text and b"U&" not in text.upper():
        return False
    try:
        stack: list[object] = [parse(text)]
    except (Unparsable, ValueError):
        return True
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            name = node.get("sval")
            if isinstance(name, str) and name in TELLTALE_FUNCTIONS:
                return True
            stack.extend(node.values())
        elif isinstance(node, list):
            stack.extend(node)
    return False


def only_select(text: bytes) -> Tree | None:
    """The SELECT that a text consists of; None when it is anything else."""
    try:
        trees = parse(text)
    except (Unparsable, ValueError):
        return None
    found: Tree | None = trees[0]["stmt"].get("SelectStmt") if len(trees) == 1 else None
    return found
