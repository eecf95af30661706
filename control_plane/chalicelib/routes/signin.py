"""Signing in and out."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from chalice.app import Blueprint, Response

from twokeys.errors import Refused

from ..pages import render
from ..pages.responses import (
    as_pages,
    cookie,
    form_fields,
    host_cookie,
    page,
    query_values,
    redirect,
    refuse_foreign_origin,
)
from ..services import sessions, signing_in
from ..services.sessions import Session, Sessions
from ..services.signing_in import SigningIn

SIGNOUT = "signout"
"""Purpose of the sign-out form's token."""


def session_of(headers: Mapping[str, str], live: Sessions) -> Session | None:
    """The session that a request's cookie names, or None."""
    return live.current(cookie(headers, sessions.COOKIE))


def blueprint(signing: SigningIn, live: Sessions, public_url: str, person_of: Callable[[str], str | None]) -> Blueprint:
    """The routes.

    Args:
        signing: The relying party.
        live: Sessions.
        public_url: Our own origin.
        person_of: A subject of the issuer to the registered person it belongs to, or None.
    """
    routes = Blueprint(__name__)

    @routes.route("/signin", methods=["GET"])
    @as_pages
    def signin() -> Response:
        wanted = query_values(routes.current_request).get("next", ["/"])
        location, begun = signing.begin(wanted[0])
        return redirect(location, cookies=[host_cookie(signing_in.COOKIE, begun, signing_in.BEGUN_SECONDS)])

    @routes.route("/callback", methods=["GET"])
    @as_pages
    def callback() -> Response:
        request = routes.current_request
        # Twice the same parameter could be read one way here and another way there.
        answer = {name: values[0] for name, values in query_values(request).items() if len(values) == 1}
        done = signing.finish(cookie(request.headers, signing_in.COOKIE), answer)
        person = person_of(done.subject)
        if person is None:
            raise Refused("You are signed in at the issuer, but not registered here.", not_done="Nothing was opened.",
                          advice="Ask an owner of this deployment to register you.", code="not_registered")  # fmt: skip
        old = session_of(request.headers, live)
        if old is not None:
            live.end(old)
        session = live.begin(person, done.auth_time)
        return redirect(done.next, cookies=[
            host_cookie(sessions.COOKIE, session.secret, sessions.ABSOLUTE_SECONDS),
            host_cookie(signing_in.COOKIE, "", 0),
        ])  # fmt: skip

    @routes.route("/signout", methods=["POST"], content_types=["application/x-www-form-urlencoded"])
    @as_pages
    def signout() -> Response:
        request = routes.current_request
        refuse_foreign_origin(request.headers, public_url)
        session = session_of(request.headers, live)
        if session is not None:
            session.check_token(SIGNOUT, form_fields(request).get("csrf", ""))
            live.end(session)
        return page(render.signed_out(), cookies=[host_cookie(sessions.COOKIE, "", 0)])

    return routes
