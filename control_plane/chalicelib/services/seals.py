"""Seals: reads what was uploaded, follows its chain from the Seal before, and only then signs.

lines ──▶ each canonical, numbered, of this source ──▶ chain hash    = what the Edge says
heads that the Edge told with its calls ────────────▶ on that chain  or it is a fork
bodies ─▶ each the one that its record names, none missing, none over
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from twokeys.digest import canonical, to_base64
from twokeys.errors import Conflict, InvalidInput, Refused, TwokeysError
from twokeys.messages import SealReply, SealRequest
from twokeys.record import ChainHead, extend, genesis, same_hash
from twokeys.seal import TYPE, Seal, segment_id
from twokeys.segment_files import Frame, split_bodies, split_lines, unpack_lines
from twokeys.signature import KeyRole

from ..ports.clock import Clock
from ..ports.edges import Edge, Edges
from ..ports.recordings import Recordings, Sealed
from ..ports.signer import Signer
from .alarms import Alarms
from .times import iso

MAX_SESSIONS_PER_SEGMENT = 10_000
"""Most distinct sessions indexed of one Segment; a Segment with more is refused."""


@dataclass(slots=True)
class _Walk:
    """How far the lines were followed."""

    head: ChainHead
    sessions: set[str] = field(default_factory=set)
    digest: Any = field(default_factory=hashlib.sha256)


class Seals:
    """Verifies and signs Segments."""

    def __init__(self, recordings: Recordings, edges: Edges, signer: Signer, clock: Clock, alarms: Alarms) -> None:
        self._recordings, self._edges, self._signer = recordings, edges, signer
        self._clock, self._alarms = clock, alarms

    def seal_for(self, edge: Edge, segment: str, request: SealRequest, source: str = "") -> SealReply:
        """Seal an Edge's Segment; the same again gets the same Seal.

        Args:
            edge: Whose.
            segment: Its id.
            request: What the Edge says that it holds.
            source: Which of the Edge's chains it is of, as the call was signed; its own by default.

        Raises:
            Refused: when it is no Segment of this Edge, or does not hold what the Edge says; ``chain_fork`` when it
                contradicts a head that the Edge told.
            Conflict: when it does not follow the Seal before.
            InvalidInput: when its files are missing or malformed.
        """
        source = source or edge.edge_id
        if segment != segment_id(source, request.first_seq):
            raise Refused("The segment is not this edge's.", not_done="It was not sealed.", code="foreign_segment")
        try:
            heads = self._edges.told_heads(source, request.first_seq, request.last_seq)
            reply = self.seal(source, request, heads)
        except TwokeysError as error:
            if error.code in ("chain_fork", "segment_mismatch", "segment_conflict"):
                self._alarms.refused(error, edge.edge_id)
            raise
        self._edges.forget_heads(source, request.last_seq)
        return reply

    def seal(self, source: str, request: SealRequest, heads: list[ChainHead]) -> SealReply:
        """Seal a source's Segment, whoever the source is."""
        segment = segment_id(source, request.first_seq)
        known = self._recordings.seal(segment)
        if known is None:
            known = self._recordings.add_seal(self._verified(source, segment, request, heads))
        elif _said(known) == request:
            # Publishing may have been cut off: once more does no harm.
            known = self._recordings.add_seal(known)
        if _said(known) != request:
            raise Conflict(f"Segment {segment} is sealed with other content.", not_done="It was not sealed again.",
                           advice="Two edges may run with one identity.", code="segment_conflict")  # fmt: skip
        return SealReply(seal=dict(known.seal), key_id=known.key_id, signature=known.signature)

    def _verified(self, source: str, segment: str, request: SealRequest, heads: list[ChainHead]) -> Sealed:
        before = self._recordings.last_seal(source)
        start = ChainHead(before.last_seq, str(before.seal["last_hash"])) if before else genesis(source)
        if request.first_seq != start.sequence + 1 or not same_hash(request.previous_hash, start.hash):
            raise Conflict(f"Segment {segment} does not follow record {start.sequence}.",
                           not_done="It was not sealed.", code="segment_conflict")  # fmt: skip
        walk = self._walk(source, segment, request, start, {head.sequence: head.hash for head in heads})
        if (
            walk.head.sequence != request.last_seq
            or not same_hash(walk.head.hash, request.last_hash)
            or not same_hash(walk.digest.hexdigest(), request.lines_sha256)
        ):
            raise _mismatch("Its lines are not those that the edge says")
        seal = Seal(
            source, segment, request.first_seq, request.last_seq, request.previous_hash, request.last_hash,
            request.lines_sha256, request.bodies_sha256, iso(self._clock.now()),
        )  # fmt: skip
        signature = self._signer.sign(TYPE, seal.to_json(), KeyRole.SEAL)
        return Sealed(
            source=source,
            first_seq=seal.first_seq,
            last_seq=seal.last_seq,
            segment=segment,
            seal={name: value for name, value in seal.to_json().items() if isinstance(value, str | int)},
            key_id=signature.key_id,
            signature=to_base64(signature.value),
            sessions=sorted(walk.sessions),
        )

    def _walk(self, source: str, segment: str, request: SealRequest, start: ChainHead, told: dict[int, str]) -> _Walk:
        lines = self._recordings.part("lines", segment)
        if lines is None:
            raise InvalidInput(f"The lines of {segment} were not uploaded.", not_done="It was not sealed.",
                               code="no_lines")  # fmt: skip
        bodies = self._bodies(segment, request)
        walk = _Walk(start)
        for _, line in split_lines(unpack_lines(lines)):
            value = _read(line, source, walk.head.sequence + 1)
            walk.head = extend(walk.head, line)
            walk.digest.update(line + b"\n")
            known = told.get(walk.head.sequence)
            if known is not None and not same_hash(known, walk.head.hash):
                raise Refused(f"Record {walk.head.sequence} is another than the edge told before.",
                              not_done="The segment was not sealed.", code="chain_fork")  # fmt: skip
            if isinstance(session := value.get("session"), str) and session:
                walk.sessions.add(session)
            if "body_sha256" in value:
                _meet(next(bodies, None), walk.head.sequence, str(value["body_sha256"]))
            if len(walk.sessions) > MAX_SESSIONS_PER_SEGMENT or walk.head.sequence > request.last_seq:
                raise _mismatch("It holds more than it should")
        if next(bodies, None) is not None:
            raise _mismatch("It holds a body that no record names")
        return walk

    def _bodies(self, segment: str, request: SealRequest) -> Iterator[Frame]:
        if not request.bodies_sha256:
            return iter(())
        data = self._recordings.part("bodies", segment)
        if data is None or not same_hash(hashlib.sha256(data).hexdigest(), request.bodies_sha256):
            raise _mismatch("Its bodies are not those that the edge says")
        return split_bodies(data)


