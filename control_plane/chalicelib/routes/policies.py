"""Routes of policies and their proposals."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from chalice.app import Blueprint, Response

from twokeys.messages import Count, Message, Sha256
from twokeys.policy import MAX_POLICY_BYTES

from ..ports.policies import Proposal
from ..services.people_auth import PeopleAuth
from ..services.policies import PolicyChanges, PolicyVerdict
from ..services.times import iso
from .answers import answer, answers, body_of, person_of
from .requests import Reason


class PolicyBody(Message, frozen=True, kw_only=True):
    """A proposed text, and the revision that it changes."""

    text: Annotated[str, msgspec.Meta(max_length=MAX_POLICY_BYTES)]
    reason: Reason = ""
    base_revision: Count


class PolicyVoteBody(Message, frozen=True, kw_only=True):
    """A vote on a Proposal, with the hash of the text that was shown."""

    approve: bool
    reason: Reason = ""
    text_sha256: Sha256


def blueprint(people: PeopleAuth, changes: PolicyChanges) -> Blueprint:
    """The routes."""
    routes = Blueprint(__name__)

    @routes.route("/v1/policies", methods=["GET"])
    @answers
    def show() -> Response:
        person_of(routes.current_request, people)
        version, proposals = changes.show()
        return answer({
            "text": version.text, "revision": version.revision, "author": version.author,
            "approver": version.approver, "proposals": [_shown(one) for one in proposals],
        })  # fmt: skip

    @routes.route("/v1/policies", methods=["PUT"])
    @answers
    def propose() -> Response:
        person = person_of(routes.current_request, people)
        asked = body_of(routes.current_request, PolicyBody)
        return answer(_shown(changes.propose(person, asked.text, asked.reason, asked.base_revision)), 201)

    @routes.route("/v1/policies/{proposal}/votes", methods=["POST"])
    @answers
    def vote(proposal: str) -> Response:
        person = person_of(routes.current_request, people)
        asked = body_of(routes.current_request, PolicyVoteBody)
        verdict = PolicyVerdict(asked.approve, asked.reason, asked.text_sha256)
        return answer(_shown(changes.decide(person, proposal, verdict)))

    return routes


def _shown(proposal: Proposal) -> dict[str, Any]:
    return {**msgspec.to_builtins(proposal), "created_at": iso(proposal.created_at)}
