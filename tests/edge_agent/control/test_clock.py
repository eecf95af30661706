"""The estimate of the control plane's clock: heard time and elapsed time; the wall clock only against us."""

from __future__ import annotations

from edge_agent.control.clock import ControlClock, SavedTime, this_machine
from tests.edge_agent.control.edges import Clocks
from tests.edge_agent.recorder.journals import NOW


def test_heard_time_and_elapsed_time_alone_count() -> None:
    clocks = Clocks(wall=NOW)
    clock = ControlClock(clocks.machine(), SavedTime())
    assert clock.now() == NOW and not clock.heard_any
    clock.heard(NOW + 5_000)
    clocks.wall = 0
    clocks.elapsed += 1_000
    assert clock.now() == NOW + 6_000 and clock.heard_any


def test_after_a_restart_a_wall_clock_turned_back_gains_nothing_in_the_same_boot() -> None:
    clocks = Clocks()
    before = ControlClock(clocks.machine(), SavedTime())
    before.heard(NOW)
    saved = before.saved()
    clocks.elapsed += 3_600_000
    clocks.wall = NOW - 10**9
    assert ControlClock(clocks.machine(), saved).now() == NOW + 3_600_000


def test_in_another_boot_the_greater_of_saved_and_wall_counts() -> None:
    saved = SavedTime(NOW, 1_000_000, "boot-1")
    assert ControlClock(Clocks(boot="boot-2", wall=NOW - 5).machine(), saved).now() == NOW
    assert ControlClock(Clocks(boot="boot-2", wall=NOW + 5).machine(), saved).now() == NOW + 5
    assert ControlClock(Clocks(boot="", wall=NOW - 5).machine(), SavedTime(NOW, 1, "")).now() == NOW


def test_this_machine_s_clocks_run() -> None:
    machine = this_machine()
    first = machine.elapsed()
    assert machine.elapsed() >= first > 0
    assert machine.wall() > NOW - 10**11