def _said(sealed: Sealed) -> SealRequest:
    seal = Seal.from_json(sealed.seal)
    return SealRequest(
        first_seq=seal.first_seq, last_seq=seal.last_seq, previous_hash=seal.previous_hash, last_hash=seal.last_hash,
        lines_sha256=seal.lines_sha256, bodies_sha256=seal.bodies_sha256,
    )  # fmt: skip


def _read(line: bytes, source: str, sequence: int) -> dict[str, Any]:
    """One record: canonical, the next in sequence, of this source."""
    try:
        value = json.loads(line)
        same = isinstance(value, dict) and canonical(value) == line
    except (InvalidInput, ValueError, RecursionError) as error:
        raise _mismatch(f"Record {sequence} is malformed") from error
    if not same or value.get("seq") != sequence or value.get("source", source) != source:
        raise _mismatch(f"Record {sequence} is not canonical, not the next one, or another's")
    found: dict[str, Any] = value
    return found


def _meet(frame: Frame | None, sequence: int, expected: str) -> None:
    if (
        frame is None
        or frame.sequence != sequence
        or not same_hash(hashlib.sha256(frame.ciphertext).hexdigest(), expected)
    ):
        raise _mismatch(f"The body of record {sequence} is missing, or another")


def _mismatch(why: str) -> Refused:
    return Refused(f"{why}.", not_done="The segment was not sealed.", code="segment_mismatch")
