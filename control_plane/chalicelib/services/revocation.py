"""Edges go: an owner revokes one, and it is nobody from then on.

revoke ──▶ its key and unused token gone, its id never used again, one write with its Record
       ──▶ what it held and nobody spent: withdrawn        what it spent: its time ends as a marked doubt
"""

from __future__ import annotations

from typing import Final

from twokeys.errors import Conflict, InvalidInput
from twokeys.record import RecordType
from twokeys.request import Event, State

from ..ports.edges import Edge, Edges
from ..ports.people import PersonEntry
from ..ports.requests import Outcome, Requests
from ..ports.wake_access import WakeAccess
from ..ports.workflow import Workflow
from .notes import about, note
from .people import refuse_unless_owner

MAX_REASON: Final = 512
"""Longest reason."""

MAX_WITHDRAWN: Final = 10_000
"""Most Requests that are withdrawn at once; what is left ends by its own time."""

_WITHDRAWN: Final = frozenset((State.PENDING.value, State.APPROVED.value))


class Revocation:
    """Shows Edges, and revokes them."""

    def __init__(self, edges: Edges, requests: Requests, workflow: Workflow, wake_access: WakeAccess | None) -> None:
        self._edges, self._requests, self._workflow, self._wake_access = edges, requests, workflow, wake_access

    def edges(self) -> list[Edge]:
        """Every enrolled Edge."""
        return self._edges.edges()

    def revoke(self, owner: PersonEntry, edge_id: str, reason: str) -> int:
        """Revoke an Edge, enrolled or not; return how many of its Requests were withdrawn. Can be done again.

        Raises:
            Refused: for whoever is no owner.
            InvalidInput: without a reason, or when there is no such Edge.
            Unavailable: when what follows could not be done: the Edge is revoked, do it again.
        """
        refuse_unless_owner(owner)
        if not reason.strip() or len(reason) > MAX_REASON:
            raise InvalidInput(f"A revocation has a reason, of at most {MAX_REASON} characters.",
                               not_done="Nothing was changed.", code="no_reason")  # fmt: skip
        by = owner.person.id
        record = note(RecordType.ENROLMENT, person=by, outcome="revoked", objects=[edge_id], reason=reason)
        done = self._edges.revoke(edge_id, record)
        left = self._requests.unfinished(edge_id, MAX_WITHDRAWN)
        if not done and not left and self._edges.head(edge_id) is None:
            raise InvalidInput("There is no such edge.", not_done="Nothing was changed.", code="not_found")
        withdrawn = sum(self._withdraw(one.id) for one in left if one.state in _WITHDRAWN)
        if self._wake_access is not None:
            self._wake_access.forget(edge_id)
        return withdrawn

    def _withdraw(self, request_id: str) -> bool:
        stored = self._requests.find(request_id)
        if stored is None:
            return False
        reason = "Its edge was revoked."
        try:
            self._requests.end(
                request_id, Event.WITHDRAW, Outcome(reason=reason), about(RecordType.END, stored.asked, reason=reason)
            )
        except Conflict:
            # Decided otherwise, or over, meanwhile; an approval can't be spent by an Edge that is nobody.
            return False
        self._workflow.cancel(request_id)
        return True
