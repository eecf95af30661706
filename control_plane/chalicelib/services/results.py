"""What became of spent Requests: told by the Edge, or settled by a person when nobody knows."""

from __future__ import annotations

from typing import Final

from twokeys.errors import Conflict, InvalidInput, Refused
from twokeys.messages import RequestStatus, ResultReport
from twokeys.record import RecordType, same_hash
from twokeys.request import Event, State

from ..ports.clock import Clock
from ..ports.edges import Edge
from ..ports.people import PersonEntry
from ..ports.requests import Outcome, Requests, Stored
from ..ports.workflow import Workflow
from .eligibility import Bar, Eligibility
from .notes import about
from .requests import not_found, status_of

_EVENTS: Final = {"done": Event.SUCCEED, "failed": Event.FAIL, "in_doubt": Event.DOUBT}
_STATES: Final = {"done": State.DONE, "failed": State.FAILED, "in_doubt": State.IN_DOUBT}


class Results:
    """Takes outcomes."""

    def __init__(self, requests: Requests, workflow: Workflow, eligibility: Eligibility, clock: Clock) -> None:
        self._requests, self._workflow, self._eligibility, self._clock = requests, workflow, eligibility, clock

    def report(self, edge: Edge, request_id: str, message: ResultReport) -> RequestStatus:
        """Take an Edge's report; the same again changes nothing. A late one still turns a doubt into what it says.

        Raises:
            Conflict: for another spend's nonce, or when another outcome is known already.
        """
        stored = self._requests.find(request_id)
        if stored is None or stored.asked.edge_id != edge.edge_id:
            raise not_found()
        spending = stored.spending
        if spending is None or not same_hash(spending.nonce, message.nonce):
            raise Conflict("The report is of another spend.", not_done="It was not taken.", code="spend_mismatch")
        if stored.state is not _STATES[message.outcome]:
            outcome = Outcome(reason=message.reason, rows=message.rows, sqlstate=message.sqlstate)
            record = about(
                RecordType.RESULT, stored.asked, reason=message.reason, rows=message.rows, sqlstate=message.sqlstate,
                xid=message.xid or spending.xid,
            )  # fmt: skip
            stored = self._requests.end(request_id, _EVENTS[message.outcome], outcome, record)
            self._workflow.cancel(request_id)
        return status_of(stored, self._clock.now(), [])

    def settle(self, person: PersonEntry, request_id: str, outcome: str, reason: str) -> Stored:
        """Settle a doubt by a person who found out: done or failed.

        Raises:
            InvalidInput: without a reason, or for another outcome.
            Refused: for whoever may not decide about the Request.
            Conflict: when it is not in doubt.
        """
        stored = self._requests.find(request_id)
        if stored is None:
            raise not_found()
        if outcome not in ("done", "failed") or not reason.strip():
            raise InvalidInput("A settlement says done or failed, and how you know.",
                               not_done="Nothing was settled.", code="bad_settlement")  # fmt: skip
        judgement = self._eligibility.judge(stored.asked, person)
        if judgement.bar is not Bar.NONE:
            raise Refused(judgement.reason, not_done="Nothing was settled.", code="excluded")
        if stored.state is not State.IN_DOUBT:
            raise Conflict(f"The request is {stored.state.value}, not in doubt.", not_done="Nothing was settled.",
                           code="no_such_transition")  # fmt: skip
        who = person.person.id
        record = about(RecordType.SETTLEMENT, stored.asked, person=who, reason=reason)
        return self._requests.end(request_id, _EVENTS[outcome], Outcome(reason=reason, settled_by=who), record)
