"""What the names in a SELECT stand for, and what may be classified behind each.

A value's origin is two bits. `FREE`: it holds something of the database that is not classified; `CLASSIFIED`: it holds,
or may tell of, something that is. What is not understood is both. Constants and parameters are neither.

Resolution is the server's, made coarser: where several columns or rows could bear a name, it stands for all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from edge_agent.classify.parser import Tree
from edge_agent.mask.columns import Columns
from edge_agent.mask.taint import TELLTALE_FUNCTIONS

FREE: Final = 1
CLASSIFIED: Final = 2
UNKNOWN: Final = FREE | CLASSIFIED


@dataclass(frozen=True, slots=True)
class Source:
    """One item of a FROM list, as its names see it.

    Args:
        name: Its alias, or its own name; empty: it has none.
        columns: Origins of the columns that are known by name.
        others: Origin of columns whose names are not known; None: there are none.
    """

    name: str
    columns: dict[str, int] = field(default_factory=dict)
    others: int | None = None

    @property
    def row(self) -> int:
        """Origin of the whole row."""
        return any_of([*self.columns.values(), self.others or 0])

    def qualified(self, column: str) -> int:
        """Origin of ``name.column``: what is no column calls a function on the whole row."""
        if column in self.columns:
            return self.columns[column]
        if self.others is None or column in TELLTALE_FUNCTIONS:
            return UNKNOWN
        return self.row


@dataclass(frozen=True, slots=True)
class Entry:
    """One output of a SELECT: a column, or a star's columns, whose number is not known then.

    Args:
        name: The column's; empty where the server makes one up.
        origin: Of the column; of any that the star stands for.
        star: What a star stands for.
    """

    name: str
    origin: int
    star: tuple[Source, ...] | None = None


def any_of(origins: Iterable[int]) -> int:
    """The origin of what may hold all of these."""
    found = 0
    for origin in origins:
        found |= origin
    return found


def of_relation(columns: Columns, schema: str, relation: str, alias: Tree) -> Source:
    """A table or view. One that has no schema may be found in any.

    The catalogue tells all columns of relations through which something classified can be seen; of others it is known
    that all they show is free.
    """
    name = alias.get("aliasname", relation)
    if schema.startswith("pg_toast") or relation.startswith("pg_toast"):
        return Source(name, others=UNKNOWN)
    anywhere = not schema or schema.startswith("pg_temp")
    listed = columns.listed.get(relation, {}).items()
    found = [each for place, each in listed if anywhere or place == schema]
    if not found:
        return Source(name, others=FREE)
    shown = {column for column in found[0] if not any(each.get(column, True) for each in found)}
    every: set[str] = set().union(*found)
    known = Source(name, {column: FREE if column in shown else CLASSIFIED for column in every})
    return Source(name, others=known.row | FREE) if "colnames" in alias else known


def of_entries(name: str, entries: Sequence[Entry], renamed: Sequence[str]) -> Source:
    """A sub-select or common table expression; `renamed` are the column names given to it."""
    if any(entry.star is not None for entry in entries) and renamed:
        return Source(name, others=FREE | any_of(entry.origin for entry in entries))
    columns: dict[str, int] = {}
    others: int | None = None
    for at, entry in enumerate(entries):
        spelled = renamed[at] if at < len(renamed) else entry.name
        if entry.star is not None:
            for source in entry.star:
                for column, origin in source.columns.items():
                    columns[column] = columns.get(column, 0) | origin
                if source.others is not None:
                    others = (others or 0) | source.others
        elif spelled:
            columns[spelled] = columns.get(spelled, 0) | _stored(entry.origin)
        else:
            others = (others or 0) | _stored(entry.origin)
    return Source(name, columns, others)


def _stored(origin: int) -> int:
    """Rows of constants are data as others are: what they are compared with can be read off them."""
    return origin or FREE


def unqualified(levels: Sequence[Sequence[Source]], name: str) -> int | None:
    """Origin of a name that stands alone: a column of any item, or an item's whole row; None: of nothing known."""
    found: list[int] = []
    for source in (source for level in levels for source in level):
        if name in source.columns:
            found.append(source.columns[name])
        elif source.others is not None:
            found.append(source.others)
        if source.name == name:
            found.append(source.row)
    return any_of(found) if found else None


def named(levels: Sequence[Sequence[Source]], name: str) -> list[Source]:
    """The items that a qualifier may mean."""
    return [source for level in levels for source in level if source.name == name]
