"""Policy changes: a proposal by one person, in force when another has approved it."""

from __future__ import annotations

import secrets
from base64 import b32encode
from dataclasses import dataclass
from typing import Final

from twokeys import policy as language
from twokeys.digest import sha256
from twokeys.errors import InvalidInput, Refused
from twokeys.record import RecordType

from ..ports.clock import Clock
from ..ports.people import People, PersonEntry
from ..ports.policies import Policies, PolicyBallot, PolicyVersion, Proposal
from .decisions import MAX_REASON_CHARACTERS
from .limits import Limits
from .notes import note
from .policy_facts import changed_subjects

GROUPS: Final = frozenset({"owners", "reviewers"})
"""Who may propose a policy, and approve somebody else's."""


@dataclass(frozen=True, slots=True)
class PolicyVerdict:
    """What a person decided about a Proposal, and the text they were shown."""

    approve: bool
    reason: str
    text_sha256: str


class PolicyChanges:
    """Proposes and decides."""

    def __init__(self, policies: Policies, people: People, clock: Clock, limits: Limits) -> None:
        self._policies, self._people, self._clock, self._limits = policies, people, clock, limits

    def show(self) -> tuple[PolicyVersion, list[Proposal]]:
        """What is in force, and what is proposed."""
        return self._policies.current(), self._policies.open_proposals()

    def propose(self, person: PersonEntry, text: str, reason: str, base_revision: int) -> Proposal:
        """Propose a text.

        Raises:
            InvalidInput: with the validator's own words.
            Refused: for whoever is in neither group.
            Conflict: when the base is not in force any more.
        """
        _refuse_others(person)
        if len(reason) > MAX_REASON_CHARACTERS:
            raise InvalidInput(f"The reason is over {MAX_REASON_CHARACTERS} characters.",
                               not_done="It was not proposed.", advice="Shorten it.", code="too_long")  # fmt: skip
        language.Policies(text, base_revision + 1)
        proposal = Proposal(
            id="pol_" + b32encode(secrets.token_bytes(15)).decode().lower(),
            text=text,
            text_sha256=sha256(text.encode()),
            author=person.person.id,
            reason=reason,
            base_revision=base_revision,
            created_at=self._clock.now(),
        )
        record = note(
            RecordType.POLICY, person=person.person.id, outcome="proposed", policy_revision=base_revision,
            reason=f"{proposal.id}: {reason}", text_digest=proposal.text_sha256,
            policies=changed_subjects(self._policies.current().text, text),
        )  # fmt: skip
        self._policies.propose(proposal, self._limits.max_open_proposals, record)
        return proposal

    def decide(self, person: PersonEntry, proposal_id: str, verdict: PolicyVerdict) -> Proposal:
        """Approve or turn down; the author's editing counts from now on for what they may approve.

        Raises:
            InvalidInput: when there is no such Proposal.
            Refused: for its author, an account linked to them, whoever is in neither group, another text, or a person
                whose passphrase is new.
            Conflict: when it is decided or outdated, or the person changed meanwhile.
        """
        _refuse_others(person)
        proposal = self._policies.proposal(proposal_id)
        if proposal is None:
            raise InvalidInput("There is no such proposal.", not_done="Nothing was decided.", code="not_found")
        if verdict.approve and person.person.is_same_human(proposal.author):
            raise Refused("You proposed it: somebody else must approve.", not_done="Nothing was decided.",
                          code="own_proposal")  # fmt: skip
        self._refuse_new_passphrase(person, verdict)
        edits = changed_subjects(self._policies.current().text, proposal.text)
        ballot = PolicyBallot(
            proposal_id=proposal_id,
            person_id=person.person.id,
            person_revision=person.revision,
            approve=verdict.approve,
            reason=verdict.reason[:MAX_REASON_CHARACTERS],
            text_sha256=verdict.text_sha256,
            edits=edits,
        )
        record = note(
            RecordType.POLICY, person=person.person.id, reason=f"{proposal_id}: {ballot.reason}",
            text_digest=proposal.text_sha256, policies=edits,
        )  # fmt: skip
        return self._policies.decide(ballot, record)

    def _refuse_new_passphrase(self, person: PersonEntry, verdict: PolicyVerdict) -> None:
        """Whoever had the code of a new passphrase, its author too, signs in as this person."""
        hours = self._limits.edit_seconds // 3600
        edits = self._people.edits_since(self._clock.now() - self._limits.edit_seconds * 1000)
        own = (f"passphrase:{person.person.id}", person.person.id)
        if verdict.approve and own in {(edit.subject, edit.editor) for edit in edits}:
            raise Refused(f"Your passphrase is not {hours} h old: somebody else must approve.",
                          not_done="Nothing was decided.", code="new_passphrase")  # fmt: skip


def _refuse_others(person: PersonEntry) -> None:
    if not GROUPS & set(person.person.groups):
        raise Refused(f"Only people in {' or '.join(sorted(GROUPS))} change policies.",
                      not_done="Nothing was changed.", code="not_permitted")  # fmt: skip
