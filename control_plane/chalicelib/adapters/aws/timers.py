"""Whether a Request's timer was begun: the state machine leaves its token on the timer's item (ADR 10).

Between keeping a Request and the machine's first step a process can die, or an execution can fail to start. Then the
item is missing, is of an earlier state, or has no token.
"""

from __future__ import annotations

from .table import Key, Table


class Timers:
    """Looks at timers."""

    def __init__(self, table: Table) -> None:
        """Args: table: the deployment's."""
        self._table = table

    def has(self, request_id: str, due_at: int) -> bool:
        """Whether a timer for this time was begun.

        One that is just beginning looks as if there were none: starting it again changes nothing.
        """
        item = self._table.get(Key(f"REQ#{request_id}", "TIMER"))
        return item is not None and item.get("due_at") == due_at and bool(item.get("token"))
