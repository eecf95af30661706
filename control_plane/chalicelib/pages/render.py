"""Views to HTML: Jinja2 with autoescape, strict about names, from the templates beside this file."""

from __future__ import annotations

import datetime
import hashlib
from pathlib import Path
from typing import Any, Final

import jinja2

from .views import BodyView, ErrorView, ListView, LoginView, MessageView, PassphraseView, ReviewView, Viewer
from .visible import plain

_FOLDER: Final = Path(__file__).parent

_STATIC_TYPES: Final = {
    "style.css": "text/css; charset=utf-8",
    "time.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}

STATIC: Final = {name: (kind, (_FOLDER / "static" / name).read_text("utf-8")) for name, kind in _STATIC_TYPES.items()}
"""Static files by name: content type and text. Nothing else is served from disk."""

STATES: Final = {
    "pending": "Waiting",
    "approved": "Approved",
    "spending": "Running",
    "done": "Done",
    "failed": "Failed",
    "in_doubt": "In doubt",
    "denied": "Denied",
    "expired": "Expired",
    "withdrawn": "Withdrawn",
    "lapsed": "Lapsed",
}
"""States as pages spell them."""


def static_url(name: str) -> str:
    """A static file's address; it changes with the content, so that it can be cached."""
    return f"/static/{name}?v={hashlib.sha256(STATIC[name][1].encode()).hexdigest()[:12]}"


def duration(seconds: int) -> str:
    """A time left in words, rounded down: ``4 min 10 s``, ``2 h 5 min``."""
    if seconds >= 3600:
        return f"{seconds // 3600} h {seconds % 3600 // 60} min"
    if seconds >= 60:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{max(seconds, 0)} s"


def when(text: str, layout: str = "%d %b %Y, %H:%M:%S UTC") -> str:
    """An ISO 8601 time as a person reads it, in UTC; anything else as it is."""
    try:
        at = datetime.datetime.fromisoformat(text)
    except ValueError:
        return text
    return at.astimezone(datetime.UTC).strftime(layout)


def review(view: ReviewView, viewer: Viewer) -> str:
    """The review page."""
    return _render("review.html", view=view, viewer=viewer)


def body(view: BodyView, viewer: Viewer) -> str:
    """One part of a long Command."""
    return _render("body.html", view=view, viewer=viewer)


def listing(view: ListView, viewer: Viewer) -> str:
    """The list of requests."""
    return _render("list.html", view=view, viewer=viewer)


def error(view: ErrorView, viewer: Viewer | None) -> str:
    """A refusal."""
    return _render("error.html", view=view, viewer=viewer)


def login(view: LoginView) -> str:
    """The embedded issuer's sign-in form."""
    return _render("login.html", view=view, viewer=None)


def passphrase(view: PassphraseView) -> str:
    """The embedded issuer's page for a handed code, and for the passphrase made of it."""
    return _render("passphrase.html", view=view, viewer=None)


def signed_out() -> str:
    """The page after signing out."""
    return _render("signed_out.html", viewer=None)


def outbox(messages: tuple[MessageView, ...], viewer: Viewer) -> str:
    """What would have been mailed."""
    return _render("outbox.html", messages=messages, viewer=viewer)


def _render(template: str, **values: Any) -> str:
    return _ENVIRONMENT.get_template(template).render(values)


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(plain=plain, duration=duration, when=when)
    environment.globals.update(static_url=static_url, states=STATES)
    return environment


_ENVIRONMENT: Final = _environment()
