"""The timer of a Request. It only reminds: whether time is over is judged by the store's conditional write."""

from __future__ import annotations

from typing import Protocol


class Workflow(Protocol):
    """Reminders by Request id, ids and times only."""

    def start(self, request_id: str, due_at: int) -> None:
        """Remind at this time (milliseconds since the epoch); an earlier reminder of this Request is replaced."""

    def cancel(self, request_id: str) -> None:
        """Remind no more. Idempotent."""
