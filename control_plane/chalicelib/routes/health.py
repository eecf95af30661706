"""Whether the control plane can do its work: its store answers."""

from __future__ import annotations

from chalice.app import Blueprint, Response

from ..ports.edges import Edges
from .answers import answer, answers


def blueprint(edges: Edges) -> Blueprint:
    """The route."""
    routes = Blueprint(__name__)

    @routes.route("/healthz", methods=["GET"])
    @answers
    def healthz() -> Response:
        edges.bundle_revision()
        return answer({"state": "well"})

    return routes
