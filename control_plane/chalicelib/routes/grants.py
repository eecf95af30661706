"""Routes of session grants, for people: ask for one, revoke one. Votes and looks are those of any Request."""

from __future__ import annotations

from typing import Annotated

import msgspec
from chalice.app import Blueprint, Response

from twokeys.effect import read_access
from twokeys.errors import InvalidInput
from twokeys.grant import MAX_MINUTES, MAX_OBJECTS, MAX_REASON_CHARACTERS, MAX_STATEMENTS, GrantTerms
from twokeys.messages import Id, IdOrEmpty, Message, Short

from ..services.grants import Grants
from ..services.people_auth import PeopleAuth
from .answers import answer, answers, body_of, person_of
from .requests import checked

Reason = Annotated[str, msgspec.Meta(max_length=MAX_REASON_CHARACTERS)]


class GrantBody(Message, frozen=True, kw_only=True):
    """What a person asks for. `accesses` are ``write:table:schema.name`` or ``ddl:table:schema.name``."""

    caller: Id
    target: Id
    edge: IdOrEmpty = ""
    minutes: Annotated[int, msgspec.Meta(ge=1, le=MAX_MINUTES)]
    statements: Annotated[int, msgspec.Meta(ge=1, le=MAX_STATEMENTS)]
    accesses: Annotated[list[Short], msgspec.Meta(min_length=1, max_length=MAX_OBJECTS)]
    reason: Reason


class RevocationBody(Message, frozen=True, kw_only=True):
    """Why a grant is ended."""

    reason: Reason = ""


def blueprint(people: PeopleAuth, grants: Grants) -> Blueprint:
    """The routes."""
    routes = Blueprint(__name__)

    @routes.route("/v1/grants", methods=["POST"])
    @answers
    def ask() -> Response:
        person = person_of(routes.current_request, people)
        stored = grants.ask(person, _terms(body_of(routes.current_request, GrantBody), grants))
        return answer({"id": stored.asked.id, "state": stored.state.value, "edge": stored.asked.edge_id}, 201)

    @routes.route("/v1/grants/{request_id}/revocation", methods=["POST"])
    @answers
    def revoke(request_id: str) -> Response:
        person = person_of(routes.current_request, people)
        asked = body_of(routes.current_request, RevocationBody)
        stored = grants.revoke(person, checked(request_id), asked.reason)
        return answer({"id": request_id, "state": stored.state.value})

    return routes


def _terms(body: GrantBody, grants: Grants) -> GrantTerms:
    try:
        accesses = tuple(sorted({read_access(text) for text in body.accesses}))
    except (ValueError, KeyError) as error:
        raise InvalidInput("An access is not of the form effect:kind:name.", not_done="It was not asked for.",
                           advice="Write write:table:public.orders.", code="malformed_access") from error  # fmt: skip
    edge = grants.edge_for(body.target, body.edge)
    return GrantTerms(body.caller, body.target, edge, body.minutes, body.statements, accesses, body.reason)
