"""Failed sign-ins, recorded at a limited rate: whoever knocks can't fill the journal or its disk.

Each kind has an allowance of its own that refills with time. What is left out is counted, and told with the next of
its kind.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

REFILL_SECONDS: Final = 10.0
"""After which one more of a kind may be recorded: 8,640 a day, some 3 MB."""

MAX_KINDS: Final = 64
"""Kinds told apart; any more share one allowance. Codes are ours, so there are fewer."""


@dataclass(slots=True)
class _Allowance:
    left: float
    at: float
    untold: int = 0


@dataclass(slots=True)
class Knocks:
    """What may be recorded.

    Args:
        burst: Records of one kind at once.
        clock: Monotonic seconds.
        refill: After how many seconds one more of a kind may be recorded.
    """

    burst: int
    clock: Callable[[], float]
    refill: float = REFILL_SECONDS
    _kinds: dict[str, _Allowance] = field(default_factory=dict)

    def take(self, kind: str) -> int | None:
        """One more came. Returns how many like it were left out before, or None when this one is left out too."""
        now = self.clock()
        if kind not in self._kinds and len(self._kinds) >= MAX_KINDS:
            kind = ""
        one = self._kinds.setdefault(kind, _Allowance(self.burst, now))
        one.left = min(float(self.burst), one.left + (now - one.at) / self.refill)
        one.at = now
        if one.left < 1:
            one.untold += 1
            return None
        one.left -= 1
        untold, one.untold = one.untold, 0
        return untold
