"""Who calls: verifies an Edge's signed call before anything is done for it.

header ─▶ Edge's key ─▶ signature ─▶ method, path, body ─▶ time ─▶ nonce and chain head, kept in one write
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass

from twokeys.digest import from_base64, sha256
from twokeys.edge_call import CALL_HEADER, MAX_SKEW_MILLISECONDS, SIGNATURE_HEADER, TYPE, EdgeCall
from twokeys.errors import InvalidInput, Refused, TwokeysError
from twokeys.signature import KeyRole, PublicKey, Signature, verify

from ..ports.clock import Clock
from ..ports.edges import Edge, Edges
from .alarms import Alarms


@dataclass(frozen=True, slots=True)
class Call:
    """An HTTP call as it came: path with query exactly as sent; header names in any case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class EdgeAuth:
    """Verifies calls."""

    def __init__(self, edges: Edges, clock: Clock, alarms: Alarms) -> None:
        self._edges, self._clock, self._alarms = edges, clock, alarms

    def verify(self, call: Call) -> tuple[Edge, EdgeCall]:
        """The Edge that made this call, and what it signed.

        Raises:
            Refused: ``bad_call`` for anything not signed by an enrolled Edge for exactly this call; ``clock_skew``
                when its time is off, which changes nothing; ``replayed_call``; ``chain_fork``.
        """
        claimed = ""
        try:
            signed = EdgeCall.from_header(call.headers.get(CALL_HEADER, ""))
            claimed = signed.edge_id
            edge = self._known(signed, call)
            if abs(signed.time - self._clock.now()) > MAX_SKEW_MILLISECONDS:
                raise Refused("The call's time is off.", not_done="The call was not answered.",
                              advice="Take the time from Twokeys-Time and call again.", code="clock_skew")  # fmt: skip
            self._edges.admit(signed, self._clock.now() - 2 * MAX_SKEW_MILLISECONDS)
        except InvalidInput as error:
            refusal = _bad_call()
            self._alarms.refused(refusal, claimed)
            raise refusal from error
        except TwokeysError as error:
            if isinstance(error, Refused) and error.code != "clock_skew":
                self._alarms.refused(error, claimed)
            raise
        return edge, signed

    def _known(self, signed: EdgeCall, call: Call) -> Edge:
        edge = self._edges.edge(signed.edge_id)
        if edge is None:
            raise _bad_call()
        key = PublicKey.from_der(edge.key, KeyRole.EDGE)
        value = from_base64(call.headers.get(SIGNATURE_HEADER, ""))
        try:
            verify(TYPE, KeyRole.EDGE, signed.to_json(), Signature(key.key_id, value), {key.key_id: key})
        except Refused as error:
            raise _bad_call() from error
        same = (signed.method, signed.path) == (call.method, call.path)
        if not same or not hmac.compare_digest(signed.body_sha256, sha256(call.body)):
            raise _bad_call()
        return edge


def _bad_call() -> Refused:
    return Refused("The call is not signed by an enrolled edge for what it asks.",
                   not_done="The call was not answered.",
                   advice="Look after the edge's enrolment.", code="bad_call")  # fmt: skip
