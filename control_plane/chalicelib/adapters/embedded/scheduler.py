"""Deadlines of Requests: a heap in memory over the `due_at` column, which survives a restart by being read again.

A reminder only makes the service look; the conditional write decides whether time is over. A reminder that fails
(the disk was full) comes again.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable, Iterable
from typing import Final

from ...ports.clock import Clock

AGAIN_MILLISECONDS: Final = 1000
"""After which a reminder that failed comes again."""

LONGEST_WAIT_SECONDS: Final = 5.0
"""Longest sleep: the clock may be set forward meanwhile."""

_FINER: Final = 0.001


class Scheduler:
    """Implements `ports.workflow.Workflow`."""

    def __init__(
        self, clock: Clock, load: Callable[[], Iterable[tuple[str, int]]], failed: Callable[[str], None]
    ) -> None:
        """Args: clock: the store's; load: what is due in the store; failed: told of a reminder that raised."""
        self._clock, self._load, self._failed = clock, load, failed
        self._condition = threading.Condition()
        self._heap: list[tuple[int, str]] = []
        self._due: dict[str, int] = {}
        self._stopping = False
        self._remind: Callable[[str], None] = lambda request_id: None
        self._thread = threading.Thread(target=self._run, name="scheduler", daemon=True)

    def begin(self, remind: Callable[[str], None]) -> None:
        """Take up what the store has, and begin to remind."""
        self._remind = remind
        for request_id, due_at in self._load():
            self.start(request_id, due_at)
        self._thread.start()

    def stop(self) -> None:
        """End after the reminder under way."""
        with self._condition:
            self._stopping = True
            self._condition.notify()
        if self._thread.is_alive():
            self._thread.join(10)

    def start(self, request_id: str, due_at: int) -> None:
        with self._condition:
            self._due[request_id] = due_at
            heapq.heappush(self._heap, (due_at, request_id))
            if self._heap[0] == (due_at, request_id):
                self._condition.notify()

    def cancel(self, request_id: str) -> None:
        with self._condition:
            self._due.pop(request_id, None)
            if len(self._heap) > 64 + 4 * len(self._due):
                # Cancelled ones stay in the heap until their time; many short ones must not pile up.
                self._heap = [(due_at, one) for one, due_at in self._due.items()]
                heapq.heapify(self._heap)

    def _run(self) -> None:
        while (request_id := self._next()) is not None:
            try:
                self._remind(request_id)
            except Exception as error:
                # This thread is the only one that ends silence as a denial: it must outlive any fault.
                self._failed(type(error).__name__)
                self.start(request_id, self._clock.now() + AGAIN_MILLISECONDS)

    def _next(self) -> str | None:
        with self._condition:
            while not self._stopping:
                wait = LONGEST_WAIT_SECONDS
                if self._heap:
                    due_at, request_id = self._heap[0]
                    left = (due_at - self._clock.now()) / 1000
                    if left <= 0:
                        heapq.heappop(self._heap)
                        if self._due.get(request_id) == due_at:
                            del self._due[request_id]
                            return request_id
                        continue
                    wait = min(wait, left + _FINER)
                self._condition.wait(wait)
            return None
