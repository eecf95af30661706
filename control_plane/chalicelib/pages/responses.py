"""Chalice responses for people: pages, redirects, and the headers that all of them carry.

Sources: Content Security Policy Level 3, Fetch Metadata Request Headers, RFC 6265bis (`__Host-` cookies).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, ParamSpec
from urllib.parse import parse_qsl

from chalice.app import Request, Response

from twokeys.errors import Conflict, InvalidInput, Refused, TwokeysError

from . import render
from .views import ErrorView, Viewer

P = ParamSpec("P")

MAX_FORM_BYTES: Final = 32 * 1024
"""Longest form body read."""

MAX_FORM_FIELDS: Final = 24
"""Most fields of a form."""

_STATUS: Final = {"not_found": 404, "too_large": 413, "too_many": 429, "no_such_part": 404}

_HEADERS: Final = {
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Browsers ignore it over plain HTTP (RFC 6797 section 8.1), which is the loopback of a trial.
    "Strict-Transport-Security": "max-age=31536000",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
    "Cache-Control": "no-store",
}


def policy(form_action: Sequence[str] = ()) -> str:
    """The Content Security Policy; `form_action` lists origins beside our own that a form may lead to."""
    return (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
        f"form-action {' '.join((chr(39) + 'self' + chr(39), *form_action))}; "
        "frame-ancestors 'none'; base-uri 'none'"
    )


def page(html: str, status: int = 200, cookies: Sequence[str] = (), form_action: Sequence[str] = ()) -> Response:
    """An HTML page."""
    headers: dict[str, Any] = {
        **_HEADERS,
        "Content-Type": "text/html; charset=utf-8",
        "Content-Security-Policy": policy(form_action),
    }
    if cookies:
        headers["Set-Cookie"] = list(cookies)
    return Response(html, headers, status)


def redirect(location: str, cookies: Sequence[str] = ()) -> Response:
    """303 See Other: the browser follows with GET, and a reload posts nothing twice (RFC 9110 section 15.4.4)."""
    headers: dict[str, Any] = {
        **_HEADERS,
        "Location": location,
        "Content-Type": "text/plain; charset=utf-8",
        "Content-Security-Policy": policy(),
    }
    if cookies:
        headers["Set-Cookie"] = list(cookies)
    return Response("", headers, 303)


def static(kind: str, text: str) -> Response:
    """A static file; its address changes with its content."""
    return Response(
        text,
        {
            **_HEADERS,
            "Content-Type": kind,
            "Cache-Control": "public, max-age=31536000, immutable",
            "Content-Security-Policy": "default-src 'none'",
        },
        200,
    )


def host_cookie(name: str, value: str, max_age: int) -> str:
    """A `__Host-` cookie: this host alone, every path, never over plain HTTP, never readable by script.

    Args:
        name: With its `__Host-` prefix.
        value: Cookie-safe text; empty with `max_age` 0 deletes it.
        max_age: Seconds.
    """
    return f"{name}={value}; Path=/; Max-Age={max_age}; Secure; HttpOnly; SameSite=Lax"


def cookie(headers: Mapping[str, str], name: str) -> str:
    """A cookie's value, or empty. A name that stands twice is refused as if absent: somebody shadows it."""
    found = [
        value.strip()
        for key, _, value in (part.partition("=") for part in headers.get("cookie", "")[:8192].split(";"))
        if key.strip() == name
    ]
    return found[0] if len(found) == 1 else ""


def query_values(request: Request) -> dict[str, list[str]]:
    """The query parameters, each with all its values."""
    query = request.query_params
    return {} if query is None else {name: query.getlist(name) for name in query}


def form_fields(request: Request) -> dict[str, str]:
    """Read an urlencoded form.

    Raises:
        InvalidInput: when it is too long, has too many fields, one twice, or isn't UTF-8.
    """
    body = request.raw_body
    raw = body.encode() if isinstance(body, str) else body
    if len(raw) > MAX_FORM_BYTES:
        raise _bad_form(f"it is over {MAX_FORM_BYTES // 1024} KB")
    try:
        pairs = parse_qsl(
            raw.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=MAX_FORM_FIELDS,
        )
    except ValueError as error:
        raise _bad_form("it is malformed") from error
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise _bad_form("a field stands twice")
    return fields


def refuse_foreign_origin(headers: Mapping[str, str], public_origin: str) -> None:
    """Refuse a POST that another site caused.

    A browser tells where a request comes from in `Sec-Fetch-Site`, which no script can set, and in `Origin`. Our own
    pages forbid the referrer, and a browser then says ``Origin: null`` (Fetch standard, "append a request Origin
    header"), so null counts only where `Sec-Fetch-Site` vouches. What sends neither is no browser, and has the API.

    Raises:
        Refused: otherwise than from our own pages.
    """
    origin, site = headers.get("origin", ""), headers.get("sec-fetch-site", "")
    if (origin == public_origin and site in ("", "same-origin")) or (origin == "null" and site == "same-origin"):
        return
    raise Refused(
        "The form did not come from this site's own page.",
        not_done="Nothing was decided.",
        advice="Open the page here and send it again.",
        code="foreign_origin",
    )


def _bad_form(why: str) -> InvalidInput:
    return InvalidInput(
        f"The form can't be read: {why}.",
        not_done="Nothing was changed.",
        advice="Go back, reload the page and send it again.",
        code="bad_form",
    )


def refusal(
    error: TwokeysError, viewer: Viewer | None = None, link: str = "/", link_text: str = "All requests"
) -> Response:
    """An error as a page with its status."""
    view = ErrorView(error.happened, error.not_done, error.advice, link, link_text)
    return page(render.error(view, viewer), status_of(error))


def status_of(error: TwokeysError) -> int:
    """The HTTP status of an error (RFC 9110 section 15.5)."""
    if error.code in _STATUS:
        return _STATUS[error.code]
    match error:
        case InvalidInput():
            return 400
        case Refused():
            return 403
        case Conflict():
            return 409
        case _:
            return 503


def as_pages(view: Callable[P, Response]) -> Callable[P, Response]:
    """Let a route answer errors with a page instead of JSON."""

    @functools.wraps(view)
    def answer(*args: P.args, **kwargs: P.kwargs) -> Response:
        try:
            return view(*args, **kwargs)
        except TwokeysError as error:
            return refusal(error)

    return answer
