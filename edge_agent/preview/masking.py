"""What a preview asks of masking: rows leave the Edge only as policy shows them."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol


class Hidden(enum.Enum):
    """Stands for a value that policy hides."""

    HIDDEN = "hidden"


HIDDEN: Final = Hidden.HIDDEN

Shown = str | Hidden | None
"""A value as it may be shown: text (perhaps masked in part), hidden whole, or NULL."""


@dataclass(frozen=True, slots=True)
class MaskColumn:
    """Where the values of one column may come from.

    Args:
        name: The column's.
        origins: Columns that are read for it, as (``schema.table``, column).
        computed: It may hold values of columns that are not among them: an expression, or a query's.
    """

    name: str
    origins: tuple[tuple[str, str], ...]
    computed: bool


class MaskRows(Protocol):
    """Masking, for one caller's Decision."""

    def mask(self, columns: Sequence[MaskColumn], rows: Sequence[Sequence[str | None]]) -> list[list[Shown]]:
        """The rows as they may be shown to whoever decides."""


class ShowAll:
    """Implements MaskRows where policy knows no data classes."""

    def mask(self, columns: Sequence[MaskColumn], rows: Sequence[Sequence[str | None]]) -> list[list[Shown]]:
        """As they are."""
        return [list(row) for row in rows]
