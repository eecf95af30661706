"""The list, the review page and the decision form. A GET only shows; a POST by a signed-in person decides."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from urllib.parse import quote

from chalice.app import Blueprint, Request, Response

from twokeys.errors import Conflict, InvalidInput, TwokeysError

from ..pages import render
from ..pages.previews import preview_view
from ..pages.responses import form_fields, page, query_values, redirect, refusal, refuse_foreign_origin
from ..pages.views import BodyView, ReviewView, Viewer
from ..services.reviewing import Reviewing
from ..services.sessions import Session, Sessions
from .signin import SIGNOUT, session_of

_REQUEST_ID = re.compile(r"req_[a-z2-7]{26}")
_OFFSET = re.compile(r"0|[1-9][0-9]{0,7}")

View = Callable[[Session, Request], Response]


def blueprint(reviewing: Reviewing, live: Sessions, public_url: str) -> Blueprint:
    """The routes.

    Args:
        reviewing: Requests and votes.
        live: Sessions.
        public_url: Our own origin.
    """
    routes = Blueprint(__name__)

    def for_person(path: str, view: View) -> Response:
        return answer_person(routes.current_request, live, path, view)

    @routes.route("/", methods=["GET"])
    def listing() -> Response:
        return for_person("/", lambda session, _: page(render.listing(reviewing.listing(session), viewer_of(session))))

    @routes.route("/r/{request_id}", methods=["GET"])
    def review(request_id: str) -> Response:
        return for_person(f"/r/{request_id}", functools.partial(_review, reviewing, request_id))

    @routes.route("/r/{request_id}/body", methods=["GET"])
    def body(request_id: str) -> Response:
        return for_person(f"/r/{request_id}", functools.partial(_body, reviewing, request_id))

    @routes.route("/r/{request_id}/decision", methods=["POST"], content_types=["application/x-www-form-urlencoded"])
    def decision(request_id: str) -> Response:
        return for_person(f"/r/{request_id}", functools.partial(_decision, reviewing, request_id, public_url))

    return routes


def answer_person(request: Request, live: Sessions, path: str, view: View) -> Response:
    """Answer a signed-in person; anybody else is sent to sign in, and then to `path`."""
    session = session_of(request.headers, live)
    if session is None:
        return redirect(f"/signin?next={quote(path, safe='/')}")
    try:
        return view(session, request)
    except TwokeysError as error:
        known = path != "/" and error.code != "not_found"
        return refusal(error, viewer_of(session), path if known else "/", "The request" if known else "All requests")


def viewer_of(session: Session) -> Viewer:
    """Who looks at the page."""
    return Viewer(session.person_id, session.token(SIGNOUT))


def _review(reviewing: Reviewing, request_id: str, session: Session, _: Request) -> Response:
    looked = reviewing.look(session, _checked(request_id))
    shown = reviewing.show(session, looked, 0)
    part = shown.document.parts[0] if shown.document else None
    preview = preview_view(shown.preview) if shown.preview else None
    view = ReviewView(looked.request, shown.document, part, shown.form, shown.unreadable, preview)
    return page(render.review(view, viewer_of(session)))


def _body(reviewing: Reviewing, request_id: str, session: Session, request: Request) -> Response:
    offsets = query_values(request).get("offset", ["0"])
    if len(offsets) != 1 or not _OFFSET.fullmatch(offsets[0]):
        raise InvalidInput("The offset is no number.", not_done="Nothing was shown.",
                           advice="Page from the request's beginning.", code="no_such_part")  # fmt: skip
    looked = reviewing.look(session, _checked(request_id))
    shown = reviewing.show(session, looked, int(offsets[0]))
    if shown.document is None:
        raise Conflict(shown.unreadable, code="unreadable_command")
    view = BodyView(looked.request, shown.document, shown.document.part_at(int(offsets[0])), shown.form.parts_left)
    return page(render.body(view, viewer_of(session)))


def _decision(reviewing: Reviewing, request_id: str, public_url: str, session: Session, request: Request) -> Response:
    refuse_foreign_origin(request.headers, public_url)
    reviewing.decide(session, _checked(request_id), form_fields(request))
    return redirect(f"/r/{request_id}")


def _checked(request_id: str) -> str:
    if not _REQUEST_ID.fullmatch(request_id):
        raise InvalidInput("There is no such request.", not_done="Nothing was shown.",
                           advice="Look for it in the list.", code="not_found")  # fmt: skip
    return request_id
