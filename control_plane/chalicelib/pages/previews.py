"""A Preview as the review page shows it: sentences, and a table of what becomes of each row.

A change is told by words and marks (`del`, `ins`), never by colour alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from twokeys.preview import Cell, Column, Preview, Row

_VERBS: Final = {
    "UPDATE": "change", "DELETE": "delete", "INSERT": "add", "MERGE": "change, add or delete", "COPY": "add",
}  # fmt: skip

HIDDEN: Final = "hidden by policy"
NULL: Final = "NULL"
CUT: Final = "…"

MANY_COLUMNS: Final = 7
"""With more columns than this each row is a list of its own: a table would need scrolling sideways."""


@dataclass(frozen=True, slots=True)
class ValueView:
    """One value: its text, and whether that stands for something else (NULL, a hidden value)."""

    text: str
    special: bool


@dataclass(frozen=True, slots=True)
class CellView:
    """What becomes of one value. `how` is same, changed, hidden, new or gone."""

    column: str
    how: str
    before: ValueView
    after: ValueView


@dataclass(frozen=True, slots=True)
class HeadingView:
    """A column, and what is said of it: key, gets a value, or nothing."""

    name: str
    note: str


@dataclass(frozen=True, slots=True)
class PreviewView:
    """The section of the page. `headline` is a sentence without its full stop; `more` says what is not shown."""

    headline: str
    preview: Preview
    headings: tuple[HeadingView, ...]
    rows: tuple[tuple[CellView, ...], ...]
    more: str
    plan: str

    @property
    def is_wide(self) -> bool:
        """Whether its rows are lists."""
        return len(self.headings) > MANY_COLUMNS

    @property
    def is_mixed(self) -> bool:
        """Whether some of its rows go and others stay: then it must be seen without colours which."""
        return len({row[0].how == "gone" for row in self.rows if row}) > 1


def preview_view(preview: Preview) -> PreviewView:
    """Lay a Preview out: the key first, then what gets a value, then the rest."""
    order = sorted(range(len(preview.columns)), key=lambda at: _rank(preview.columns[at]))
    changed = any(row.before and row.after for row in preview.sample)
    headings = tuple(_heading(preview.columns[at], changed=changed) for at in order)
    rows = tuple(_row(row, preview.columns, order) for row in preview.sample)
    return PreviewView(_headline(preview), preview, headings, rows, _more(preview), _plan(preview))


def _rank(column: Column) -> tuple[bool, bool]:
    return not column.key, not column.assigned


def _heading(column: Column, *, changed: bool) -> HeadingView:
    note = "key" if column.key else "gets a value" if column.assigned and changed else ""
    return HeadingView(column.name, note)


def _row(row: Row, columns: list[Column], order: list[int]) -> tuple[CellView, ...]:
    nothing = Cell(null=True)
    cells = []
    for at in order:
        before = row.before[at] if row.before else nothing
        after = row.after[at] if row.after else nothing
        how = "gone" if not row.after else "new" if not row.before else _change(before, after, columns[at])
        cells.append(CellView(columns[at].name, how, _value(before), _value(after)))
    return tuple(cells)


def _change(before: Cell, after: Cell, column: Column) -> str:
    if column.assigned and (before.masked or after.masked):
        return "hidden"
    # What was cut may differ behind the cut.
    return "changed" if before != after or (column.assigned and before.cut) else "same"


def _value(cell: Cell) -> ValueView:
    if cell.null:
        return ValueView(NULL, special=True)
    if cell.masked and not cell.text:
        return ValueView(HIDDEN, special=True)
    return ValueView(cell.text + CUT if cell.cut else cell.text, special=False)


def _headline(preview: Preview) -> str:
    verb = _VERBS.get(preview.action.split(" ")[0])
    if verb is None:
        return "Its source" if preview.body else "It takes locks" if preview.locks else "Not previewed"
    on = f" in {preview.target}" if preview.target else ""
    if preview.rows is None:
        return f"How many rows it would {verb}{on} is not known"
    return f"It would {verb} {preview.rows:,} row{'' if preview.rows == 1 else 's'}{on}"


def _more(preview: Preview) -> str:
    shown = len(preview.sample)
    if not shown:
        return ""
    if preview.rows is None:
        return f"{shown} row{'' if shown == 1 else 's'} shown; there may be more."
    left = preview.rows - shown
    return f"{left:,} more row{'' if left == 1 else 's'} not shown." if left > 0 else ""


def _plan(preview: Preview) -> str:
    plan = preview.plan
    if plan is None:
        return ""
    rows = f"{plan.rows:,} row{'' if plan.rows == 1 else 's'}"
    return f"{plan.node}: about {rows}, cost {plan.cost} in the planner's own units"
