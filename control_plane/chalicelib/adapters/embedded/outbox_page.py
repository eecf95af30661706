"""The page of the outbox folder: it exists where mail isn't sent, and nowhere else."""

from __future__ import annotations

from chalice.app import Blueprint, Request, Response

from ...pages import render
from ...pages.responses import page
from ...pages.views import MessageView
from ...routes.review import answer_person, viewer_of
from ...services.sessions import Session, Sessions
from .outbox import Outbox


def blueprint(outbox: Outbox, live: Sessions, public_url: str) -> Blueprint:
    """The one route, for signed-in people: a message is a pointer, and holds no value."""
    routes = Blueprint(__name__)

    def show(session: Session, _: Request) -> Response:
        messages = tuple(
            MessageView(
                kept.mail.to, kept.mail.subject, kept.sent_at, kept.mail.text, _local(kept.mail.link, public_url)
            )
            for kept in outbox.newest()
        )
        return page(render.outbox(messages, viewer_of(session)))

    @routes.route("/outbox", methods=["GET"])
    def page_of_messages() -> Response:
        return answer_person(routes.current_request, live, "/outbox", show)

    return routes


def _local(link: str, public_url: str) -> str:
    """Our own link as a path; anything else isn't made clickable."""
    return link.removeprefix(public_url) if link.startswith(f"{public_url}/r/") else ""
