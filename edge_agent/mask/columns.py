"""Which columns show classified values, for one caller at one database: what the server said, resolved.

A column's mask is the strictest of: the classes whose patterns name it; the same column of the tables that it inherits
from or that inherit from it; for a view's column, the mask of the column it shows. A view's column that shows no single
column, and a generated column beside classified ones, are redacted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from edge_agent.classify.names import dotted
from edge_agent.mask.question import TELLTALE, ColumnRow, matcher
from edge_agent.mask.view_tree import UnreadableTree, origins
from twokeys.data_class import STRICTNESS, DataClass, Form

Place = tuple[int, int]
"""A column: OID of its table, its number there."""

_SYSTEM_OIDS: Final = 16384
"""Lower OIDs are the server's own (FirstNormalObjectId of transam.h)."""


@dataclass(frozen=True, slots=True)
class Columns:
    """What is known about classified columns.

    Args:
        known: False: nothing is, and whatever a result shows may be classified.
        forms: By column, of each relation through which something classified can be seen; None: shown as it is.
        relations: Their names, as classifications spell tables.
        newest: Highest OID of any relation then: what is newer is not known.
    """

    known: bool
    forms: dict[Place, Form | None] = field(default_factory=dict)
    relations: frozenset[str] = frozenset()
    newest: int = 0
    names: frozenset[str] = frozenset()
    """Names of the columns that are masked, whatever their tables."""
    named: dict[tuple[str, str], Form | None] = field(default_factory=dict)
    """The same masks by ``schema.relation`` and column."""
    classes: dict[str, frozenset[str]] = field(default_factory=dict)
    """By relation, as classifications spell it, the data classes of what is masked in it."""
    listed: dict[str, dict[str, dict[str, bool]]] = field(default_factory=dict)
    """By relation, schema and column: whether it is masked."""
    tables: frozenset[int] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "tables", frozenset(table for table, _ in self.forms))

    def form_of(self, table: int, number: int) -> Form | None:
        """The mask of a column; None when it may be shown."""
        if not self.known or not table or number == 0 or table > self.newest:
            return Form.REDACT
        if number < 0:
            # System columns: ctid, xmin, tableoid and the like.
            return None
        if table in self.tables:
            return self.forms.get((table, number), Form.REDACT)
        return None


NOTHING_KNOWN: Final = Columns(False)
"""Before the server was asked, and after something moved."""


def resolve(rows: Iterable[ColumnRow] | None, classes: Sequence[DataClass]) -> Columns:
    """Resolve an answer; `NOTHING_KNOWN` where there is none."""
    if rows is None:
        return NOTHING_KNOWN
    rows = list(rows)
    found = _Resolution(rows, [(each.form, matcher(each.columns)) for each in classes if each.columns])
    forms: dict[Place, Form | None] = {(row.table, row.number): found.form((row.table, row.number)) for row in rows}
    newest = max((row.newest for row in rows), default=0)
    relations = frozenset(dotted(row.schema, row.relation) for row in rows)
    names = frozenset(row.column for row in rows if forms[row.table, row.number] is not None)
    named = {(f"{row.schema}.{row.relation}", row.column): forms[row.table, row.number] for row in rows}
    masked = [row for row in rows if forms[row.table, row.number] is not None]
    return Columns(True, forms, relations, newest, names, named, _classes(masked, classes), _listed(rows, forms))


def _classes(masked: Iterable[ColumnRow], classes: Sequence[DataClass]) -> dict[str, frozenset[str]]:
    """The classes that name columns of a relation; all that name any, of one that only shows another's."""
    matchers = [(each.name, matcher(each.columns)) for each in classes if each.columns]
    found: dict[str, frozenset[str]] = {}
    for row in masked:
        spelled = "\x1f".join((row.schema, row.relation, row.column))
        own = frozenset(name for name, regex in matchers if regex.fullmatch(spelled))
        relation = dotted(row.schema, row.relation)
        found[relation] = found.get(relation, frozenset()) | own
    every = frozenset(name for name, _ in matchers)
    return {relation: own or every for relation, own in found.items()}


def _listed(rows: list[ColumnRow], forms: dict[Place, Form | None]) -> dict[str, dict[str, dict[str, bool]]]:
    found: dict[str, dict[str, dict[str, bool]]] = {}
    for row in rows:
        masked = forms[row.table, row.number] is not None
        found.setdefault(row.relation, {}).setdefault(row.schema, {})[row.column] = masked
    return found


class _Resolution:
    def __init__(self, rows: list[ColumnRow], patterns: list[tuple[Form, re.Pattern[str]]]) -> None:
        self._rows = {(row.table, row.number): row for row in rows}
        self._named = {(row.table, row.column): row.number for row in rows}
        self._tables = frozenset(row.table for row in rows)
        self._own = {place: self._by_pattern(row, patterns) for place, row in self._rows.items()}
        self._kin = _kin(rows)
        self._rules = {row.table: _origins(row.rule) for row in rows if row.rule}
        self._done: dict[Place, Form | None] = {}

    @staticmethod
    def _by_pattern(row: ColumnRow, patterns: list[tuple[Form, re.Pattern[str]]]) -> Form | None:
        if row.schema == "pg_catalog" and row.relation in TELLTALE:
            return Form.REDACT
        spelled = "\x1f".join((row.schema, row.relation, row.column))
        return _strictest(form for form, regex in patterns if regex.fullmatch(spelled))

    def form(self, place: Place, seen: frozenset[Place] = frozenset()) -> Form | None:
        """The mask of a column of these rows."""
        if place in self._done:
            return self._done[place]
        if place in seen:
            return Form.REDACT
        row = self._rows[place]
        forms = [self._own[place]]
        for table in self._kin.get(row.table, ()):
            number = self._named.get((table, row.column))
            if number is not None:
                forms.append(self._own[table, number])
        if row.generated:
            forms.append(self._beside(row.table))
        if row.table in self._rules:
            forms.append(self._shown(self._rules[row.table].get(place[1], (0, 0)), seen | {place}))
        found = _strictest(form for form in forms if form is not None)
        if not seen:
            self._done[place] = found
        return found

    def _beside(self, table: int) -> Form | None:
        """Of a generated column: redacted where any column of its table, or of its kin, is classified."""
        for one in {table, *self._kin.get(table, ())}:
            if any(form is not None for (owner, _), form in self._own.items() if owner == one):
                return Form.REDACT
        return None

    def _shown(self, origin: Place, seen: frozenset[Place]) -> Form | None:
        """Of a view's column: the mask of what it shows."""
        if not origin[0] or origin[1] == 0:
            return Form.REDACT
        if origin in self._rows:
            return self.form(origin, seen)
        return Form.REDACT if origin[0] in self._tables and origin[1] > 0 else None


def _strictest(forms: Iterable[Form]) -> Form | None:
    return max(forms, key=STRICTNESS.__getitem__, default=None)


def _origins(rule: str) -> dict[int, Place]:
    try:
        return origins(rule)
    except UnreadableTree:
        return {}


def _kin(rows: list[ColumnRow]) -> dict[int, set[int]]:
    """By table, all that are connected with it by inheritance."""
    groups: dict[int, set[int]] = {}
    for row in rows:
        for parent in row.parents:
            joined = groups.get(row.table, {row.table}) | groups.get(parent, {parent})
            for table in joined:
                groups[table] = joined
    return groups
