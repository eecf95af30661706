"""How the API reads and answers: JSON, `ErrorBody` with the right status, nothing cached."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final, ParamSpec, TypeVar
from urllib.parse import urlencode

from chalice.app import Request, Response

from twokeys.errors import Conflict, InvalidInput, Refused, TwokeysError, Unavailable
from twokeys.messages import ErrorBody, Message, decode, encode

from ..ports.people import PersonEntry
from ..services.people_auth import PeopleAuth

P = ParamSpec("P")
M = TypeVar("M", bound=Message)

MAX_TEXT: Final = 8192
"""Longest sentence of an error."""

_HEADERS: Final = {
    "Content-Type": "application/json",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}

_BY_CODE: Final = {
    "not_found": HTTPStatus.NOT_FOUND,
    "too_large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "too_many": HTTPStatus.TOO_MANY_REQUESTS,
    "unauthenticated": HTTPStatus.UNAUTHORIZED,
    "bad_call": HTTPStatus.UNAUTHORIZED,
    "clock_skew": HTTPStatus.UNAUTHORIZED,
    "replayed_call": HTTPStatus.UNAUTHORIZED,
}


def answer(value: Message | Mapping[str, Any], status: int = 200) -> Response:
    """A JSON answer."""
    data = encode(value) if isinstance(value, Message) else json.dumps(value, ensure_ascii=False).encode()
    return Response(data.decode(), dict(_HEADERS), int(status))


def answers(view: Callable[P, Response]) -> Callable[P, Response]:
    """Let a route answer errors as `ErrorBody`."""

    @functools.wraps(view)
    def route(*args: P.args, **kwargs: P.kwargs) -> Response:
        try:
            return view(*args, **kwargs)
        except TwokeysError as error:
            return refusal(error)

    return route


def refusal(error: TwokeysError) -> Response:
    """An error as an answer."""
    body = ErrorBody(
        code=error.code[:256],
        happened=error.happened[:MAX_TEXT],
        not_done=error.not_done[:MAX_TEXT],
        advice=error.advice[:MAX_TEXT],
    )
    return answer(body, status_of(error))


def status_of(error: TwokeysError) -> int:
    """The HTTP status of an error (RFC 9110 section 15.5)."""
    if error.code in _BY_CODE:
        return int(_BY_CODE[error.code])
    match error:
        case InvalidInput():
            return 400
        case Refused():
            return 403
        case Conflict():
            return 409
        case Unavailable():
            return 503
        case _:
            return 500


def body_of(request: Request, kind: type[M]) -> M:
    """Read a body. Raises InvalidInput."""
    return decode(kind, raw_body(request))


def raw_body(request: Request) -> bytes:
    """The body's bytes."""
    body = request.raw_body
    return body.encode() if isinstance(body, str) else bytes(body or b"")


def path_of(request: Request) -> str:
    """Path with query as it was sent. The Edge's own paths and queries hold nothing that needs escaping."""
    event = request.to_original_event()
    path = str(event.get("path") or request.context["path"])
    query = request.query_params
    pairs = [] if query is None else [(name, value) for name in query for value in query.getlist(name)]
    return f"{path}?{urlencode(pairs)}" if pairs else path


def number_in_query(request: Request, name: str) -> int:
    """A query parameter as a number; 0 when it is absent. Raises InvalidInput."""
    query = request.query_params
    texts = query.getlist(name) if query is not None and name in query else ["0"]
    if len(texts) != 1 or not (texts[0].isascii() and texts[0].isdecimal() and len(texts[0]) < 17):
        raise InvalidInput(f"The parameter {name} is no number.", not_done="Nothing was shown.", code="bad_query")
    return int(texts[0])


def text_in_query(request: Request, name: str) -> str:
    """A query parameter; empty when it is absent. Raises InvalidInput when it stands twice or is too long."""
    query = request.query_params
    texts = query.getlist(name) if query is not None and name in query else [""]
    if len(texts) != 1 or len(texts[0]) > 256:
        raise InvalidInput(f"The parameter {name} is malformed.", not_done="Nothing was shown.", code="bad_query")
    return str(texts[0])


def person_of(request: Request, people: PeopleAuth) -> PersonEntry:
    """Who calls, by their Bearer token. Raises Refused."""
    return people.person(str(request.headers.get("authorization", "")))
