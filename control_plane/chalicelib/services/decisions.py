"""Votes of people. Everything is judged here, and checked again in the one transaction that counts the vote."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from twokeys.errors import InvalidInput, Refused
from twokeys.record import RecordType
from twokeys.request import State

from ..ports.people import PersonEntry
from ..ports.requests import Ballot, Requests, Stored
from ..ports.waker import Waker
from ..ports.workflow import Workflow
from .alarms import Alarms
from .eligibility import Bar, Eligibility
from .limits import Limits
from .notes import about
from .requests import not_found

MAX_REASON_CHARACTERS: Final = 2000
"""Longest reason of a vote."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a person decided, and what they were shown when they did."""

    approve: bool
    reason: str
    command_digest: str
    preview_digest: str = ""


class Decisions:
    """Counts votes."""

    def __init__(
        self, requests: Requests, workflow: Workflow, waker: Waker, eligibility: Eligibility, limits: Limits,
        alarms: Alarms,
    ) -> None:  # fmt: skip
        self._requests, self._workflow, self._waker = requests, workflow, waker
        self._eligibility, self._limits, self._alarms = eligibility, limits, alarms

    def vote(self, person: PersonEntry, request_id: str, verdict: Verdict) -> Stored:
        """Count a vote.

        Args:
            person: Who, from a verified credential.
            request_id: Of which Request.
            verdict: What they decided.

        Returns:
            The Request after it; still pending while more approvals are needed.

        Raises:
            InvalidInput: for a denial without a reason, or a reason that is too long.
            Refused: when this person may not decide, or was shown another Command.
            Conflict: when it is over, or people or policy moved meanwhile.
        """
        reason = verdict.reason.strip()
        if not verdict.approve and not reason:
            raise InvalidInput("A denial needs a reason: the caller is told it.", not_done="Nothing was decided.",
                               advice="Write one sentence.", code="reason_missing")  # fmt: skip
        if len(reason) > MAX_REASON_CHARACTERS:
            raise InvalidInput(f"The reason is over {MAX_REASON_CHARACTERS} characters.",
                               not_done="Nothing was decided.", advice="Shorten it.", code="too_long")  # fmt: skip
        stored = self._requests.find(request_id)
        if stored is None:
            raise not_found()
        judgement = self._eligibility.judge(stored.asked, person)
        if judgement.bar is not Bar.NONE:
            if not self._eligibility.may_see(person, judgement):
                raise not_found()
            code = "policy_denied" if judgement.bar is Bar.POLICY else "excluded"
            if judgement.bar is not Bar.POLICY:
                # Auditors ask who tried; whoever policy merely does not name made no such try.
                self._alarms.excluded(stored.asked, person.person.id, judgement.reason)
            raise Refused(judgement.reason, not_done="Nothing was decided.", code=code)
        ballot = Ballot(
            request_id=request_id,
            person_id=person.person.id,
            approve=verdict.approve,
            reason=reason,
            command_digest=verdict.command_digest,
            preview_digest=verdict.preview_digest,
            person_revision=judgement.person_revision,
            policy_revision=judgement.policy_revision,
            lapse_milliseconds=(stored.asked.grant_seconds or self._limits.lapse_of(stored.asked.opened.retry)) * 1000,
        )
        record = about(RecordType.DECISION, stored.asked, person=person.person.id, reason=reason)
        decided = self._requests.decide(ballot, record)
        if decided.state is not State.PENDING:
            self._moved(decided)
        return decided

    def _moved(self, stored: Stored) -> None:
        """The timer follows, and the Edge is told to look: an id, nothing else."""
        if stored.state is State.APPROVED:
            self._workflow.start(stored.asked.id, stored.due_at)
        else:
            self._workflow.cancel(stored.asked.id)
        self._waker.wake(stored.asked.edge_id, stored.asked.id)
