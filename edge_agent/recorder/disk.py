"""How much room the journal's disk has left. Low disk denies writes; exhaustion ends sessions."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

LOOK_SECONDS: Final = 1.0
"""Others fill disks too: an older look is not believed."""


def free_bytes(folder: Path) -> int:
    """Bytes an unprivileged process may still write to this folder's file system."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


class DiskWatch:
    """Free room, looked at about once a second and counted down in between."""

    def __init__(self, folder: Path, low: int, exhausted: int, look: Callable[[Path], int] = free_bytes) -> None:
        """Build.

        Args:
            folder: Where the journal lies.
            low: Below these free bytes writes are denied.
            exhausted: Below these nothing is appended.
            look: How the free bytes are found.
        """
        self._folder, self._low, self._exhausted, self._look = folder, low, exhausted, look
        self._free = 0
        self._next_look = 0.0

    def room_for(self, size: int, now: float) -> bool:
        """Whether `size` more bytes leave the journal above exhaustion; counts them as used.

        Args:
            size: Bytes.
            now: Monotonic seconds.
        """
        if now >= self._next_look or self._free - size < self._low:
            self._free = self._look(self._folder)
            self._next_look = now + LOOK_SECONDS
        self._free -= size
        return self._free >= self._exhausted

    def spare(self, now: float) -> tuple[int, float]:
        """What may be written without asking: `used` says how much of it was.

        Args:
            now: Monotonic seconds.

        Returns:
            Bytes, and the monotonic seconds from which on `room_for` must be asked again.
        """
        return (max(0, self._free - self._low) if now < self._next_look else 0), self._next_look

    def used(self, size: int) -> None:
        """Count bytes that were written of what was to spare."""
        self._free -= size

    @property
    def low(self) -> bool:
        """Whether writes must be denied."""
        self.room_for(0, time.monotonic())
        return self._free < self._low
