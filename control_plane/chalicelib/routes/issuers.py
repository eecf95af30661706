"""Routes of the issuers whose tokens callers may use at Edges."""

from __future__ import annotations

import msgspec
from chalice.app import Blueprint, Response

from twokeys.bundle import Issuer

from ..services.issuers import Issuers
from ..services.people_auth import PeopleAuth
from .answers import answer, answers, body_of, person_of, text_in_query


def blueprint(people: PeopleAuth, issuers: Issuers) -> Blueprint:
    """The routes. An issuer's name is an address, so it stands in the body or the query."""
    routes = Blueprint(__name__)

    @routes.route("/v1/issuers", methods=["GET"])
    @answers
    def listed() -> Response:
        person_of(routes.current_request, people)
        return answer({"issuers": [msgspec.to_builtins(one) for one in issuers.listed()]})

    @routes.route("/v1/issuers", methods=["PUT"])
    @answers
    def put() -> Response:
        owner = person_of(routes.current_request, people)
        return answer(issuers.put(owner, body_of(routes.current_request, Issuer)))

    @routes.route("/v1/issuers", methods=["DELETE"])
    @answers
    def remove() -> Response:
        owner = person_of(routes.current_request, people)
        name = text_in_query(routes.current_request, "issuer")
        issuers.remove(owner, name)
        return answer({"issuer": name, "removed": True})

    return routes
