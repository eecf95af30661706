"""A Seal: the control plane's signature under the head of a chain after one Segment.

A Segment is two files: `lines` (the records' canonical lines, each ended by a newline, gzip compressed when stored)
and `bodies` (the ciphertexts one after the other; a record's `body_sha256` names its own; absent without bodies).
Seals of one source form a chain of their own: `previous_hash` of each is `last_hash` of the one before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from twokeys.digest import Json
from twokeys.errors import InvalidInput

TYPE = "seal"
"""Name of the signed type."""


@dataclass(frozen=True, slots=True)
class Seal:
    """What is signed under a Segment.

    Args:
        source: Edge id or ``control-plane``.
        segment: Segment id: ``<source>-<first_seq, 12 digits>``.
        first_seq: Sequence of the first record.
        last_seq: Sequence of the last record.
        previous_hash: Chain hash before the first record.
        last_hash: Chain hash after the last record.
        lines_sha256: SHA-256 of the uncompressed lines file.
        bodies_sha256: SHA-256 of the bodies file, empty without bodies.
        sealed_at: ISO 8601 UTC, the control plane's clock.
    """

    source: str
    segment: str
    first_seq: int
    last_seq: int
    previous_hash: str
    last_hash: str
    lines_sha256: str
    bodies_sha256: str
    sealed_at: str

    def __post_init__(self) -> None:
        if self.segment != segment_id(self.source, self.first_seq) or self.last_seq < self.first_seq:
            raise InvalidInput("A seal's segment and sequences don't fit.", not_done="It was not built.")

    def to_json(self) -> Mapping[str, Json]:
        """The signed payload."""
        payload: dict[str, Json] = {
            "source": self.source, "segment": self.segment, "first_seq": self.first_seq, "last_seq": self.last_seq,
            "previous_hash": self.previous_hash, "last_hash": self.last_hash, "lines_sha256": self.lines_sha256,
            "sealed_at": self.sealed_at,
        }
        if self.bodies_sha256:
            payload["bodies_sha256"] = self.bodies_sha256
        return payload


def segment_id(source: str, first_seq: int) -> str:
    """The only id a segment that starts at this sequence can have: two of them collide, so a fork is refused."""
    return f"{source}-{first_seq:012d}"
