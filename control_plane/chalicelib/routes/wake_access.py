"""The route by which an Edge learns where it may wait for wake-ups."""

from __future__ import annotations

from chalice.app import Blueprint, Response

from twokeys.messages import WakeAccess as WakeAnswer

from ..ports.clock import Clock
from ..ports.wake_access import WakeAccess
from ..services.edge_auth import EdgeAuth
from .answers import answer, answers
from .edge_call import edge_of


def blueprint(auth: EdgeAuth, access: WakeAccess | None, clock: Clock) -> Blueprint:
    """The route; without `access` it tells every Edge to poll."""
    routes = Blueprint(__name__)

    @routes.route("/v1/wake-access", methods=["POST"])
    @answers
    def wake_access() -> Response:
        edge, _ = edge_of(routes.current_request, auth)
        if access is None:
            return answer(WakeAnswer())
        found = access.credentials(edge.edge_id)
        return answer(
            WakeAnswer(
                queue_url=found.queue_url,
                region=found.region,
                access_key=found.access_key,
                secret=found.secret,
                token=found.token,
                seconds=max(0, (found.expires_at - clock.now()) // 1000),
            )
        )

    return routes
