"""Routes of recordings: keys and Seals for Edges, bodies for auditors, erasing for owners."""

from __future__ import annotations

import re
from typing import Annotated

import msgspec
from chalice.app import Blueprint, Response

from twokeys.errors import InvalidInput
from twokeys.messages import Message, SealRequest, SessionKey

from ..services.bodies import Bodies
from ..services.edge_auth import EdgeAuth
from ..services.erasing import MAX_REASON, Erasing
from ..services.people_auth import PeopleAuth
from ..services.seals import Seals
from .answers import answer, answers, body_of, person_of, text_in_query
from .edge_call import edge_of

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}")


class EraseBody(Message, frozen=True, kw_only=True):
    """Why."""

    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_REASON)]


def blueprint(auth: EdgeAuth, people: PeopleAuth, seals: Seals, bodies: Bodies, erasing: Erasing) -> Blueprint:
    """The routes."""
    routes = Blueprint(__name__)

    @routes.route("/v1/sessions/{session}/key", methods=["POST"])
    @answers
    def key(session: str) -> Response:
        edge, _ = edge_of(routes.current_request, auth)
        bodies.keep_key(edge, _checked(session), body_of(routes.current_request, SessionKey))
        return answer({})

    @routes.route("/v1/segments/{segment}/seal", methods=["POST"])
    @answers
    def seal(segment: str) -> Response:
        edge, call = edge_of(routes.current_request, auth)
        return answer(seals.seal_for(edge, segment, body_of(routes.current_request, SealRequest), call.source))

    @routes.route("/v1/sessions/{session}/bodies", methods=["GET"])
    @answers
    def page(session: str) -> Response:
        person = person_of(routes.current_request, people)
        return answer(bodies.page(person, _checked(session), text_in_query(routes.current_request, "after")))

    @routes.route("/v1/sessions/{session}/erase", methods=["POST"])
    @answers
    def erase(session: str) -> Response:
        owner = person_of(routes.current_request, people)
        asked = body_of(routes.current_request, EraseBody)
        done = erasing.erase(owner, _checked(session), asked.reason)
        return answer({"session": session, "by": done.by, "at": done.at})

    return routes


def _checked(session: str) -> str:
    if not _ID.fullmatch(session):
        raise InvalidInput("The session's id can't be one.", not_done="Nothing was done.", code="not_found")
    return session
