"""Edges join: an owner makes a one-time token, the Edge brings it with its own key and a proof that it holds it."""

from __future__ import annotations

import re
import secrets
from typing import Final

from twokeys.caller import checked_id
from twokeys.digest import from_base64, sha256
from twokeys.edge_call import names_a_worker
from twokeys.errors import InvalidInput, TwokeysError
from twokeys.messages import EnrolReply, EnrolRequest
from twokeys.record import RecordType
from twokeys.signature import KeyRole, PublicKey, Signature, verify

from ..ports.clock import Clock
from ..ports.edges import Edges, Token
from ..ports.records import SOURCE
from ..ports.signer import Signer
from .alarms import Alarms
from .limits import Limits
from .notes import note

TYPE: Final = "edge-enrol"
"""Name of the signed type of the proof."""

MAX_TARGETS: Final = 100
"""Most targets of one Edge."""

_EDGE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Enrolment:
    """Makes tokens and takes them."""

    def __init__(self, edges: Edges, signer: Signer, clock: Clock, alarms: Alarms, limits: Limits) -> None:
        self._edges, self._signer, self._clock = edges, signer, clock
        self._alarms, self._limits = alarms, limits

    def make_token(self, edge_id: str, targets: list[str], by: str) -> str:
        """Make a one-time token; this is the only time it is seen.

        Raises:
            InvalidInput: for an id or target that can't be one.
            Conflict: when the Edge is enrolled.
        """
        if not _EDGE_ID.fullmatch(edge_id) or edge_id == SOURCE or names_a_worker(edge_id):
            raise InvalidInput(
                "The edge's id can't be used.",
                not_done="No token was made.",
                advice="Use 1 to 64 letters, digits and . _ -, and don't end it as a worker's name does (.w1).",
                code="bad_id",
            )
        if not 1 <= len(set(targets)) <= MAX_TARGETS:
            raise InvalidInput(f"An edge has 1 to {MAX_TARGETS} targets.", not_done="No token was made.",
                               code="bad_targets")  # fmt: skip
        wanted = sorted({checked_id(target, "target") for target in targets})
        text = secrets.token_urlsafe(32)
        expires = self._clock.now() + self._limits.token_seconds * 1000
        token = Token(token_sha256=sha256(text.encode()), edge_id=edge_id, targets=wanted, expires_at=expires)
        record = note(
            RecordType.ENROLMENT, person=by, outcome="token", reason=f"A token for edge {edge_id}.", objects=wanted
        )
        self._edges.add_token(token, record)
        return text

    def enrol(self, request: EnrolRequest) -> EnrolReply:
        """Register an Edge's key.

        Raises:
            InvalidInput: when the key can't be read.
            Refused: for a token that is unknown, used or expired, or a proof that does not hold.
        """
        try:
            key = PublicKey.from_der(from_base64(request.public_key), KeyRole.EDGE)
            hashed = sha256(request.token.encode())
            proof = Signature(key.key_id, from_base64(request.proof))
            verify(TYPE, KeyRole.EDGE, {"token_sha256": hashed}, proof, {key.key_id: key})
            edge = self._edges.enrol(hashed, key.der, note(RecordType.ENROLMENT))
        except TwokeysError as error:
            self._alarms.refused(error, "an edge that wants to enrol")
            raise
        keys = [{name: str(value) for name, value in one.to_json().items()} for one in self._signer.public_keys()]
        return EnrolReply(edge_id=edge.edge_id, keys=keys)
