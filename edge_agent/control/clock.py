"""The control plane's clock, as this Edge estimates it: the last `Twokeys-Time` heard plus time elapsed since.

Elapsed time is the machine's, suspension included; the wall clock counts only before the first answer of a process,
and then only against us: the greatest of what was saved, what has elapsed since the machine last saved it in the same
boot, and the wall clock. So a wall clock that is wrong or turned back can shorten what an old Bundle permits, and can
lengthen it at most by the time the machine itself was off.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_MAX_TIME: Final = 2**52
"""Milliseconds; far beyond any clock, and what canonical JSON keeps exactly."""


@dataclass(frozen=True, slots=True)
class SavedTime:
    """A moment of the control plane's clock, with the machine's own at that moment.

    Args:
        control: Milliseconds since the epoch by the control plane.
        elapsed: Milliseconds of this boot at that moment.
        boot: Which boot; empty where the system doesn't tell.
    """

    control: int = 0
    elapsed: int = 0
    boot: str = ""


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine's own clocks, in milliseconds."""

    elapsed: Callable[[], int]
    wall: Callable[[], int]
    boot: str


def this_machine() -> Machine:
    """The clocks of the machine this runs on."""
    source = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    try:
        boot = _BOOT_ID.read_text("ascii").strip()
    except OSError:
        boot = ""
    return Machine(lambda: time.clock_gettime_ns(source) // 1_000_000, lambda: time.time_ns() // 1_000_000, boot)


class ControlClock:
    """Estimates the control plane's time."""

    def __init__(self, machine: Machine, saved: SavedTime) -> None:
        """Start from what was saved."""
        self._machine = machine
        now = machine.elapsed()
        same_boot = bool(saved.boot) and saved.boot == machine.boot and now >= saved.elapsed
        since = now - saved.elapsed if same_boot else 0
        self._base = max(saved.control + since, machine.wall())
        self._base_elapsed = now
        self.heard_any = False
        """Whether the control plane was heard since this process started."""

    def now(self) -> int:
        """The estimate, in milliseconds since the epoch."""
        return self._base + self._machine.elapsed() - self._base_elapsed

    def heard(self, milliseconds: int) -> None:
        """Take the time that an answer carried; nonsense is ignored."""
        if 0 < milliseconds < _MAX_TIME:
            self._base, self._base_elapsed, self.heard_any = milliseconds, self._machine.elapsed(), True

    def saved(self) -> SavedTime:
        """What to save for the next start; only ever what was heard, or was saved before."""
        return SavedTime(self.now(), self._machine.elapsed(), self._machine.boot)
