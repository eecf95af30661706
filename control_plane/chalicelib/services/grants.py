"""Session grants: asked for by people, approved as any Request is, drawn on by the Commands that they cover, revoked.

ask ─▶ a Request that is no Command ─▶ approved ─▶ open of a covered Command ─▶ draw ─▶ that Request is approved
"""

from __future__ import annotations

import secrets
from base64 import b32encode
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from twokeys import grant as language
from twokeys.caller import Caller, CallerKind
from twokeys.decision import Outcome
from twokeys.digest import canonical, sha256
from twokeys.effect import Classification, Effect, read_access
from twokeys.errors import InvalidInput, Refused, TwokeysError
from twokeys.grant import GrantTerms
from twokeys.messages import MAX_EXCERPT_BYTES, OpenRequest
from twokeys.record import RecordType
from twokeys.request import Event, State

from ..ports.blobs import Blobs
from ..ports.edges import Edges
from ..ports.people import People, PersonEntry
from ..ports.requests import Asked, Draw, Requests, Stored
from ..ports.requests import Outcome as Ended
from ..ports.workflow import Workflow
from .eligibility import Bar, Eligibility
from .limits import Limits
from .notes import about
from .policy_facts import CurrentPolicy
from .requests import not_found


@dataclass(frozen=True, slots=True)
class Ports:
    """What grants need."""

    requests: Requests
    blobs: Blobs
    people: People
    edges: Edges
    workflow: Workflow


class Grants:
    """Asks for grants, and revokes them."""

    def __init__(
        self, ports: Ports, policy: CurrentPolicy, eligibility: Eligibility, limits: Limits,
        opened: Callable[[Stored], object],
    ) -> None:  # fmt: skip
        """Wire it; `opened` is told of each new one, and must not raise or wait."""
        self._ports, self._policy, self._eligibility, self._limits = ports, policy, eligibility, limits
        self._opened = opened

    def edge_for(self, target: str, edge_id: str) -> str:
        """The Edge through which a grant at this target counts. Raises InvalidInput when it must be named."""
        found = [edge.edge_id for edge in self._ports.edges.edges() if target in edge.targets]
        if edge_id in found:
            return edge_id
        if edge_id or len(found) != 1:
            raise InvalidInput(f"The target {target} has the edges {', '.join(found) or '(none)'}.",
                               not_done="It was not asked for.", advice="Name one of them.",
                               code="which_edge")  # fmt: skip
        return found[0]

    def ask(self, person: PersonEntry, terms: GrantTerms) -> Stored:
        """Ask for a grant: for oneself, or for a machine that one answers for.

        Raises:
            Refused: for anybody else, or when policy denies any of it.
            InvalidInput: when policy allows all of it already.
        """
        caller = self._caller(person, terms.caller)
        _, policies = self._policy.get()
        what = Classification(language.KIND, terms.accesses, language.KIND)
        decision = policies.decide(caller, terms.target, what, "grant")
        if decision.outcome is Outcome.DENY:
            raise Refused(f"Policy denies it ({', '.join(decision.policies) or 'no policy matches'}).",
                          not_done="It was not asked for.", advice=" ".join(decision.advice),
                          code="policy_denied")  # fmt: skip
        if decision.outcome is Outcome.ALLOW:
            raise InvalidInput("Policy allows all of it already.", not_done="It was not asked for.",
                               code="not_needed")  # fmt: skip
        data = canonical(terms.to_json())
        self._ports.blobs.put(data)
        hold = self._limits.max_hold_seconds
        opened = OpenRequest(
            id="req_" + b32encode(secrets.token_bytes(17)).decode("ascii").lower()[:26],
            target=terms.target, database="", session="grant", caller=caller.id, caller_kind=caller.kind.value,
            sponsor=caller.sponsor, groups=list(caller.groups), command_digest=terms.digest, fingerprint="0" * 64,
            command_sha256=sha256(data), command_bytes=len(data),
            excerpt=terms.told.encode()[:MAX_EXCERPT_BYTES].decode("utf-8", "ignore"), statement=language.KIND,
            kind=language.KIND, protocol="grant", certain=True, statements=terms.statements,
            accesses=[access.spelled for access in terms.accesses], reasons=[terms.reason],
            policies=list(decision.policies), requirement=decision.requirement, bundle=decision.revision,
            hold_seconds=hold, retry=True,
        )  # fmt: skip
        asked = Asked(
            opened=opened, content_sha256=sha256(data), edge_id=terms.edge, policies=list(decision.policies),
            policy_revision=decision.revision, requirement=decision.requirement, approvals=decision.approvals,
            excluded=[], opened_at=0, is_grant=True, grant_seconds=terms.minutes * 60,
        )  # fmt: skip
        excluded = sorted({*self._eligibility.excluded(asked), person.person.id, *person.person.accounts})
        asked = msgspec.structs.replace(asked, excluded=excluded)
        record = about(RecordType.OPEN, asked, outcome=State.PENDING.value, person=person.person.id,
                       reason=terms.reason)  # fmt: skip
        stored, _ = self._ports.requests.open(asked, hold * 1000, self._limits.max_unfinished_per_edge, record)
        self._ports.workflow.start(opened.id, stored.due_at)
        self._opened(stored)
        return stored

    def revoke(self, person: PersonEntry, request_id: str, reason: str) -> Stored:
        """End a grant at once: whoever may see it may. What was drawn on it already runs.

        Raises:
            InvalidInput: with code ``not_found``.
            Conflict: when it is over.
        """
        stored = self._ports.requests.find(request_id)
        if stored is None or not stored.asked.is_grant:
            raise not_found()
        if not self._eligibility.may_see(person, self._eligibility.judge(stored.asked, person)):
            raise not_found()
        said = f"{person.person.id} revoked it: {reason}" if reason else f"{person.person.id} revoked it"
        record = about(RecordType.END, stored.asked, person=person.person.id, reason=said)
        ended = Ended(reason=said, drawn=stored.outcome.drawn)
        done = self._ports.requests.end(request_id, Event.WITHDRAW, ended, record)
        self._ports.workflow.cancel(request_id)
        return done

    def _caller(self, person: PersonEntry, caller_id: str) -> Caller:
        if person.person.is_same_human(caller_id):
            return Caller(caller_id, CallerKind.PERSON, groups=person.person.groups)
        machine = self._ports.people.caller(caller_id)
        if machine is None or not (machine.sponsor and person.person.is_same_human(machine.sponsor)):
            raise Refused(f"You do not answer for {caller_id}.", not_done="It was not asked for.",
                          advice="Ask its sponsor to ask for it.", code="not_sponsor")  # fmt: skip
        return machine


