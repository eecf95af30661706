"""The machine's own clock, kept from going back while the process runs: a deadline that passed stays passed."""

from __future__ import annotations

import threading
import time


class SystemClock:
    """Implements `ports.clock.Clock`.."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0

    def now(self) -> int:
        wall = time.time_ns() // 1_000_000
        with self._lock:
            self._last = max(self._last, wall)
            return self._last
