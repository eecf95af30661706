"""The reconciler ends what is late, starts the timers that were lost, and leaves the rest alone."""

from __future__ import annotations

from dataclasses import dataclass, field

from control_plane.chalicelib.services.reconciling import Reconciled, Reconciling
from tests.control_plane.world import World
from twokeys.errors import Unavailable
from twokeys.request import State


@dataclass
class Timers:
    """A workflow that keeps what it was told."""

    started: dict[str, int] = field(default_factory=dict)

    def start(self, request_id: str, due_at: int) -> None:
        self.started[request_id] = due_at

    def cancel(self, request_id: str) -> None:
        self.started.pop(request_id, None)

    def has(self, request_id: str, due_at: int) -> bool:
        return self.started.get(request_id) == due_at


def reconciling(world: World, timers: Timers) -> Reconciling:
    return Reconciling(world.ports.requests, world.services.timeouts, timers, world.clock, timers.has)


def test_a_request_past_its_time_ends_and_the_lag_is_told(a_world: World) -> None:
    opened, timers = a_world.open().id, Timers()
    a_world.clock.pass_seconds(65)
    assert reconciling(a_world, timers).run() == Reconciled(1, 5_000, reminded=1)
    assert a_world.stored(opened).state is State.EXPIRED
    assert reconciling(a_world, timers).run() == Reconciled(0, 0)


def test_a_crash_between_keeping_and_timing_leaves_no_request_without_a_timer(a_world: World) -> None:
    opened, timers = a_world.open().id, Timers()
    due = a_world.stored(opened).due_at
    assert reconciling(a_world, timers).run() == Reconciled(1, 0, started=1)
    assert timers.started == {opened: due}
    assert reconciling(a_world, timers).run() == Reconciled(1, 0)
    assert a_world.stored(opened).state is State.PENDING


def test_a_timer_of_an_earlier_state_is_no_timer(a_world: World) -> None:
    opened, timers = a_world.open().id, Timers()
    timers.started[opened] = a_world.stored(opened).due_at
    a_world.clock.pass_seconds(1)
    a_world.vote("rob", opened)
    assert reconciling(a_world, timers).run().started == 1
    assert timers.started[opened] == a_world.stored(opened).due_at


def test_one_that_can_t_be_worked_keeps_no_other_from_ending(a_world: World) -> None:
    first = a_world.open().id
    a_world.clock.pass_seconds(1)
    second = a_world.open().id
    a_world.clock.pass_seconds(70)

    class Broken(Timers):
        def cancel(self, request_id: str) -> None:
            """Not used."""

    works, real = reconciling(a_world, Broken()), a_world.services.timeouts.remind

    class Ends:
        def remind(self, request_id: str) -> None:
            if request_id == first:
                raise Unavailable("busy")
            real(request_id)

    works._timeouts = Ends()  # type: ignore[assignment]
    done = works.run()
    assert (done.reminded, done.failed) == (1, 1)
    assert (a_world.stored(first).state, a_world.stored(second).state) == (State.PENDING, State.EXPIRED)


def test_a_run_whose_time_is_over_leaves_the_rest_to_the_next(a_world: World) -> None:
    for _ in range(3):
        a_world.open()
    a_world.clock.pass_seconds(70)
    asked = iter((False, True))
    done = reconciling(a_world, Timers()).run(lambda: next(asked))
    assert (done.reminded, done.finished) == (1, False)
    assert reconciling(a_world, Timers()).run().reminded == 2
