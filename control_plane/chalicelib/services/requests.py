"""Opening, looking at and withdrawing Requests, for the Edge that holds them.

What an Edge tells about the caller's sponsor and groups counts only for callers whom we don't know and an issuer of
ours vouches for; everything that can be computed from the Command's bytes is computed again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from twokeys.bundle import Issuer
from twokeys.caller import Caller, CallerKind
from twokeys.decision import Decision, Outcome
from twokeys.digest import from_base64, sha256
from twokeys.effect import Classification
from twokeys.errors import Conflict, InvalidInput, Refused, TwokeysError
from twokeys.issuer import issuer_of, may_be_caller
from twokeys.messages import MAX_EXCERPT_BYTES, OpenItem, OpenList, OpenRequest, RequestStatus, WithdrawRequest, encode
from twokeys.record import RecordType
from twokeys.request import FINAL, Event, State

from ..ports.blobs import Blobs
from ..ports.clock import Clock
from ..ports.edges import Edge
from ..ports.people import People
from ..ports.requests import Asked, Requests, Stored
from ..ports.requests import Outcome as Ended
from ..ports.workflow import Workflow
from .commands import checked_command, checked_preview, read_accesses
from .eligibility import Eligibility
from .limits import Limits
from .notes import about
from .policy_facts import CurrentPolicy

MAX_OPEN_ITEMS = 1000
"""Most unfinished Requests in one answer; an Edge asks again."""


@dataclass(frozen=True, slots=True)
class Ports:
    """What opening needs."""

    requests: Requests
    blobs: Blobs
    people: People
    workflow: Workflow
    clock: Clock


class EdgeRequests:
    """Requests as their Edge sees them."""

    def __init__(
        self,
        ports: Ports,
        policy: CurrentPolicy,
        eligibility: Eligibility,
        limits: Limits,
        opened: Callable[[Stored], object],
        draw: Callable[[Stored, Caller], Stored] = lambda stored, caller: stored,
    ) -> None:
        """Wire it.

        Args:
            ports: What opening needs.
            policy: In force.
            eligibility: Who may decide.
            limits: Of the deployment.
            opened: Told of each new Request that waits for people; must not raise or wait.
            draw: Approves a new Request by a session grant, if one covers it.
        """
        self._ports, self._policy, self._eligibility, self._limits = ports, policy, eligibility, limits
        self._opened, self._draw = opened, draw

    def open(self, edge: Edge, message: OpenRequest) -> RequestStatus:
        """Open a Request; the same again gets the same answer, and a retry grant may join an earlier one.

        Raises:
            InvalidInput: when the message contradicts itself or the Command.
            Refused: when the target isn't this Edge's, nobody answers for the caller, or policy denies.
            Conflict: when the id is taken, or the Edge decided under other rules than ours now.
            Unavailable: when the Edge has too many unfinished.
        """
        content = sha256(encode(message))
        known = self._ports.requests.find(message.id)
        if known is not None and (known.asked.edge_id, known.asked.content_sha256) == (edge.edge_id, content):
            return self._status(known)
        if message.target not in edge.targets:
            raise Refused(f"The target {message.target} is not this edge's.", not_done="The request was not opened.",
                          advice="Enrol an edge for it.", code="foreign_target")  # fmt: skip
        caller = self._caller(message)
        decision = self._decide(caller, message)
        excerpt = self._check_command(message)
        if preview := checked_preview(message):
            self._ports.blobs.put(preview)
        opened = msgspec.structs.replace(
            message, caller_kind=caller.kind.value, sponsor=caller.sponsor, groups=list(caller.groups),
            command=None, preview="", excerpt=excerpt,
        )  # fmt: skip
        asked = Asked(
            opened=opened, content_sha256=content, edge_id=edge.edge_id, policies=list(decision.policies),
            policy_revision=decision.revision, requirement=decision.requirement, approvals=decision.approvals,
            excluded=[], opened_at=0,
        )  # fmt: skip
        asked = msgspec.structs.replace(asked, excluded=self._eligibility.excluded(asked))
        hold = min(message.hold_seconds, self._limits.max_hold_seconds) * 1000
        record = about(RecordType.OPEN, asked, outcome=State.PENDING.value)
        stored, new = self._ports.requests.open(asked, hold, self._limits.max_unfinished_per_edge, record)
        if new:
            stored = self._draw(stored, caller)
            self._ports.workflow.start(message.id, stored.due_at)
            if stored.state is State.PENDING:
                self._opened(stored)
        return self._status(stored)

    def look(self, edge: Edge, request_id: str) -> RequestStatus:
        """Where one of this Edge's Requests stands. Raises InvalidInput with code ``not_found``."""
        return self._status(self.own(edge, request_id))

    def withdraw(self, edge: Edge, request_id: str, message: WithdrawRequest) -> RequestStatus:
        """Nobody waits any more. One that is over stays as it ended; a spent one can't be withdrawn (Conflict)."""
        stored = self.own(edge, request_id)
        if stored.state in FINAL:
            return self._status(stored)
        record = about(RecordType.END, stored.asked, reason=message.reason)
        ended = self._ports.requests.end(request_id, Event.WITHDRAW, Ended(reason=message.reason), record)
        self._ports.workflow.cancel(request_id)
        return self._status(ended)

    def unfinished(self, edge: Edge) -> OpenList:
        """What an Edge that starts must withdraw or settle."""
        found: list[OpenItem] = self._ports.requests.unfinished(edge.edge_id, MAX_OPEN_ITEMS + 1)
        return OpenList(requests=found[:MAX_OPEN_ITEMS], more=len(found) > MAX_OPEN_ITEMS)

    def own(self, edge: Edge, request_id: str) -> Stored:
        """One of this Edge's Requests; another Edge's does not exist for it."""
        stored = self._ports.requests.find(request_id)
        if stored is None or stored.asked.edge_id != edge.edge_id:
            raise not_found()
        return stored

    def _caller(self, message: OpenRequest) -> Caller:
        """Who asks, by our registry; for others by what an issuer vouched for at the Edge."""
        people = self._ports.people
        caller = people.caller(message.caller)
        if caller is None:
            entry = people.person_of(message.caller)
            if entry is not None:
                caller = Caller(message.caller, CallerKind.PERSON, groups=entry.person.groups)
            else:
                caller = _vouched_for(message, people.issuers())
        sponsor = people.person_of(caller.sponsor) if caller.sponsor else None
        if caller.kind is CallerKind.MACHINE and sponsor is None:
            raise Refused(f"Nobody answers for {caller.id}: it has no sponsor who is a registered person.",
                          not_done="The request was not opened.", advice="Ask an owner to register a sponsor for it.",
                          code="no_sponsor")  # fmt: skip
        return caller

    def _decide(self, caller: Caller, message: OpenRequest) -> Decision:
        """Our own decision, under the policy in force now, about what the Edge classified."""
        _, policies = self._policy.get()
        try:
            classification = Classification(
                message.kind, read_accesses(message.accesses), message.statement, message.certain,
                message.statements, tuple(message.reasons),
            )  # fmt: skip
        except TwokeysError:
            raise
        except ValueError as error:
            raise InvalidInput(
                f"The classification contradicts itself: {error}.",
                not_done="The request was not opened.",
                code="bad_classification",
            ) from error
        decision = policies.decide(caller, message.target, classification, message.protocol)
        if decision.outcome is Outcome.DENY:
            raise Refused(f"Policy denies it ({', '.join(decision.policies) or 'no policy matches'}).",
                          not_done="The request was not opened.", advice=" ".join(decision.advice),
                          code="policy_denied")  # fmt: skip
        same = decision.requirement == message.requirement and (decision.wait is not None) is message.retry
        if decision.outcome is not Outcome.HOLD or not same:
            raise Conflict("The edge decided under other rules than are in force.",
                           not_done="The request was not opened.",
                           advice="Send the command again in a moment, when the edge has the new bundle.",
                           code="stale_bundle")  # fmt: skip
        return decision

    def _check_command(self, message: OpenRequest) -> str:
        """Store the Command if it came along; return the excerpt, ours. Raises InvalidInput."""
        if message.command is not None:
            data = from_base64(message.command)
        else:
            found = self._ports.blobs.get(message.command_sha256)
            if found is None:
                raise InvalidInput("The command was not uploaded.", not_done="The request was not opened.",
                                   advice="Upload it first.", code="no_command")  # fmt: skip
            data = found
        command = checked_command(message, data)
        if message.command is not None:
            self._ports.blobs.put(data)
        return command.text[:MAX_EXCERPT_BYTES].decode("utf-8", "ignore")

    def _status(self, stored: Stored) -> RequestStatus:
        status = status_of(stored, self._ports.clock.now(), self._eligibility.asked_groups())
        if not stored.asked.opened.retry:
            return status
        return msgspec.structs.replace(status, grant_seconds=self._limits.retry_seconds)


