"""Deadlines: in order, nearly on time, after a restart too; a fault does not end them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from control_plane.chalicelib.adapters.embedded.clock import SystemClock
from control_plane.chalicelib.adapters.embedded.scheduler import Scheduler

CLOCK = SystemClock()


class Reminded:
    """Notes reminders, and how late each was."""

    def __init__(self, expected: int) -> None:
        self.ids: list[str] = []
        self.late: list[float] = []
        self.due: dict[str, int] = {}
        self.all = threading.Event()
        self.expected = expected

    def __call__(self, request_id: str) -> None:
        self.ids.append(request_id)
        self.late.append((CLOCK.now() - self.due.get(request_id, CLOCK.now())) / 1000)
        if len(self.ids) >= self.expected:
            self.all.set()


Make = Callable[..., Scheduler]


@pytest.fixture
def make() -> Iterator[Make]:
    made: list[Scheduler] = []

    def build(load: list[tuple[str, int]] | None = None, faults: list[str] | None = None) -> Scheduler:
        told = faults if faults is not None else []
        made.append(Scheduler(CLOCK, lambda: load or [], told.append))
        return made[-1]

    yield build
    for one in made:
        one.stop()


def test_reminders_come_in_order_and_late_by_less_than_a_fifth_of_a_second(make: Make) -> None:
    reminded, scheduler = Reminded(500), make()
    scheduler.begin(reminded)
    for number in range(500):
        reminded.due[f"r{number}"] = CLOCK.now() + 200 + number
        scheduler.start(f"r{number}", reminded.due[f"r{number}"])
    assert reminded.all.wait(10)
    assert reminded.ids == [f"r{number}" for number in range(500)]
    assert sorted(reminded.late)[int(500 * 0.99)] <= 0.2
    assert min(reminded.late) >= 0


def test_what_the_store_has_is_taken_up_and_overdue_ends_at_once(make: Make) -> None:
    reminded = Reminded(2)
    make([("soon", CLOCK.now() + 100), ("overdue", 1)]).begin(reminded)
    assert reminded.all.wait(5)
    assert reminded.ids == ["overdue", "soon"]


def test_a_later_start_replaces_and_a_cancel_forgets(make: Make) -> None:
    reminded, scheduler = Reminded(1), make()
    scheduler.begin(reminded)
    scheduler.start("moved", CLOCK.now() + 50)
    scheduler.start("moved", CLOCK.now() + 300)
    scheduler.start("cancelled", CLOCK.now() + 50)
    scheduler.cancel("cancelled")
    scheduler.cancel("unknown")
    began = time.monotonic()
    assert reminded.all.wait(5)
    assert time.monotonic() - began > 0.25
    assert reminded.ids == ["moved"]


def test_a_reminder_that_fails_comes_again_and_ends_nothing(make: Make) -> None:
    faults: list[str] = []
    reminded, scheduler = Reminded(2), make(faults=faults)
    tries: list[str] = []

    def remind(request_id: str) -> None:
        tries.append(request_id)
        if request_id == "bad" and tries.count("bad") == 1:
            raise OSError("the disk is full")
        reminded(request_id)

    scheduler.begin(remind)
    scheduler.start("bad", CLOCK.now())
    scheduler.start("good", CLOCK.now() + 50)
    assert reminded.all.wait(5)
    assert (reminded.ids, faults) == (["good", "bad"], ["OSError"])


def test_cancelled_reminders_do_not_pile_up(make: Make) -> None:
    scheduler = make()
    for number in range(20_000):
        scheduler.start(f"r{number}", CLOCK.now() + 3_600_000)
        scheduler.cancel(f"r{number}")
    assert len(scheduler._heap) < 200
