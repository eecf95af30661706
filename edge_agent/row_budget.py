"""Rows that callers may change without asking: a window per caller and target, and how a held write tries to fit.

    held write with a budget ─▶ reserve all that is left ─▶ run it in its transaction, its answer kept back ─▶ count
        ─▶ it fits: it stays, the count is booked        ─▶ it does not: rolled back, and people are asked as ever

Rules:
  1. All that is left is reserved while one statement runs: what runs beside it has nothing left and is held. So neither
     many statements, transactions nor connections at once can split a big write (attack A7).
  2. What is booked counts for the whole window, over all policies, sessions and connections of the caller at the
     target; only what the server rolled back is given back.
  3. Rows are those of the server's own counters, with what triggers and foreign keys changed (see `probation`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from twokeys.decision import RowBudget

MAX_MINUTES: Final = 1440
"""How long what was changed is remembered: the longest window that a policy can have."""


MAX_IDLE_CALLERS: Final = 1000
"""Callers of whom nothing is booked any more and who are remembered all the same."""


@dataclass(slots=True, eq=False)
class Booking:
    """Rows of one statement: reserved, then changed; 0 counts for nothing. `at` in seconds, monotonic."""

    at: float
    rows: int


@dataclass(slots=True)
class RowBudgets:
    """What callers have changed lately.

    Args:
        clock: Monotonic seconds.
    """

    clock: Callable[[], float]
    _booked: dict[tuple[str, str], list[Booking]] = field(default_factory=dict)

    def reserve(self, caller: str, target: str, budget: RowBudget) -> Booking | None:
        """Reserve all that is left of the budget; None when nothing is."""
        now = self.clock()
        if len(self._booked) > MAX_IDLE_CALLERS:
            self._booked = {key: booked for key, booked in self._booked.items() if self._count(booked, now)}
        booked = self._booked.get((caller, target), [])
        booked = [one for one in booked if one.rows and one.at > now - MAX_MINUTES * 60]
        left = budget.most - self._count(booked, now, budget.minutes)
        self._booked[caller, target] = booked
        if left < 1:
            return None
        booking = Booking(now, left)
        booked.append(booking)
        return booking

    async def claim(self, caller: str, target: str, budget: RowBudget) -> Booking | None:
        """As `reserve`, wherever it is counted: the budget is the Edge's, whatever process a session is in."""
        return self.reserve(caller, target, budget)

    def settle(self, booking: Booking, rows: int) -> None:
        """The statement changed so many rows that stay as far as is known. They count from now on."""
        booking.rows, booking.at = rows, self.clock()

    @staticmethod
    def _count(booked: list[Booking], now: float, minutes: int = MAX_MINUTES) -> int:
        return sum(one.rows for one in booked if one.at > now - minutes * 60)