def status_of(stored: Stored, now: int, asked: list[str]) -> RequestStatus:
    """Where a Request stands, for its Edge."""
    denials = [vote for vote in stored.votes if not vote.approve]
    return RequestStatus(
        id=stored.asked.id,
        state=stored.state.value,
        seconds_left=stored.seconds_left(now),
        asked=asked if stored.state is State.PENDING else [],
        reason=stored.outcome.reason,
        decided_by=[vote.person_id for vote in denials or stored.votes],
    )


def not_found() -> InvalidInput:
    """There is none, or none for whoever asks: both look alike."""
    return InvalidInput("There is no such request.", not_done="Nothing was shown.", advice="Look for it in the list.",
                        code="not_found")  # fmt: skip


def _vouched_for(message: OpenRequest, issuers: list[Issuer]) -> Caller:
    """A caller whom we do not know, by what its issuer may say of it. Raises Refused."""
    issuer = issuer_of(message.caller, issuers)
    if issuer is None:
        raise Refused(f"The caller {message.caller} is not registered.",
                      not_done="The request was not opened.", advice="Ask an owner to register it.",
                      code="unknown_caller")  # fmt: skip
    if not may_be_caller(issuer, message.caller):
        raise Refused(f"{message.caller} is none of the subjects that its issuer is trusted for.",
                      not_done="The request was not opened.", advice="Ask an owner to add its subject to the issuer.",
                      code="foreign_subject")  # fmt: skip
    prefix = issuer.subject_prefix
    unasked = (message.sponsor and not issuer.sponsor_claim) or (message.groups and not issuer.groups_claim)
    if unasked or not all(group.startswith(prefix) for group in message.groups):
        raise Refused(f"The issuer of {message.caller} is not trusted to say that of it.",
                      not_done="The request was not opened.", advice="Sign in anew.",
                      code="issuer_overreach")  # fmt: skip
    return Caller(message.caller, CallerKind.MACHINE, message.sponsor, tuple(sorted(set(message.groups))))
