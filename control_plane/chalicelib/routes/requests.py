"""Routes of Requests: for the Edge that holds one, and for people who use the API instead of the pages."""

from __future__ import annotations

import re
from typing import Annotated

import msgspec
from chalice.app import Blueprint, Response

from twokeys.digest import to_base64
from twokeys.errors import InvalidInput
from twokeys.messages import (
    Message,
    OpenRequest,
    ResultReport,
    Sha256,
    Sha256OrEmpty,
    SpendRequest,
    Text,
    WithdrawRequest,
)
from twokeys.request import State

from ..services.decisions import MAX_REASON_CHARACTERS, Decisions, Verdict
from ..services.edge_auth import EdgeAuth
from ..services.facts import RequestFacts
from ..services.people_auth import PeopleAuth
from ..services.requests import EdgeRequests, not_found
from ..services.results import Results
from ..services.spend import Spends
from .answers import answer, answers, body_of, number_in_query, person_of, text_in_query
from .edge_call import edge_of

_REQUEST_ID = re.compile(r"req_[a-z2-7]{26}")

Reason = Annotated[str, msgspec.Meta(max_length=MAX_REASON_CHARACTERS)]


class VoteBody(Message, frozen=True, kw_only=True):
    """A person's vote: the verdict, why, and the digests of what they were shown."""

    approve: bool
    reason: Reason = ""
    command_digest: Sha256
    preview_digest: Sha256OrEmpty = ""


class SettlementBody(Message, frozen=True, kw_only=True):
    """What a person found out about a Request in doubt."""

    outcome: Text
    reason: Reason


def edge_blueprint(auth: EdgeAuth, requests: EdgeRequests, spends: Spends, results: Results) -> Blueprint:
    """The routes of Edges."""
    routes = Blueprint(f"{__name__}.edge")

    @routes.route("/v1/requests", methods=["POST"])
    @answers
    def open_request() -> Response:
        edge, _ = edge_of(routes.current_request, auth)
        return answer(requests.open(edge, body_of(routes.current_request, OpenRequest)))

    @routes.route("/v1/requests/open", methods=["GET"])
    @answers
    def unfinished() -> Response:
        edge, _ = edge_of(routes.current_request, auth)
        return answer(requests.unfinished(edge))

    @routes.route("/v1/requests/{request_id}/status", methods=["GET"])
    @answers
    def status(request_id: str) -> Response:
        edge, _ = edge_of(routes.current_request, auth)
        return answer(requests.look(edge, checked(request_id)))

    @routes.route("/v1/requests/{request_id}/spend", methods=["POST"])
    @answers
    def spend(request_id: str) -> Response:
        edge, call = edge_of(routes.current_request, auth)
        asked = body_of(routes.current_request, SpendRequest)
        return answer(spends.spend(edge, checked(request_id), asked, call.head))

    @routes.route("/v1/requests/{request_id}/withdraw", methods=["POST"])
    @answers
    def withdraw(request_id: str) -> Response:
        edge, _ = edge_of(routes.current_request, auth)
        return answer(requests.withdraw(edge, checked(request_id), body_of(routes.current_request, WithdrawRequest)))

    @routes.route("/v1/requests/{request_id}/result", methods=["POST"])
    @answers
    def result(request_id: str) -> Response:
        edge, _ = edge_of(routes.current_request, auth)
        return answer(results.report(edge, checked(request_id), body_of(routes.current_request, ResultReport)))

    return routes


def people_blueprint(people: PeopleAuth, facts: RequestFacts, decisions: Decisions, results: Results) -> Blueprint:
    """The routes of people."""
    routes = Blueprint(f"{__name__}.people")

    @routes.route("/v1/requests", methods=["GET"])
    @answers
    def listed() -> Response:
        person = person_of(routes.current_request, people)
        word = text_in_query(routes.current_request, "state")
        if word and word not in set(State):
            raise InvalidInput("There is no such state.", not_done="Nothing was shown.", code="bad_query",
                               advice=f"States are {', '.join(State)}.")  # fmt: skip
        return answer({"requests": facts.listed(person, State(word) if word else None)})

    @routes.route("/v1/requests/{request_id}", methods=["GET"])
    @answers
    def one(request_id: str) -> Response:
        person = person_of(routes.current_request, people)
        return answer(facts.one(person, checked(request_id)))

    @routes.route("/v1/requests/{request_id}/body", methods=["GET"])
    @answers
    def body(request_id: str) -> Response:
        person = person_of(routes.current_request, people)
        offset = number_in_query(routes.current_request, "offset")
        data, total = facts.body(person, checked(request_id), offset)
        return answer({"data": to_base64(data), "offset": offset, "total": total})

    @routes.route("/v1/requests/{request_id}/preview", methods=["GET"])
    @answers
    def preview(request_id: str) -> Response:
        person = person_of(routes.current_request, people)
        return answer({"data": to_base64(facts.preview(person, checked(request_id)))})

    @routes.route("/v1/requests/{request_id}/votes", methods=["POST"])
    @answers
    def vote(request_id: str) -> Response:
        person = person_of(routes.current_request, people)
        asked = body_of(routes.current_request, VoteBody)
        verdict = Verdict(asked.approve, asked.reason, asked.command_digest, asked.preview_digest)
        stored = decisions.vote(person, checked(request_id), verdict)
        return answer({"id": request_id, "state": stored.state.value})

    @routes.route("/v1/requests/{request_id}/settlement", methods=["POST"])
    @answers
    def settlement(request_id: str) -> Response:
        person = person_of(routes.current_request, people)
        asked = body_of(routes.current_request, SettlementBody)
        stored = results.settle(person, checked(request_id), asked.outcome, asked.reason)
        return answer({"id": request_id, "state": stored.state.value})

    return routes


def checked(request_id: str) -> str:
    """The id when it can be one; any other is a Request that does not exist. Raises InvalidInput."""
    if not _REQUEST_ID.fullmatch(request_id):
        raise not_found()
    return request_id
