"""Who may decide about a Request, and why not: the nevers first, then policy.

A judgement names the revisions it was made under; the store counts a vote only if they still hold.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

import msgspec

from twokeys.decision import Outcome
from twokeys.policy import Asked as PolicyAsked
from twokeys.policy import principal_for

from ..ports.clock import Clock
from ..ports.people import Edit, People, PersonEntry
from ..ports.requests import Asked
from .limits import Limits
from .policy_facts import CurrentPolicy, approving_policies, reviewer_groups

SEEING_GROUPS: Final = frozenset({"auditors", "owners"})
"""Groups that see every Request, whether or not policy lets them decide."""


class Bar(enum.Enum):
    """What keeps a person from deciding."""

    NONE = "none"
    OWN = "own"
    EDITOR = "editor"
    POLICY = "policy"


@dataclass(frozen=True, slots=True)
class Judgement:
    """Whether a person may decide.

    Args:
        bar: What keeps them from it.
        reason: In a sentence; empty when they may.
        person_revision: Judged under this revision of the person.
        policy_revision: And this one of the policy.
    """

    bar: Bar
    reason: str
    person_revision: int
    policy_revision: int


class Eligibility:
    """Judges."""

    def __init__(self, people: People, policy: CurrentPolicy, clock: Clock, limits: Limits) -> None:
        self._people, self._policy, self._clock, self._limits = people, policy, clock, limits

    def excluded(self, asked: Asked) -> list[str]:
        """Whoever can't decide from the start: caller, sponsor, accounts linked to them, recent editors; sorted."""
        opened = asked.opened
        subjects = {subject for subject in (opened.caller, opened.sponsor) if subject}
        for subject in tuple(subjects):
            entry = self._people.person_of(subject)
            if entry is not None:
                subjects |= {entry.person.id, *entry.person.accounts}
        same_humans = msgspec.structs.replace(asked, excluded=sorted(subjects))
        return sorted(subjects | {edit.editor for edit in self._edits(same_humans)})

    def judge(self, asked: Asked, entry: PersonEntry) -> Judgement:
        """Whether this person may decide about this Request now."""
        version, policies = self._policy.get()
        revisions = (entry.revision, version.revision)
        person, opened = entry.person, asked.opened
        if person.is_same_human(opened.caller):
            return Judgement(Bar.OWN, "You asked for it: somebody else must decide.", *revisions)
        now = self._people.caller(opened.caller)
        sponsors = {opened.sponsor, now.sponsor if now else ""} - {""}
        if any(person.is_same_human(sponsor) for sponsor in sponsors):
            return Judgement(Bar.OWN, f"You answer for {opened.caller}: somebody else must decide.", *revisions)
        edit = next((one for one in self._edits(asked) if one.editor == person.id), None)
        if edit is not None:
            hours = self._limits.edit_seconds // 3600
            reason = f"You changed {_words(edit.subject)} within the last {hours} h: somebody else must decide."
            return Judgement(Bar.EDITOR, reason, *revisions)
        if {person.id, *person.accounts} & set(asked.excluded):
            reason = "You are linked to who asked, or changed the rules shortly before: somebody else must decide."
            return Judgement(Bar.OWN, reason, *revisions)
        asking = PolicyAsked(opened.id, opened.target, opened.caller, asked.effect, frozenset(asked.excluded))
        answer = policies.may_approve(principal_for(person.id, person.groups), asking)
        if answer.outcome is not Outcome.ALLOW:
            return Judgement(Bar.POLICY, "Policy does not let you decide about it.", *revisions)
        return Judgement(Bar.NONE, "", *revisions)

    def may_see(self, person: PersonEntry, judgement: Judgement) -> bool:
        """Whether this person may read the Command: whoever may decide, asked or answers for it, owners, auditors."""
        return judgement.bar is not Bar.POLICY or bool(SEEING_GROUPS & set(person.person.groups))

    def asked_groups(self) -> list[str]:
        """The groups that are asked, for the caller to know."""
        version, _ = self._policy.get()
        return sorted(reviewer_groups(version.text))

    def _edits(self, asked: Asked) -> list[Edit]:
        """Recent edits that matter for this Request."""
        version, _ = self._policy.get()
        since = self._clock.now() - self._limits.edit_seconds * 1000
        return [edit for edit in self._people.edits_since(since) if _matters(edit, asked, version.text)]


def _matters(edit: Edit, asked: Asked, text: str) -> bool:
    """Whether an edit had a say in who may decide about this Request, or in why it is held."""
    kind, _, name = edit.subject.partition(":")
    match kind:
        case "group":
            return name in reviewer_groups(text)
        case "person":
            return name in (asked.opened.caller, asked.opened.sponsor) or name in asked.excluded
        case "policy":
            return name == "*" or name in asked.policies or name in approving_policies(text)
        case "issuer":
            # Behind this prefix they could have named anybody; a bare issuer's prefix is empty.
            return asked.opened.caller.startswith(name)
        case "passphrase":
            # Whoever had the code signs in as this person: for a while it may not be them.
            return True
        case _:
            return True


def _words(subject: str) -> str:
    kind, _, name = subject.partition(":")
    return "the policy" if name == "*" else f"{kind} {name}" if name else f"an {kind}"
