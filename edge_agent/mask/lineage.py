"""Which computed columns of a SELECT provably hold nothing classified; whatever else is computed is redacted.

The parse tree and the columns that the server listed prove it (`derive`). What is spelled like a built-in function or
operator may be one of users' own: `owed` asks the classifier, too. What comes from a table's column as it is
is masked by the server's own word, whatever is said here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge_agent.mask.columns import Columns
from edge_agent.mask.derive import Derivation, NotProven
from edge_agent.mask.sources import CLASSIFIED, Entry
from edge_agent.mask.taint import only_select

_ALONE = frozenset({"A_Const", "ParamRef", "SQLValueFunction"})


@dataclass(frozen=True, slots=True)
class Cleared:
    """What is proven of a result's columns.

    Args:
        before: By column, from the first: whether it holds nothing classified.
        after: The same for the last columns; between the two a star's columns stand. None: there is no star.
    """

    before: tuple[bool, ...]
    after: tuple[bool, ...] | None = None

    def of(self, count: int) -> Sequence[bool]:
        """For a result of so many columns; nothing is proven where that can't be."""
        after = self.after or ()
        between = count - len(self.before) - len(after)
        if between < 0 or (between and self.after is None):
            return (False,) * count
        return (*self.before, *(False,) * between, *after)


def cleared(text: bytes, columns: Columns) -> Cleared | None:
    """What is proven of the columns that a text shows; None: nothing."""
    select = only_select(text)
    if select is None or not columns.known or "intoClause" in select:
        return None
    derivation = Derivation(columns)
    try:
        entries = derivation.outermost(select)
    except NotProven:
        return None
    free = [entry.star is None and not entry.origin & CLASSIFIED for entry in entries]
    if derivation.steers:
        said = [held["ResTarget"].get("val", {}) for held in select.get("targetList", [])]
        free = [len(said) == len(free) and not said[at].keys() - _ALONE for at in range(len(free))]
    return _cut(entries, free)


def _cut(entries: Sequence[Entry], free: Sequence[bool]) -> Cleared:
    stars = [at for at, entry in enumerate(entries) if entry.star is not None]
    if not stars:
        return Cleared(tuple(free))
    return Cleared(tuple(free[: stars[0]]), tuple(free[stars[-1] + 1 :]))
