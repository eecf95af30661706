"""Routes of Edges that are not about one Request: enrolment, Bundle, long poll, uploads; and tokens for owners."""

from __future__ import annotations

from typing import Annotated

import msgspec
from chalice.app import Blueprint, Response

from twokeys.errors import InvalidInput, Refused
from twokeys.messages import EnrolRequest, Id, Message, PollReply, PollRequest, UploadRequest
from twokeys.seal import segment_id

from ..ports.recordings import Recordings
from ..ports.waker import Waker
from ..services.bundles import Bundles
from ..services.edge_auth import EdgeAuth
from ..services.enrolment import MAX_TARGETS, Enrolment
from ..services.people import refuse_unless_owner
from ..services.people_auth import PeopleAuth
from .answers import answer, answers, body_of, number_in_query, person_of
from .edge_call import edge_of


class TokenRequest(Message, frozen=True, kw_only=True):
    """A token for a new Edge."""

    edge_id: Id
    targets: Annotated[list[Id], msgspec.Meta(min_length=1, max_length=MAX_TARGETS)]


def blueprint(
    auth: EdgeAuth, people: PeopleAuth, enrolment: Enrolment, bundles: Bundles, waker: Waker, recordings: Recordings
) -> Blueprint:
    """The routes."""
    routes = Blueprint(__name__)

    @routes.route("/v1/edges/tokens", methods=["POST"])
    @answers
    def token() -> Response:
        person = person_of(routes.current_request, people)
        refuse_unless_owner(person)
        asked = body_of(routes.current_request, TokenRequest)
        text = enrolment.make_token(asked.edge_id, asked.targets, person.person.id)
        return answer({"edge_id": asked.edge_id, "token": text}, 201)

    @routes.route("/v1/edges/enrol", methods=["POST"])
    @answers
    def enrol() -> Response:
        return answer(enrolment.enrol(body_of(routes.current_request, EnrolRequest)))

    @routes.route("/v1/bundle", methods=["GET"])
    @answers
    def bundle() -> Response:
        request = routes.current_request
        edge, _ = edge_of(request, auth)
        signed = bundles.get(edge, number_in_query(request, "have"))
        return answer(signed) if signed is not None else Response("", {"Content-Type": "application/json"}, 304)

    @routes.route("/v1/poll", methods=["POST"])
    @answers
    def poll() -> Response:
        request = routes.current_request
        edge, _ = edge_of(request, auth)
        asked = body_of(request, PollRequest)
        hints = waker.wait(edge.edge_id, asked.wait_seconds, asked.acknowledge)
        return answer(PollReply(wake=hints, bundle=bundles.revision))

    @routes.route("/v1/uploads", methods=["POST"])
    @answers
    def upload() -> Response:
        request = routes.current_request
        _, call = edge_of(request, auth)
        asked = body_of(request, UploadRequest)
        refuse_foreign_name(call.source, asked)
        return answer(recordings.ticket(asked))

    return routes


def refuse_foreign_name(source: str, asked: UploadRequest) -> None:
    """An Edge stores Commands under their own hash, and Segments of its own.

    Raises:
        InvalidInput: for a Command under another name than its hash.
        Refused: for a Segment of somebody else.
    """
    if asked.kind == "command":
        if asked.name != asked.sha256:
            raise InvalidInput("A command is stored under its own hash.", not_done="Nothing was stored.",
                               code="bad_name")  # fmt: skip
        return
    first = asked.name.rpartition("-")[2]
    if not (first.isascii() and first.isdecimal()) or asked.name != segment_id(source, int(first[:16])):
        raise Refused("The segment is not this edge's.", not_done="Nothing was stored.", code="foreign_segment")
