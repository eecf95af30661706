"""Static files of the pages: a fixed set, read once."""

from __future__ import annotations

from chalice.app import Blueprint, Response

from twokeys.errors import InvalidInput

from ..pages.render import STATIC
from ..pages.responses import as_pages, static


def blueprint() -> Blueprint:
    """The one route."""
    routes = Blueprint(__name__)

    @routes.route("/static/{name}", methods=["GET"])
    @as_pages
    def file(name: str) -> Response:
        if name not in STATIC:
            raise InvalidInput("There is no such file.", advice="Go to the list of requests.", code="not_found")
        return static(*STATIC[name])

    return routes
