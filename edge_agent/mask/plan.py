"""From a described result to how each of its columns is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from edge_agent.mask.columns import Columns
from edge_agent.mask.detect import Scan
from edge_agent.mask.forms import masked
from edge_agent.mask.lineage import Cleared
from edge_agent.mask.rows import CALL, NULL, PARTIAL, REDACT, SHOW, mask_rows
from edge_agent.mask.shapes import Shape, shape_of
from twokeys.data_class import Form

TEXT_TYPES: Final = frozenset({25, 1043, 1042, 19, 705})
"""text, varchar, char, name and unknown: the same bytes in both formats, and any text is one of theirs."""

_PLAIN_TYPES: Final = frozenset(
    {16, 20, 21, 23, 26, 28, 29, 27, 700, 701, 1700, 790, 1082, 1083, 1266, 1114, 1184, 1186, 2950, 2278, 5069, 3220}
)
"""Booleans, numbers, dates, times, UUIDs and positions, in which no detector finds anything."""


_WAYS: Final = {Form.NULL: NULL, Form.PARTIAL: PARTIAL, Form.REDACT: REDACT}


class Described(Protocol):
    """A column of a RowDescription."""

    @property
    def table(self) -> int:
        """OID of the table it comes from; 0: from none."""

    @property
    def attribute(self) -> int:
        """The column's number there; 0: from none."""

    @property
    def type(self) -> int:
        """OID of its type."""

    @property
    def format(self) -> int:
        """0: text, 1: binary."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How the rows of one result are shown.

    Args:
        ways: One of `rows` per column.
        forms: What `CALL` means by column: a Form, or None where values are searched.
        binary: Columns that are searched and, being binary, can't be mended: NULL where something is found.
        key: For hashes.
        scan: For the search.
    """

    ways: bytes
    forms: tuple[Form | None, ...]
    binary: frozenset[int]
    key: bytes
    scan: Scan | None
    shapes: Mapping[int, Shape] = field(default_factory=dict)
    """Columns whose values hold texts."""

    @property
    def shows_all(self) -> bool:
        """Whether there is nothing to rewrite."""
        return not any(self.ways)

    @property
    def changed(self) -> tuple[int, ...]:
        """The columns whose values may be shown otherwise, from 0."""
        return tuple(at for at, way in enumerate(self.ways) if way != SHOW)

    def mask(self, data: bytes) -> bytes:
        """Rewrite whole DataRow messages. Raises UnreadableRow."""
        return data if self.shows_all else mask_rows(data, self.ways, self._value)

    def field(self, column: int, value: bytes) -> bytes | None:
        """What is shown instead of one value in its text format."""
        way = self.ways[column]
        return value if way == SHOW else None if way == NULL else self._value(column, value)

    def _value(self, column: int, value: bytes) -> bytes | None:
        form, shape = self.forms[column], self.shapes.get(column)
        if form is not None:
            return masked(form, value, self.key) if shape is None else shape.masked(form, value, self.key)
        if self.scan is None:
            return value
        if shape is not None:
            return shape.searched(value, self.scan)
        if column in self.binary:
            return None if self.scan.finds_framed(value) or self.scan.finds_escaped(value) else value
        found = self.scan.scrub(value)
        return None if self.scan.finds_escaped(found) else found


def plan_of(
    described: Sequence[Described],
    columns: Columns,
    key: bytes,
    *,
    touches: bool,
    cleared: Cleared | None = None,
    scan: Scan | None = None,
) -> Plan:
    """Plan a result.

    Args:
        described: Its columns.
        columns: What is classified.
        key: For hashes; empty: none are made.
        touches: Its text may show something classified. When not, only what looks like it is masked.
        cleared: Which columns provably hold nothing classified; counts for those that come from no table's column.
        scan: What values are searched for.
    """
    ways, forms, binary, shapes = bytearray(), list[Form | None](), set[int](), dict[int, Shape]()
    clears = (False,) * len(described) if cleared is None else cleared.of(len(described))
    for at, column in enumerate(described):
        form = None
        if touches and (column.table or not clears[at]):
            form = columns.form_of(column.table, column.attribute)
        if form is not None:
            ways.append(_way(form, column))
        elif scan is not None and column.type not in _PLAIN_TYPES:
            ways.append(CALL)
            if column.format and column.type not in TEXT_TYPES:
                binary.add(at)
        else:
            ways.append(SHOW)
        forms.append(form)
        if ways[-1] == CALL and (shape := shape_of(column.type, binary=column.format == 1)):
            shapes[at] = shape
    return Plan(bytes(ways), tuple(forms), frozenset(binary), key, scan, shapes)


def _way(form: Form, column: Described) -> int:
    if column.type in TEXT_TYPES:
        return _WAYS.get(form, CALL)
    return CALL if form is not Form.NULL and shape_of(column.type, binary=column.format == 1) else NULL
