"""The Requests, for people: what a person may see, why they may not decide, and what became of it.

What is shown here is advice; the decision checks everything again in its own transaction.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from twokeys.caller import CallerKind
from twokeys.decision import Outcome
from twokeys.errors import InvalidInput, Refused
from twokeys.policy import Asked as PolicyAsked
from twokeys.policy import Policies as PolicySet
from twokeys.policy import principal_for
from twokeys.request import FINAL, State

from ..pages.outcomes import Facts, outcome
from ..pages.views import AccessView, ListView, RequestView, Rule, VoteView
from ..ports.blobs import Blobs
from ..ports.clock import Clock
from ..ports.people import People, PersonEntry
from ..ports.policies import Policies
from ..ports.requests import MAX_LISTED, Requests, Stored
from .reviewing import Ballot, Looked

MAX_RECENT: Final = 30
"""Finished Requests on the list."""

SEEING_GROUPS: Final = frozenset({"auditors", "owners"})
"""Groups that may see every Request, whether or not policy lets them approve."""


@dataclass(frozen=True, slots=True)
class Shelves:
    """Where the desk looks."""

    requests: Requests
    people: People
    policies: Policies
    blobs: Blobs
    clock: Clock


class RequestDesk:
    """Implements `reviewing.Desk` on the ports."""

    def __init__(
        self,
        shelves: Shelves,
        cast: Callable[[Ballot], object],
        note_read: Callable[[Stored, str], None],
        has_outbox: bool = False,
    ) -> None:
        """Wire it.

        Args:
            shelves: The ports.
            cast: Takes a vote; the decisions' service.
            note_read: Records that a person was shown a Request's Command.
            has_outbox: Whether this deployment has the page of unsent mail.
        """
        self._shelves = shelves
        self._cast = cast
        self._note_read = note_read
        self._has_outbox = has_outbox
        self._policies: PolicySet | None = None

    def look(self, request_id: str, person_id: str) -> Looked:
        person, stored = self._seen(request_id, person_id)
        blob = self._shelves.blobs.get(stored.asked.opened.command_sha256)
        view = self._view(stored)
        refusal = self._refusal(person, stored) if stored.state is State.PENDING else "It is decided."
        opened = stored.asked.opened
        preview = self._shelves.blobs.get(opened.preview_digest) if opened.preview_digest else None
        types = tuple(opened.types)
        starts = tuple(opened.starts)
        return Looked(view, opened.command_digest, blob, refusal, types, starts, opened.preview_digest, preview)

    def note_read(self, request_id: str, person_id: str) -> None:
        _, stored = self._seen(request_id, person_id)
        self._note_read(stored, person_id)

    def listing(self, person_id: str) -> ListView:
        person = self._person(person_id)
        pending = [one for one in self._shelves.requests.listed(State.PENDING) if self._may_see(person, one)]
        pending.sort(key=lambda one: one.due_at)
        refused = [bool(self._refusal(person, one)) for one in pending]
        mine = [one for one, no in zip(pending, refused, strict=True) if not no]
        others = [one for one, no in zip(pending, refused, strict=True) if no]
        recent = [one for one in self._shelves.requests.listed(None, MAX_LISTED) if one.state is not State.PENDING]
        seen = [one for one in recent if self._may_see(person, one)][:MAX_RECENT]
        return ListView(self._views(mine), self._views(others), self._views(seen), has_outbox=self._has_outbox)

    def vote(self, ballot: Ballot) -> None:
        self._cast(ballot)

    def may_approve(self, person: PersonEntry, stored: Stored) -> bool:
        """Whether a person could approve now: who is told when a Request is opened."""
        return not self._refusal(person, stored)

    def _person(self, person_id: str) -> PersonEntry:
        person = self._shelves.people.person(person_id)
        if person is None:
            raise Refused("You are not registered here any more.", not_done="Nothing was shown.",
                          advice="Ask an owner of this deployment.", code="not_registered")  # fmt: skip
        return person

    def _seen(self, request_id: str, person_id: str) -> tuple[PersonEntry, Stored]:
        person = self._person(person_id)
        stored = self._shelves.requests.find(request_id)
        # One answer for both: that a Request exists is nobody else's business either.
        if stored is None or not self._may_see(person, stored):
            raise InvalidInput("There is no such request, or none for you.", not_done="Nothing was shown.",
                               advice="Look for it in the list.", code="not_found")  # fmt: skip
        return person, stored

    def _may_see(self, person: PersonEntry, stored: Stored) -> bool:
        opened = stored.asked.opened
        own = person.person.is_same_human(opened.caller) or person.person.is_same_human(opened.sponsor)
        return own or bool(SEEING_GROUPS & set(person.person.groups)) or not self._policy_refusal(person, stored, ())

    def _refusal(self, person: PersonEntry, stored: Stored) -> str:
        opened, who = stored.asked.opened, person.person
        if who.is_same_human(opened.caller):
            return "You asked for it yourself: somebody else must decide."
        if opened.sponsor and who.is_same_human(opened.sponsor):
            return f"You sponsor {opened.caller}: somebody else must decide."
        if {who.id, *who.accounts} & set(stored.asked.excluded):
            return (
                "You are linked to who asks, or changed the policy that held it or who its reviewers are "
                "within the last 24 hours: somebody else must decide."
            )
        if any(vote.person_id == who.id for vote in stored.votes):
            return f"You voted already. It takes {stored.asked.approvals} people."
        return self._policy_refusal(person, stored, stored.asked.excluded)

    def _policy_refusal(self, person: PersonEntry, stored: Stored, excluded: Iterable[str]) -> str:
        opened, who = stored.asked.opened, person.person
        asked = PolicyAsked(opened.id, opened.target, opened.caller, stored.asked.effect, frozenset(excluded))
        decision = self._policy().may_approve(principal_for(who.id, who.groups), asked)
        if decision.outcome is Outcome.ALLOW:
            return ""
        return " ".join(("Policy does not let you approve it.", *decision.advice))

    def _policy(self) -> PolicySet:
        version = self._shelves.policies.current()
        policies = self._policies
        if policies is None or policies.revision != version.revision:
            policies = self._policies = PolicySet(version.text, version.revision)
        return policies

    def _views(self, many: Iterable[Stored]) -> tuple[RequestView, ...]:
        return tuple(self._view(one) for one in many)

    def _view(self, stored: Stored) -> RequestView:
        asked, opened = stored.asked, stored.asked.opened
        pending = stored.state is State.PENDING
        return RequestView(
            id=opened.id,
            state=stored.state.value,
            requester=opened.caller,
            requester_kind=opened.caller_kind,
            sponsor=opened.sponsor if opened.caller_kind == CallerKind.MACHINE else "",
            client=opened.client,
            target=opened.target,
            database=opened.database,
            effect=asked.effect.word,
            kind=opened.kind,
            objects=tuple(access_view(access, opened.database) for access in opened.accesses),
            reasons=tuple(opened.reasons),
            rules=tuple(Rule(policy, "") for policy in asked.policies),
            certain=opened.certain,
            in_transaction=opened.in_transaction,
            locks=tuple(opened.locks),
            opened_at=_iso(asked.opened_at),
            deadline=_iso(stored.due_at) if pending else "",
            seconds_left=stored.seconds_left(self._shelves.clock.now()) if pending else 0,
            approvals_needed=asked.approvals,
            votes=tuple(VoteView(one.person_id, one.approve, one.reason, _iso(one.at)) for one in stored.votes),
            retry=opened.retry and not asked.is_grant,
            is_grant=asked.is_grant,
            outcome=outcome(_facts(stored)),
            finished_at=_iso(stored.moved_at) if stored.state in FINAL else "",
        )


def access_view(access: str, database: str) -> AccessView:
    """One ``effect:kind:name`` as the page shows it; a database's own name stands for the empty one."""
    effect, kind, name = (*access.split(":", 2), "", "")[:3]
    return AccessView(effect, kind, name or database)


def _facts(stored: Stored) -> Facts:
    denied = stored.state is State.DENIED
    people = tuple(vote.person_id for vote in stored.votes if vote.approve is not denied)
    end = stored.outcome
    drawn = (end.drawn, stored.asked.opened.statements) if stored.asked.is_grant else None
    return Facts(stored.state, people, end.reason, end.rows, end.sqlstate, drawn)


def _iso(milliseconds: int) -> str:
    return datetime.datetime.fromtimestamp(milliseconds / 1000, datetime.UTC).isoformat(timespec="milliseconds")
