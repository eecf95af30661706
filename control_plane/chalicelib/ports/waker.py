"""Waking Edges: durable hints that a Request moved, delivered again until acknowledged."""

from __future__ import annotations

from typing import Final, Protocol

MAX_WAKES_PER_EDGE: Final = 10_000
"""Hints kept for one Edge; beyond, the oldest go: an Edge also looks by itself."""

MAX_WAITERS_PER_EDGE: Final = 2
"""Long polls of one Edge at once; a further one ends the oldest at once."""


class Waker(Protocol):
    """Hints by Edge."""

    def wake(self, edge_id: str, request_id: str) -> None:
        """Keep a hint, and end waits of this Edge."""

    def wait(self, edge_id: str, seconds: float, acknowledge: list[str]) -> list[str]:
        """Forget what is acknowledged; return the hints there are, else wait for one.

        Raises:
            Unavailable: with code ``too_many`` when too many Edges wait.
        """
