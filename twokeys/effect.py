"""What a Command does: its Effect, and the objects it touches.

A classifier proves effects from the protocol's own grammar. What it can't prove is not a read:
`Classification.certain` is false and the effect asks as `privileged`.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Effect(enum.IntEnum):
    """Effects in rising order of severity; the worst of several wins, by `max`."""

    READ = 0
    WRITE = 1
    DDL = 2
    PRIVILEGED = 3

    @property
    def word(self) -> str:
        """The spelling on the wire and in policies: read, write, ddl, privileged."""
        return self.name.lower()

    @classmethod
    def from_word(cls, word: str) -> Effect:
        """Read the wire spelling. Raises KeyError for anything else."""
        return cls[word.upper()] if word.islower() else cls[word]


class ObjectKind(enum.StrEnum):
    """Kinds of object that policies name; each is a Cedar entity type of the same meaning."""

    DATABASE = "database"
    TABLE = "table"
    FUNCTION = "function"


@dataclass(frozen=True, slots=True, order=True)
class ObjectRef:
    """One object of a target.

    Args:
        kind: What it is. A database stands for the whole target where nothing finer is known.
        name: Dotted path inside the target: ``public.orders`` for a table (schema always present),
            empty for the database itself.
    """

    kind: ObjectKind
    name: str = ""


DATABASE = ObjectRef(ObjectKind.DATABASE)
"""The target's database as a whole."""


@dataclass(frozen=True, slots=True, order=True)
class Access:
    """One object and what happens to it."""

    object: ObjectRef
    effect: Effect

    @property
    def spelled(self) -> str:
        """``effect:kind:name``, the spelling of the wire and of the audit table."""
        return f"{self.effect.word}:{self.object.kind.value}:{self.object.name}"


def read_access(text: str) -> Access:
    """Read `Access.spelled` back. Raises ValueError or KeyError for anything else."""
    word, kind, name = text.split(":", 2)
    return Access(ObjectRef(ObjectKind(kind), name), Effect.from_word(word))


@dataclass(frozen=True, slots=True)
class Classification:
    """The verdict of a classifier about one Command.

    Args:
        kind: What it is in the protocol's words, upper case: ``SELECT``, ``UPDATE``, ``CREATE TABLE``.
            A text of several statements: the worst one's.
        accesses: At least one; sorted, without doubles. A command that names no object touches `DATABASE`.
        normalised: The text without literals and comments, safe to show without clearance; may be cut.
        certain: False when any part was not understood: then every access asks as privileged.
        statements: How many statements the text holds (0 for an empty text).
        reasons: Why it is no proven read, in plain words, for the reviewer; empty for a proven read.
    """

    kind: str
    accesses: tuple[Access, ...]
    normalised: str
    certain: bool = True
    statements: int = 1
    reasons: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.accesses:
            raise ValueError("a classification touches at least one object")
        if not self.certain and self.effect is not Effect.PRIVILEGED:
            raise ValueError("an uncertain classification asks as privileged")

    @property
    def effect(self) -> Effect:
        """The worst effect over all objects."""
        return max(access.effect for access in self.accesses)
