"""Every size of a catalogue, with its name. What is larger is not known at all."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

from twokeys.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class CatalogueLimits:
    """How much of a database's catalogue is looked at.

    Args:
        objects: Most functions, operators, casts, types and relations of users', each; with more there is no Snapshot.
        definition_bytes: Longest body or definition that is analysed; a longer one is not known to read.
        answer_bytes: Most bytes that one load may bring.
        depth: How deep functions and views may stand in each other; deeper ones are not known to read.
        bodies: Most bodies analysed per Snapshot; the rest are not known to read.
    """

    objects: int = 20_000
    definition_bytes: int = 64 * 1024
    answer_bytes: int = 64 * 1024 * 1024
    depth: int = 8
    bodies: int = 20_000

    def __post_init__(self) -> None:
        for limit in fields(self):
            if getattr(self, limit.name) < 1:
                raise InvalidInput(f"The limit {limit.name} must be positive.", not_done="The limits were not set.")


DEFAULT_LIMITS: Final = CatalogueLimits()
