"""The timer suites on the embedded scheduler."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from control_plane.chalicelib.adapters.embedded.clock import SystemClock
from control_plane.chalicelib.adapters.embedded.scheduler import Scheduler
from control_plane.chalicelib.ports.clock import Clock
from control_plane.chalicelib.ports.workflow import Workflow
from tests.control_plane.ports.timer_suites import ClockSuite, WorkflowSuite


class EmbeddedTimers:
    """Implements `timer_suites.TimerBackend`."""

    def __init__(self) -> None:
        self._clock = SystemClock()
        self._kept: list[tuple[str, int]] = []
        self._reminded: list[str] = []
        self.faults: list[str] = []
        self._scheduler = self._begin()

    @property
    def clock(self) -> Clock:
        return self._clock

    @property
    def workflow(self) -> Workflow:
        return self._scheduler

    def reminded(self) -> list[str]:
        return list(self._reminded)

    def reopen(self) -> None:
        self._scheduler.stop()
        self._scheduler = self._begin()

    def is_kept(self, request_id: str, due_at: int) -> None:
        self._kept.append((request_id, due_at))

    def close(self) -> None:
        self._scheduler.stop()

    def _begin(self) -> Scheduler:
        made = Scheduler(self._clock, lambda: self._kept, self.faults.append)
        made.begin(self._reminded.append)
        return made


@pytest.fixture
def timers() -> Iterator[EmbeddedTimers]:
    made = EmbeddedTimers()
    yield made
    made.close()
    assert made.faults == []


@pytest.fixture
def running_clock() -> Clock:
    return SystemClock()


class TestScheduler(WorkflowSuite):
    """A heap in memory."""


class TestSystemClock(ClockSuite):
    """The machine's."""
