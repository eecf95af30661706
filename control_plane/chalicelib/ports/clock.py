"""The control plane's clock: the only one by which deadlines pass."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> int:
        """Milliseconds since the epoch, UTC."""
