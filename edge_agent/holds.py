"""How many Commands wait, in all and per caller: what a caller may cost in people's attention. One for all sessions.

A Command whose connection waits counts until its hold is over. A retry grant that goes on without a connection counts
until its time is over or its caller came back for it, so that a caller that never waits can't ask without bound.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field

from edge_agent.config import LimitsSection
from edge_agent.row_budget import RowBudgets


@dataclass(slots=True)
class Holds:
    """Counts them."""

    limits: LimitsSection
    budgets: RowBudgets = field(default_factory=lambda: RowBudgets(time.monotonic))
    total: int = 0
    of_caller: Counter[str] = field(default_factory=Counter)
    _left: dict[str, tuple[str, asyncio.TimerHandle]] = field(default_factory=dict)

    def take(self, caller: str) -> bool:
        """Count one more; False when there are too many."""
        full = self.total >= self.limits.max_open_requests
        if full or self.of_caller[caller] >= self.limits.max_open_per_caller:
            return False
        self.total += 1
        self.of_caller[caller] += 1
        return True

    async def ask(self, caller: str) -> bool:
        """As `take`, for a Command that people are asked about: the Edge's count, whatever process a session is in."""
        return self.take(caller)

    def answered(self, caller: str) -> None:
        """As `give`, after `ask`."""
        self.give(caller)

    def give(self, caller: str) -> None:
        """One less."""
        self.total -= 1
        self.of_caller[caller] -= 1
        if not self.of_caller[caller]:
            del self.of_caller[caller]

    def leave_or_come_back(self, caller: str, request_id: str, seconds: float) -> None:
        """`leave`, or without seconds `come_back`."""
        if seconds:
            self.leave(caller, request_id, seconds)
        else:
            self.come_back(request_id)

    def leave(self, caller: str, request_id: str, seconds: float) -> None:
        """A Request goes on without its connection, at most these seconds: it keeps counting, once."""
        if request_id in self._left:
            return
        self.total += 1
        self.of_caller[caller] += 1
        timer = asyncio.get_running_loop().call_later(seconds, self.come_back, request_id)
        self._left[request_id] = (caller, timer)

    def come_back(self, request_id: str) -> None:
        """It is over, or its caller has come for it: it no longer counts. Harmless for any other Request."""
        found = self._left.pop(request_id, None)
        if found is not None:
            found[1].cancel()
            self.give(found[0])
