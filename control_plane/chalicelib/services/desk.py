"""The Requests for people: what the pages and the API show, and their votes."""

from __future__ import annotations

from typing import Any, Final

from twokeys.errors import InvalidInput, Refused
from twokeys.request import State

from ..pages.outcomes import Facts, outcome
from ..pages.views import AccessView, ListView, RequestView, Rule, VoteView
from ..pages.visible import plain
from ..ports.blobs import Blobs
from ..ports.clock import Clock
from ..ports.people import People, PersonEntry
from ..ports.requests import MAX_LISTED, Requests, Stored
from .decisions import Decisions, Verdict
from .eligibility import Bar, Eligibility, Judgement
from .requests import not_found
from .reviewing import Ballot, Looked
from .times import iso

MAX_RECENT: Final = 50
"""Finished Requests in a person's list."""

MAX_BODY_PAGE_BYTES: Final = 512 * 1024
"""Bytes of a Command in one answer of the API."""


class Desk:
    """Implements `reviewing.Desk`, and the same for the API."""

    def __init__(
        self, requests: Requests, blobs: Blobs, people: People, eligibility: Eligibility,
        decisions: Decisions, clock: Clock, *, has_outbox: bool = False,
    ) -> None:  # fmt: skip
        self._requests, self._blobs, self._people = requests, blobs, people
        self._eligibility, self._decisions, self._clock = eligibility, decisions, clock
        self._has_outbox = has_outbox

    def look(self, request_id: str, person_id: str) -> Looked:
        """See `reviewing.Desk`."""
        stored, judgement = self._seen(request_id, self._person(person_id))
        refusal = judgement.reason
        if not refusal and any(vote.person_id == person_id for vote in stored.votes):
            refusal = "You have voted already."
        blob = self._blobs.get(stored.asked.opened.command_sha256)
        return Looked(self._view(stored), stored.asked.opened.command_digest, blob, refusal)

    def listing(self, person_id: str) -> ListView:
        """See `reviewing.Desk`."""
        person = self._person(person_id)
        mine: list[RequestView] = []
        others: list[RequestView] = []
        for stored, judgement in self._visible(person, State.PENDING):
            voted = any(vote.person_id == person_id for vote in stored.votes)
            (mine if judgement.bar is Bar.NONE and not voted else others).append(self._view(stored))
        over = [
            self._view(stored) for stored, _ in self._visible(person, None) if stored.state is not State.PENDING
        ]
        mine.sort(key=lambda view: view.seconds_left)
        return ListView(tuple(mine), tuple(others), tuple(over[:MAX_RECENT]), self._has_outbox)

    def vote(self, ballot: Ballot) -> None:
        """See `reviewing.Desk`."""
        verdict = Verdict(ballot.approve, ballot.reason, ballot.command_digest)
        self._decisions.vote(self._person(ballot.person_id), ballot.request_id, verdict)

    def listed(self, person: PersonEntry, state: State | None) -> list[dict[str, Any]]:
        """The newest Requests that this person may see, for the API."""
        return [self._facts(stored, judgement) for stored, judgement in self._visible(person, state)]

    def facts(self, person: PersonEntry, request_id: str) -> dict[str, Any]:
        """One Request, for the API. Raises InvalidInput with code ``not_found``."""
        stored, judgement = self._seen(request_id, person)
        opened = stored.asked.opened
        more = {
            "excerpt": opened.excerpt,
            "reasons": opened.reasons,
            "votes": [
                f"{vote.person_id} {'approved' if vote.approve else 'denied'}{f': {vote.reason}' * bool(vote.reason)}"
                for vote in stored.votes
            ],
            "rows": stored.outcome.rows,
            "sqlstate": stored.outcome.sqlstate,
        }
        return {**self._facts(stored, judgement), **more}

    def body(self, person: PersonEntry, request_id: str, offset: int) -> tuple[bytes, int]:
        """A stretch of the whole Command's bytes from an offset, and how many there are in all."""
        stored, _ = self._seen(request_id, person)
        data = self._blobs.get(stored.asked.opened.command_sha256)
        if data is None:
            raise InvalidInput("The command is not stored.", not_done="Nothing was shown.", code="not_found")
        return data[offset : offset + MAX_BODY_PAGE_BYTES], len(data)

    def _person(self, person_id: str) -> PersonEntry:
        entry = self._people.person(person_id)
        if entry is None:
            raise Refused("You are not registered here any more.", not_done="Nothing was done.",
                          code="not_registered")  # fmt: skip
        return entry

    def _seen(self, request_id: str, person: PersonEntry) -> tuple[Stored, Judgement]:
        stored = self._requests.find(request_id)
        if stored is None:
            raise not_found()
        judgement = self._eligibility.judge(stored.asked, person)
        if not self._eligibility.may_see(stored.asked, person, judgement):
            raise not_found()
        return stored, judgement

    def _visible(self, person: PersonEntry, state: State | None) -> list[tuple[Stored, Judgement]]:
        found = []
        for stored in self._requests.listed(state, MAX_LISTED):
            judgement = self._eligibility.judge(stored.asked, person)
            if self._eligibility.may_see(stored.asked, person, judgement):
                found.append((stored, judgement))
        return found

    def _facts(self, stored: Stored, judgement: Judgement) -> dict[str, Any]:
        asked, opened = stored.asked, stored.asked.opened
        return {
            "id": opened.id,
            "state": stored.state.value,
            "caller": opened.caller,
            "caller_kind": opened.caller_kind,
            "sponsor": opened.sponsor,
            "client": opened.client,
            "session": opened.session,
            "edge": asked.edge_id,
            "target": opened.target,
            "database": opened.database,
            "kind": opened.kind,
            "effect": asked.effect.word,
            "accesses": opened.accesses,
            "statement": opened.statement,
            "certain": opened.certain,
            "policies": asked.policies,
            "in_transaction": opened.in_transaction,
            "command_digest": opened.command_digest,
            "command_sha256": opened.command_sha256,
            "command_bytes": opened.command_bytes,
            "approvals": asked.approvals,
            "approvals_given": sum(vote.approve for vote in stored.votes),
            "seconds_left": stored.seconds_left(self._clock.now()) if stored.state is State.PENDING else 0,
            "opened_at": iso(asked.opened_at),
            "decided_by": [vote.person_id for vote in stored.votes],
            "reason": stored.outcome.reason,
            "may_decide": judgement.bar is Bar.NONE,
            "why_not": judgement.reason,
        }

    def _view(self, stored: Stored) -> RequestView:
        asked, opened = stored.asked, stored.asked.opened
        pending = stored.state is State.PENDING
        people = [vote.person_id for vote in stored.votes if vote.approve is (stored.state is not State.DENIED)]
        facts = Facts(stored.state, people, stored.outcome.reason, stored.outcome.rows, stored.outcome.sqlstate)
        return RequestView(
            id=opened.id,
            state=stored.state.value,
            requester=opened.caller,
            requester_kind=opened.caller_kind,
            sponsor=opened.sponsor,
            client=opened.client,
            target=opened.target,
            database=opened.database,
            effect=asked.effect.word,
            kind=opened.kind,
            objects=tuple(_access(one) for one in opened.accesses),
            reasons=tuple(opened.reasons),
            rules=tuple(Rule(policy, "") for policy in asked.policies),
            certain=opened.certain,
            in_transaction=opened.in_transaction,
            opened_at=iso(asked.opened_at),
            deadline=iso(stored.due_at) if pending else iso(stored.moved_at),
            seconds_left=stored.seconds_left(self._clock.now()) if pending else 0,
            approvals_needed=asked.approvals,
            votes=tuple(VoteView(one.person_id, one.approve, one.reason, iso(one.at)) for one in stored.votes),
            outcome=outcome(facts),
            finished_at="" if pending else iso(stored.moved_at),
        )


def _access(text: str) -> AccessView:
    effect, kind, name = (*text.split(":", 2), "", "")[:3]
    return AccessView(effect, kind, plain(name))
