"""Routes by which people see Edges, and owners revoke them."""

from __future__ import annotations

from typing import Annotated

import msgspec
from chalice.app import Blueprint, Response

from twokeys.messages import Message

from ..services.people_auth import PeopleAuth
from ..services.revocation import MAX_REASON, Revocation
from .answers import answer, answers, body_of, person_of


class RevokeBody(Message, frozen=True, kw_only=True):
    """Why."""

    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_REASON)]


def blueprint(people: PeopleAuth, revocation: Revocation) -> Blueprint:
    """The routes."""
    routes = Blueprint(__name__)

    @routes.route("/v1/edges", methods=["GET"])
    @answers
    def listed() -> Response:
        person_of(routes.current_request, people)
        return answer({"edges": [{"id": one.edge_id, "targets": one.targets} for one in revocation.edges()]})

    @routes.route("/v1/edges/{edge_id}/revoke", methods=["POST"])
    @answers
    def revoke(edge_id: str) -> Response:
        owner = person_of(routes.current_request, people)
        asked = body_of(routes.current_request, RevokeBody)
        return answer({"edge_id": edge_id, "withdrawn": revocation.revoke(owner, edge_id, asked.reason)})

    return routes
