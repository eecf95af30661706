"""A Seal: the control plane's signature under the head of a chain after one Segment.

A Segment is two files: `lines` (the records' canonical lines, each ended by a newline, gzip compressed when stored)
and `bodies` (the ciphertexts, framed as `twokeys.segment_files` says; a record's `body_sha256` names its own; absent
without bodies).
Seals of one source form a chain of their own: `previous_hash` of each is `last_hash` of the one before.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from twokeys.digest import MAX_INTEGER, Json
from twokeys.errors import InvalidInput

TYPE = "seal"
"""Name of the signed type."""

_TEXTS = ("source", "segment", "previous_hash", "last_hash", "lines_sha256", "bodies_sha256", "sealed_at")
_HASHES = ("previous_hash", "last_hash", "lines_sha256", "bodies_sha256")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_ISO_TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,6})?Z", re.ASCII)


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
            "source": self.source,
            "segment": self.segment,
            "first_seq": self.first_seq,
            "last_seq": self.last_seq,
            "previous_hash": self.previous_hash,
            "last_hash": self.last_hash,
            "lines_sha256": self.lines_sha256,
            "sealed_at": self.sealed_at,
        }
        if self.bodies_sha256:
            payload["bodies_sha256"] = self.bodies_sha256
        return payload

    @classmethod
    def from_json(cls, value: Mapping[str, object]) -> Seal:
        """Read the signed payload back: exactly its fields, each of its type. Raises InvalidInput."""
        texts = {name: value.get(name, "") for name in _TEXTS}
        numbers = {name: value.get(name) for name in ("first_seq", "last_seq")}
        if (
            set(value) - {"bodies_sha256"} != (set(_TEXTS) | set(numbers)) - {"bodies_sha256"}
            or not all(type(text) is str for text in texts.values())
            or not all(type(number) is int and 0 < number <= MAX_INTEGER for number in numbers.values())
            or not all(_SHA256.fullmatch(str(value[name])) for name in value if name in _HASHES)
            or not _ISO_TIME.fullmatch(str(value["sealed_at"]))
        ):
            raise InvalidInput("A seal's fields are malformed.", not_done="It was not trusted.", code="malformed_seal")
        return cls(**texts, **numbers)  # type: ignore[arg-type]


def segment_id(source: str, first_seq: int) -> str:
    """The only id a segment that starts at this sequence can have: two of them collide, so a fork is refused."""
    return f"{source}-{first_seq:012d}"
