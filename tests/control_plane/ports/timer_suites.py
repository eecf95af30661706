"""Suites of `ports.workflow` and `ports.clock`: which reminders come, and when."""

from __future__ import annotations

import threading
import time
from typing import Protocol

from control_plane.chalicelib.ports.clock import Clock
from control_plane.chalicelib.ports.workflow import Workflow
from tests.control_plane.world import fresh_id

LATE_SECONDS = 5
"""By how much a reminder may be late here; a busy machine runs the tests."""

SOON = 1200
"""Milliseconds until a reminder that a test waits for; a workflow may count whole seconds."""


class TimerBackend(Protocol):
    """A workflow on a clock that runs."""

    @property
    def clock(self) -> Clock:
        """The workflow's clock."""

    @property
    def workflow(self) -> Workflow:
        """The workflow; another one after `reopen`."""

    def reminded(self) -> list[str]:
        """Ids of all reminders that have come so far, in order."""

    def reopen(self) -> None:
        """End the process, start another one on the same data."""

    def is_kept(self, request_id: str, due_at: int) -> None:
        """Keep a Request that moves at this time, so that a restart finds it."""


class WorkflowSuite:
    """Subclass it with a fixture `timers`, a `TimerBackend`."""

    def test_a_reminder_comes_once_at_its_time_and_not_before(self, timers: TimerBackend) -> None:
        one = fresh_id()
        due_at = timers.clock.now() + SOON
        timers.workflow.start(one, due_at)
        self.until(timers, one)
        assert 0 <= timers.clock.now() - due_at < LATE_SECONDS * 1000
        assert timers.reminded() == [one]

    def test_reminders_come_in_the_order_of_their_times(self, timers: TimerBackend) -> None:
        now, ids = timers.clock.now(), [fresh_id() for _ in range(2)]
        timers.workflow.start(ids[1], now + SOON + 2000)
        timers.workflow.start(ids[0], now + SOON)
        self.until(timers, ids[1])
        assert timers.reminded() == ids

    def test_what_is_overdue_is_reminded_of_at_once(self, timers: TimerBackend) -> None:
        one = fresh_id()
        timers.workflow.start(one, timers.clock.now() - 60_000)
        self.until(timers, one)

    def test_a_cancelled_one_is_not_reminded_of(self, timers: TimerBackend) -> None:
        gone, stays, now = fresh_id(), fresh_id(), timers.clock.now()
        timers.workflow.start(gone, now + SOON)
        timers.workflow.start(stays, now + SOON + 1000)
        timers.workflow.cancel(gone)
        timers.workflow.cancel(gone)
        timers.workflow.cancel(fresh_id())
        self.until(timers, stays)
        assert timers.reminded() == [stays]

    def test_a_later_time_replaces_an_earlier_one(self, timers: TimerBackend) -> None:
        one, due_at = fresh_id(), timers.clock.now() + SOON + 1500
        timers.workflow.start(one, timers.clock.now() + SOON)
        timers.workflow.start(one, due_at)
        self.until(timers, one)
        assert timers.clock.now() >= due_at
        assert timers.reminded() == [one]

    def test_an_earlier_time_replaces_a_later_one(self, timers: TimerBackend) -> None:
        one = fresh_id()
        timers.workflow.start(one, timers.clock.now() + 60_000)
        timers.workflow.start(one, timers.clock.now() + SOON)
        self.until(timers, one)
        timers.workflow.cancel(one)

    def test_one_started_twice_reminds_once(self, timers: TimerBackend) -> None:
        one, other, due_at = fresh_id(), fresh_id(), timers.clock.now() + SOON
        timers.workflow.start(one, due_at)
        timers.workflow.start(one, due_at)
        timers.workflow.start(other, due_at + 1000)
        self.until(timers, other)
        assert timers.reminded() == [one, other]

    def test_one_that_reminded_can_be_started_again_for_the_same_time(self, timers: TimerBackend) -> None:
        one, due_at = fresh_id(), timers.clock.now() + SOON
        timers.workflow.start(one, due_at)
        self.until(timers, one)
        timers.workflow.start(one, due_at)
        self.until(timers, one, times=2)

    def test_one_that_was_cancelled_can_be_started_again_for_the_same_time(self, timers: TimerBackend) -> None:
        one, due_at = fresh_id(), timers.clock.now() + SOON + 1000
        timers.workflow.start(one, due_at)
        timers.workflow.cancel(one)
        timers.workflow.start(one, due_at)
        self.until(timers, one)
        assert timers.reminded() == [one]

    def test_a_timer_survives_a_restart(self, timers: TimerBackend) -> None:
        one, due_at = fresh_id(), timers.clock.now() + SOON
        timers.is_kept(one, due_at)
        timers.workflow.start(one, due_at)
        timers.reopen()
        self.until(timers, one)
        assert timers.clock.now() >= due_at

    @staticmethod
    def until(timers: TimerBackend, request_id: str, times: int = 1) -> None:
        """Wait for a reminder."""
        end = time.monotonic() + 20
        while timers.reminded().count(request_id) < times:
            assert time.monotonic() < end, "no reminder came"
            time.sleep(0.02)


class ClockSuite:
    """Subclass it with a fixture `running_clock`, a `Clock`."""

    def test_it_tells_milliseconds_since_the_epoch(self, running_clock: Clock) -> None:
        before = time.time_ns() // 1_000_000
        told = running_clock.now()
        assert isinstance(told, int)
        assert before <= told <= time.time_ns() // 1_000_000

    def test_it_never_goes_back_whoever_asks(self, running_clock: Clock) -> None:
        told: list[int] = []
        lock = threading.Lock()
        in_order: list[bool] = []

        def ask() -> None:
            mine = []
            for _ in range(2000):
                mine.append(running_clock.now())
            with lock:
                told.extend(mine)
                in_order.append(mine == sorted(mine))

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert in_order == [True] * 4
        assert running_clock.now() >= max(told)

    def test_it_runs(self, running_clock: Clock) -> None:
        begun = running_clock.now()
        end = time.monotonic() + 5
        while running_clock.now() == begun:
            assert time.monotonic() < end
