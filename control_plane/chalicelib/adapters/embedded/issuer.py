"""The embedded issuer's routes: discovery, sign-in form, tokens, keys. Wired by the embedded bootstrap alone.

The form is bound to the browser (a cookie) and to the request (its parameters): nobody can send another's browser a
form that signs it in as somebody else.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Final

from chalice.app import Blueprint, Response

from twokeys.errors import TwokeysError

from ...pages import render
from ...pages.responses import (
    as_pages,
    cookie,
    form_fields,
    host_cookie,
    page,
    query_values,
    redirect,
    refuse_foreign_origin,
)
from ...pages.views import LoginView
from .issuer_core import AuthorizeRequest, Issuer, RedirectError, TokenError, parameters_of, refuse_bad_state
from .issuer_store import IssuerStore, set_passphrase

__all__ = ["Issuer", "IssuerStore", "blueprint", "set_passphrase"]

COOKIE: Final = "__Host-twokeys-login"
"""Binds a sign-in form to the browser it was shown to."""

COOKIE_SECONDS: Final = 900
"""How long a shown form can be sent."""

_FORM: Final = ["application/x-www-form-urlencoded"]

_WRONG = (
    "Name and passphrase don't match, or there were too many tries. Nobody was signed in. "
    "Check both, wait half a minute, and try again."
)


def blueprint(issuer: Issuer) -> Blueprint:
    """The routes of one issuer."""
    routes = Blueprint(__name__)
    form = _Form(issuer)

    @routes.route("/issuer/.well-known/openid-configuration", methods=["GET"])
    def metadata() -> Response:
        return _json(issuer.metadata())

    @routes.route("/issuer/jwks", methods=["GET"])
    def jwks() -> Response:
        return _json(issuer.jwks())

    @routes.route("/issuer/authorize", methods=["GET"])
    @as_pages
    def authorize() -> Response:
        request = routes.current_request
        return form.show(query_values(request), request.headers)

    @routes.route("/issuer/authorize", methods=["POST"], content_types=_FORM)
    @as_pages
    def sign_in() -> Response:
        request = routes.current_request
        return form.send(form_fields(request), request.headers)

    @routes.route("/issuer/token", methods=["POST"], content_types=_FORM)
    def token() -> Response:
        try:
            return _json(issuer.exchange(form_fields(routes.current_request)))
        except TokenError as error:
            return _json({"error": error.code}, 400)
        except TwokeysError:
            return _json({"error": "invalid_request"}, 400)

    return routes


class _Form:
    """Shows the sign-in form, and takes it back."""

    def __init__(self, issuer: Issuer) -> None:
        self._issuer = issuer
        # Lives as long as the process: after a restart a form must be loaded again.
        self._key = secrets.token_bytes(32)

    def show(self, parameters: Mapping[str, Sequence[str]], headers: Mapping[str, str]) -> Response:
        try:
            asked = self._issuer.check(parameters)
        except RedirectError as error:
            return redirect(error.location)
        browser = cookie(headers, COOKIE) or secrets.token_urlsafe(32)
        return self._page(asked, browser, 200)

    def send(self, fields: Mapping[str, str], headers: Mapping[str, str]) -> Response:
        refuse_foreign_origin(headers, self._issuer.public_url)
        try:
            asked = self._issuer.check(parameters_of(fields))
        except RedirectError as error:
            return redirect(error.location)
        browser = cookie(headers, COOKIE)
        sent = fields.get("csrf", "")
        refuse_bad_state(bool(browser) and hmac.compare_digest(sent.encode(), self._token(asked, browser).encode()))
        name = fields.get("name", "").strip()[:128]
        code = self._issuer.sign_in(asked, name, fields.get("passphrase", "")[:256])
        if code is None:
            return self._page(asked, browser, 401, name=name, problem=_WRONG)
        return redirect(self._issuer.answer(asked, code=code), cookies=[host_cookie(COOKIE, "", 0)])

    def _page(self, asked: AuthorizeRequest, browser: str, status: int, name: str = "", problem: str = "") -> Response:
        hidden = (*asked.fields(), ("csrf", self._token(asked, browser)))
        where = self._issuer.public_url.partition("://")[2]
        application = f"Twokeys at {where}"
        if asked.redirect_origin != self._issuer.public_url:
            application = f"the twokeys command on this computer, for {where}"
        html = render.login(LoginView(hidden, application, name, problem))
        return page(
            html,
            status,
            cookies=[host_cookie(COOKIE, browser, COOKIE_SECONDS)],
            form_action=[] if asked.redirect_origin == self._issuer.public_url else [asked.redirect_origin],
        )

    def _token(self, asked: AuthorizeRequest, browser: str) -> str:
        message = json.dumps([browser, *asked.fields()]).encode()
        return hmac.new(self._key, message, hashlib.sha256).hexdigest()


def _json(value: Mapping[str, Any], status: int = 200) -> Response:
    headers: dict[str, Any] = {
        "Content-Type": "application/json",
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
    }
    return Response(json.dumps(value), headers, status)
