"""What the classifier asks of a catalogue: is this name bound to code of users, and is that code known to read?

A Reading is the answer about a name that is bound to something of users'. None means that the catalogue knows nothing
of users' under that name; it proves nothing by itself, since the catalogue may have moved.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from twokeys.effect import Access


@dataclass(frozen=True, slots=True)
class Reading:
    """What is known of a name's code.

    Args:
        why_not: Why it is not known to read only, in words; empty when it is.
        accesses: What it reads besides, when it is known to read.
    """

    why_not: str = ""
    accesses: tuple[Access, ...] = ()

    @property
    def proven(self) -> bool:
        """Whether it is known to read only."""
        return not self.why_not


class Known(Protocol):
    """A catalogue as the classifier sees it.

    `schema` is empty for an unqualified name, which is looked for in every schema of `path`, and in pg_catalog; an
    empty `path` stands for a search path that nobody knows: then every schema counts, and the worst wins.
    """

    @property
    def revision(self) -> int:
        """Moves with every change; verdicts are remembered by it."""

    def everywhere(self, path: tuple[str, ...]) -> str:
        """Why no text at all can be proven to read (a cast between built-in types calls code); empty when it may."""

    def call(self, schema: str, name: str, path: tuple[str, ...]) -> Reading | None:
        """Functions of this name, all overloads together."""

    def field(self, name: str, path: tuple[str, ...]) -> Reading | None:
        """What `alias.name` may run: functions of this name that take a row, all together."""

    def operator(self, schema: str, name: str, path: tuple[str, ...]) -> Reading | None:
        """Operators of this name, whatever their operands."""

    def type(self, schema: str, name: str, path: tuple[str, ...]) -> Reading | None:
        """Types of this name: what runs when a value becomes one, or is compared."""

    def relation(self, schema: str, name: str, path: tuple[str, ...]) -> str:
        """Why reading this relation is not known to read only; empty when nothing speaks against it."""
