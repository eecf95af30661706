"""The control plane's own record chain, source ``control-plane``.

a change of state, with its Note ──▶ appended in the same write ──▶ sealed every few seconds, as an Edge's are
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from twokeys.digest import Json
from twokeys.record import ChainHead

SOURCE: Final = "control-plane"
"""The source of the chain; no Edge may have this id."""

Note = Mapping[str, Json]
"""A Record's header without what the store adds (`seq`, `source`, `time`): columns of `twokeys.tables.RECORDS`."""


@dataclass(frozen=True, slots=True)
class Run:
    """Records that follow each other.

    Args:
        before: The chain's head before the first of them.
        lines: Their canonical lines, without newlines.
    """

    before: ChainHead
    lines: tuple[bytes, ...]


class Records(Protocol):
    """The chain."""

    def append(self, note: Note) -> None:
        """Keep one Record by itself, where nothing else changes: a refusal, a reading. Durable when it returns."""

    def head(self) -> ChainHead:
        """The chain's head; Notes that were kept and not read yet may not be in it."""

    def after(self, sequence: int, most: int) -> Run:
        """At most `most` Records after this sequence, in order. One caller at a time: Notes get their numbers here."""

    def forget(self, up_to: int) -> None:
        """Drop lines that are sealed and published; the head stays."""
