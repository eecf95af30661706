"""What timers missed: Requests past their time are ended, and those without a timer get one.

Timers and messages are wake-ups that can be lost (ADR 1): a crash between keeping a Request and starting its timer,
a reminder that went to the dead letters. This looks at every Request that will move by itself, once a minute, and is
safe to run twice at once: each end is the store's conditional write, and starting a timer again changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from twokeys.errors import TwokeysError

from ..ports.clock import Clock
from ..ports.requests import Requests
from ..ports.workflow import Workflow
from .timeouts import Timeouts

MAX_STARTED: Final = 500
"""Most timers started in one run; the next run goes on. Whatever has none is ended by these runs anyway."""


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What one run found and did.

    Args:
        open: Requests that will move by themselves.
        lag_milliseconds: By how much the latest of them was past its time; 0 when none was.
        reminded: How many were past it.
        started: How many timers were started.
        failed: How many could not be worked; the next run tries again.
        finished: Whether the run came to its end in its time.
    """

    open: int
    lag_milliseconds: int
    reminded: int = 0
    started: int = 0
    failed: int = 0
    finished: bool = True


class Reconciling:
    """Looks and mends."""

    def __init__(
        self,
        requests: Requests,
        timeouts: Timeouts,
        workflow: Workflow,
        clock: Clock,
        has_timer: Callable[[str, int], bool],
    ) -> None:
        """Wire it; `has_timer` tells whether a Request (id, due at) has a timer that was begun."""
        self._requests, self._timeouts, self._workflow, self._clock = requests, timeouts, workflow, clock
        self._has_timer = has_timer

    def run(self, is_over: Callable[[], bool] = lambda: False) -> Reconciled:
        """Look at everything once.

        Args:
            is_over: Asked before each Request: whether this run's time is over.

        Raises:
            Unavailable: when the store can't be listed.
        """
        due = sorted(self._requests.due(), key=lambda one: one[1])
        now = self._clock.now()
        late = [one for one in due if one[1] <= now]
        lag = now - late[0][1] if late else 0
        reminded = started = failed = 0
        for request_id, due_at in due:
            if is_over():
                return Reconciled(len(due), lag, reminded, started, failed, finished=False)
            try:
                if due_at <= now:
                    self._timeouts.remind(request_id)
                    reminded += 1
                elif started < MAX_STARTED and not self._has_timer(request_id, due_at):
                    self._workflow.start(request_id, due_at)
                    started += 1
            except TwokeysError:
                # One that can't be worked must not keep the others from ending.
                failed += 1
        return Reconciled(len(due), lag, reminded, started, failed)
