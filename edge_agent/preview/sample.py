"""A sample's rows as the server sent them, made into the rows of a Preview: masked, cut, before beside after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edge_agent.preview.limits import PreviewLimits
from edge_agent.preview.masking import Hidden, MaskColumn, MaskRows, Shown
from edge_agent.preview.rewrite import DEFAULT, PLAIN, Rewriting, given
from edge_agent.preview.target import Target, TargetColumn
from twokeys.preview import Cell, Column, Row


@dataclass(frozen=True, slots=True)
class Sampled:
    """What the rows of one statement's sample mean."""

    rewriting: Rewriting
    target: Target
    columns: tuple[TargetColumn, ...]
    limits: PreviewLimits

    def rows(self, answer: Sequence[Sequence[str | None]], mask: MaskRows) -> list[Row]:
        """The rows to show."""
        if self.rewriting.arms:
            return self._of_arms(answer, mask)
        masked = mask.mask(self._origins(), answer)
        cut = self.limits.cut(len(self.columns) * 2)
        return [self._row(number, row, cut) for number, row in enumerate(masked)]

    def headings(self) -> list[Column]:
        """The columns to show."""
        assigned = set(self.rewriting.assigned)
        return [Column(name=column.name, assigned=column.name in assigned, key=column.key) for column in self.columns]

    def _of_arms(self, answer: Sequence[Sequence[str | None]], mask: MaskRows) -> list[Row]:
        """Rows of a MERGE: what goes has nothing after, what is new nothing before."""
        arms, cut = self.rewriting.arms, self.limits.cut(len(self.columns) * 2)
        rows = []
        for (which, *_), row in zip(
            answer, mask.mask(self._origins_of_arms(), [row[1:] for row in answer]), strict=True
        ):
            arm = arms[int(which or 0)]
            before = [_cell(value, cut) for value in row[::2]]
            after = []
            for column, value in zip(self.columns, row[1::2], strict=True):
                new = given(arm, column.name)
                default = new.text == DEFAULT if new is not None else arm.does == "INSERT"
                after.append(_default(column) if default else _cell(value, cut))
            rows.append(Row(before=[] if arm.does == "INSERT" else before, after=[] if arm.does == "DELETE" else after))
        return rows

    def _origins_of_arms(self) -> list[MaskColumn]:
        view, found = self.target.kind == "v", []
        for column in self.columns:
            own = ((self.target.name, column.name),)
            values = [given(arm, column.name) for arm in self.rewriting.arms]
            computed = any(value is not None and not _reads_nothing(value.node) for value in values)
            found += [
                MaskColumn(column.name, own, computed=view),
                MaskColumn(column.name, own, computed=view or computed),
            ]
        return found

    def _row(self, number: int, row: Sequence[Shown], cut: int) -> Row:
        left = iter(row)
        before: list[Cell] = []
        after: list[Cell] = []
        values = {value.column: value for value in self.rewriting.values}
        for place, column in enumerate(self.columns):
            if not self.rewriting.before:
                given = next(left, None)
                default = (number, place) in self.rewriting.defaults
                after.append(_default(column) if default else _cell(given, cut))
                continue
            old = _cell(next(left, None), cut)
            before.append(old)
            if column.name in values:
                new = next(left, None)
                after.append(_default(column) if values[column.name].text == DEFAULT else _cell(new, cut))
            else:
                after.append(old)
        return Row(before=before, after=after if self.rewriting.after else [])

    def _origins(self) -> list[MaskColumn]:
        """One for each value of a row of the answer, in its order."""
        name = self.target.name
        # A view's columns are other relations': whoever masks may not know which.
        view = self.target.kind == "v"
        nodes = {value.column: value.node for value in self.rewriting.values}
        found = []
        for column in self.columns:
            own = ((name, column.name),)
            if self.rewriting.before:
                found.append(MaskColumn(column.name, own, computed=view))
            if column.name in nodes:
                found.append(MaskColumn(column.name, own, computed=view or not _reads_nothing(nodes[column.name])))
            elif not self.rewriting.before:
                found.append(MaskColumn(column.name, own, computed=view or not self.rewriting.plain))
        return found


def _reads_nothing(node: Any) -> bool:
    return isinstance(node, dict) and bool(node.keys() & PLAIN)


def _default(column: TargetColumn) -> Cell:
    return Cell(text=f"DEFAULT: {column.default}"[:200]) if column.default else Cell(null=True)


def _cell(value: Shown, cut: int) -> Cell:
    if value is None:
        return Cell(null=True)
    if isinstance(value, Hidden):
        return Cell(masked=True)
    return Cell(text=value[:cut], cut=len(value) > cut)
