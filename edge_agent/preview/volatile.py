"""Functions that answer differently each time, or that a question must not call: by the names the grammar found."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from edge_agent.classify.builtins_review import VOLATILE_READERS
from edge_agent.preview.clauses import NotRewritten

_UNASKED: Final = frozenset(
    ("pg_sleep", "pg_sleep_for", "pg_sleep_until", "pg_advisory_unlock_all", "pg_stat_clear_snapshot")
)
"""Proven readers whose call is felt: they wait, or change what the caller's own session holds."""

_FINDING: Final = (
    "withClause", "fromClause", "usingClause", "whereClause", "selectStmt", "sourceRelation", "joinCondition",
    "mergeWhenClauses",
)  # fmt: skip
"""The parts of a statement that say which rows it is about."""


def refuse_felt(node: Any) -> None:
    """Raise NotRewritten when the statement calls what a question must not."""
    felt = sorted(_UNASKED.intersection(_calls(node)))
    if felt:
        raise NotRewritten(f"it calls {felt[0]}, which is not called only to look")


def unsteady(node: dict[str, Any]) -> str:
    """A function on which the number of rows depends, and that answers differently each time; empty without one."""
    found = (name for part in _FINDING for name in _calls(node.get(part)))
    return next((name for name in found if name in VOLATILE_READERS), "")


def _calls(node: Any) -> Iterator[str]:
    waiting = [node]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            if "FuncCall" in each and isinstance(each["FuncCall"], dict):
                yield str(each["FuncCall"]["funcname"][-1]["String"]["sval"])
            waiting.extend(each.values())
        elif isinstance(each, list):
            waiting.extend(each)
