"""What happens when nobody does anything: each state that must not last ends by the table's own arrow."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from twokeys.errors import Conflict
from twokeys.record import RecordType
from twokeys.request import Event, State

from ..ports.requests import Outcome, Requests
from ..ports.waker import Waker
from ..ports.workflow import Workflow
from .notes import about

ENDS: Final[Mapping[State, tuple[Event, RecordType, str]]] = MappingProxyType(
    {
        State.PENDING: (Event.EXPIRE, RecordType.DECISION, "Nobody decided in time."),
        State.APPROVED: (Event.LAPSE, RecordType.END, "The approval was not used in time."),
        State.SPENDING: (Event.DOUBT, RecordType.RESULT, "The edge did not report in time."),
    }
)
"""How each state ends by itself, with its Record and reason."""


class Timeouts:
    """Ends what is due."""

    def __init__(self, requests: Requests, workflow: Workflow, waker: Waker) -> None:
        self._requests, self._workflow, self._waker = requests, workflow, waker

    def remind(self, request_id: str) -> None:
        """Look whether a Request's time is over, and end its state if so. Raises Unavailable: remind again."""
        stored = self._requests.find(request_id)
        if stored is None or stored.state not in ENDS:
            return
        event, kind, reason = ENDS[stored.state]
        if stored.asked.is_grant and event is Event.LAPSE:
            reason = "The grant's time is over."
        ended = Outcome(reason=reason, drawn=stored.outcome.drawn)
        try:
            self._requests.end(request_id, event, ended, about(kind, stored.asked, reason=reason), when_due=True)
        except Conflict:
            # It moved meanwhile, or the reminder came early: whatever it waits for now is reminded of in its turn.
            moved = self._requests.find(request_id)
            if moved is not None and moved.due_at:
                self._workflow.start(request_id, moved.due_at)
            return
        self._waker.wake(stored.asked.edge_id, request_id)
