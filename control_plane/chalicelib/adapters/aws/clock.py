"""The function's own clock, kept from going back while its process lives."""

from __future__ import annotations

import threading
import time


class LambdaClock:
    """Implements `ports.clock.Clock`. Processes may differ by what their hosts' clocks differ (Lambda keeps NTP)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0

    def now(self) -> int:
        wall = time.time_ns() // 1_000_000
        with self._lock:
            self._last = max(self._last, wall)
            return self._last