class Drawing:
    """Approves Commands that a grant covers, each for a statement of it."""

    def __init__(
        self, requests: Requests, people: People, policy: CurrentPolicy, eligibility: Eligibility, limits: Limits
    ) -> None:
        self._requests, self._people, self._policy = requests, people, policy
        self._eligibility, self._limits = eligibility, limits

    def draw(self, stored: Stored, caller: Caller) -> Stored:
        """The Request, approved when a grant covers it; else as it was: people are asked.

        Nothing that goes wrong here is a reason to refuse a Command, and nothing is one to let it pass.
        """
        opened = stored.asked.opened
        if stored.asked.is_grant or not opened.certain or opened.statements != 1:
            return stored
        if stored.asked.effect not in (Effect.WRITE, Effect.DDL):
            return stored
        try:
            for grant in self._requests.grants(stored.asked.edge_id, opened.caller):
                if self._covers(grant, stored, caller) and (drawn := self._from(grant, stored)) is not None:
                    return drawn
        except TwokeysError:
            return stored
        return stored

    def _covers(self, grant: Stored, stored: Stored, caller: Caller) -> bool:
        """Whether each object is covered, or may be read by anybody's leave."""
        opened, granted = stored.asked.opened, set(grant.asked.opened.accesses)
        _, policies = self._policy.get()
        if grant.asked.opened.target != opened.target:
            return False
        for text in opened.accesses:
            access = read_access(text)
            if text in granted:
                continue
            if access.effect is not Effect.READ:
                return False
            reading = Classification(opened.kind, (access,), opened.statement)
            if policies.decide(caller, opened.target, reading, opened.protocol).outcome is not Outcome.ALLOW:
                return False
        return True

    def _from(self, grant: Stored, stored: Stored) -> Stored | None:
        """Draw, when enough of those who approved the grant may approve this Command by itself."""
        revisions: dict[str, int] = {}
        policy_revision = 0
        for vote in grant.votes:
            entry = self._people.person(vote.person_id) if vote.approve else None
            judgement = self._eligibility.judge(stored.asked, entry) if entry is not None else None
            if judgement is not None and judgement.bar is Bar.NONE:
                revisions[vote.person_id] = judgement.person_revision
                policy_revision = judgement.policy_revision
        if len(revisions) < stored.asked.approvals:
            return None
        draw = Draw(
            request_id=stored.asked.id, grant_id=grant.asked.id, person_revisions=revisions,
            policy_revision=policy_revision,
            lapse_milliseconds=self._limits.lapse_of(stored.asked.opened.retry) * 1000,
        )  # fmt: skip
        record = about(
            RecordType.DECISION, stored.asked, approvers=sorted(revisions), reason=f"by grant {grant.asked.id}"
        )
        try:
            return self._requests.draw(draw, record)
        except TwokeysError:
            return None
