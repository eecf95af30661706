"""Proves that a recording is whole, with public keys alone; or says where it is not.

    stored segments of one source, in order ──▶ verify_source ──▶ SourceResult: whole up to a head | first Flaw

What is proved for each Segment: the Seal is signed by a pinned seal key; it follows the Seal before it (sequence and
hash), the first one from the source's genesis; the lines are canonical, numbered without a gap, of this source, and
hash to the signed head; each body is the one its record names, none is missing, none is added.

What can't be seen from inside: that the *end* was cut off. So known heads, kept outside the store (printed by each
verification, or the control plane's own), are checked too: the chain must pass through each.

A Seal has one hash for its whole Segment. A change that leaves every line well formed is therefore proved for the
Segment, and its exact line only where the line itself betrays it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from twokeys.digest import Json, canonical, from_base64, sha256
from twokeys.errors import InvalidInput, Refused
from twokeys.record import ChainHead, extend, genesis, same_hash
from twokeys.seal import TYPE, Seal, segment_id
from twokeys.segment_files import Frame, Malformed, split_bodies, split_lines, unpack_lines
from twokeys.signature import KeyRole, PublicKey, Signature, verify

MAX_SEAL_FILE_BYTES: Final = 16 * 1024
"""Longest stored Seal read; what is signed in it is at most 4 KiB."""


@dataclass(frozen=True, slots=True)
class StoredSegment:
    """A Segment as the store has it.

    Args:
        name: The name under which it is stored; must be the id in its Seal.
        seal: Its seal file, JSON ``{"seal": …, "key_id": …, "signature": …}``; None when there is none.
        lines: Its lines file, compressed; None when there is none.
        bodies: Its bodies file; None when there is none.
        day: The ``dt`` partition it lies in, checked against the Seal's time; empty when not known.
    """

    name: str
    seal: bytes | None
    lines: bytes | memoryview | None
    bodies: bytes | memoryview | None = None
    day: str = ""


@dataclass(frozen=True, slots=True)
class Flaw:
    """The first thing that does not hold.

    Args:
        source: Whose chain.
        segment: In which Segment.
        part: In which of its files: seal, lines or bodies.
        sequence: The record at which it shows.
        offset: Byte offset in that file (of the uncompressed lines).
        what: In words.
    """

    source: str
    segment: str
    part: str
    sequence: int
    offset: int
    what: str

    def __str__(self) -> str:
        return (
            f"{self.what} Where: source {self.source}, segment {self.segment}, {self.part}, "
            f"record {self.sequence}, byte {self.offset}."
        )


@dataclass(slots=True)
class SourceResult:
    """What was proved of one source: everything up to `head`, and the first `flaw` after it, if any."""

    source: str
    head: ChainHead
    segments: int = 0
    records: int = 0
    bodies: int = 0
    sealed_at: str = ""
    heads_met: set[int] = field(default_factory=set)
    flaw: Flaw | None = None

    @property
    def whole(self) -> bool:
        """Whether everything held."""
        return self.flaw is None


class _Broken(Exception):
    def __init__(self, part: str, sequence: int, offset: int, what: str) -> None:
        super().__init__(what)
        self.part, self.sequence, self.offset, self.what = part, sequence, offset, what


@dataclass(frozen=True, slots=True)
class Trust:
    """What a verification starts from.

    Args:
        keys: Pinned public keys by key id; only those with the seal role count.
        heads: Hashes known from outside by sequence: the chain must pass through each.
        with_bodies: False skips the bodies files, for a copy that has only lines and seals.
    """

    keys: Mapping[str, PublicKey]
    heads: Mapping[int, str] = field(default_factory=dict)
    with_bodies: bool = True


def verify_source(source: str, segments: Iterable[StoredSegment], trust: Trust) -> SourceResult:
    """Verify one source's Segments, which come in order of their first sequence.

    Returns:
        A result whose `flaw` is None when everything held, and else the first thing that did not.
    """
    result = SourceResult(source, genesis(source))
    for segment in segments:
        try:
            seal = _read_seal(source, segment, result.head, trust)
            head = _walk(seal, segment, result, trust)
        except _Broken as broken:
            result.flaw = Flaw(source, segment.name, broken.part, broken.sequence, broken.offset, broken.what)
            return result
        result.head, result.sealed_at = head, seal.sealed_at
        result.segments += 1
    missing = max((sequence for sequence in trust.heads if sequence > result.head.sequence), default=0)
    if missing:
        result.flaw = Flaw(
            source,
            segment_id(source, result.head.sequence + 1),
            "seal",
            result.head.sequence + 1,
            0,
            f"The end is missing: record {missing} is known, and the sealed chain ends at {result.head.sequence}.",
        )
    return result


def _read_seal(source: str, segment: StoredSegment, head: ChainHead, trust: Trust) -> Seal:
    """The Segment's Seal: well formed, signed, of this source, and next after `head`."""
    at = head.sequence + 1
    if segment.seal is None:
        raise _Broken("seal", at, 0, "The seal is missing.")
    if len(segment.seal) > MAX_SEAL_FILE_BYTES:
        raise _Broken("seal", at, MAX_SEAL_FILE_BYTES, f"The seal file is over {MAX_SEAL_FILE_BYTES} bytes.")
    try:
        fields = json.loads(segment.seal, object_pairs_hook=_no_doubles)
        seal = Seal.from_json(fields["seal"])
        signature = Signature(str(fields["key_id"]), from_base64(fields["signature"]))
        if set(fields) != {"seal", "key_id", "signature"}:
            raise _Broken("seal", at, 0, "The seal file has an unknown field.")
    except json.JSONDecodeError as error:
        raise _Broken("seal", at, error.pos, "The seal file is no JSON.") from error
    except (InvalidInput, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _Broken("seal", at, 0, "The seal file is malformed.") from error
    try:
        verify(TYPE, KeyRole.SEAL, seal.to_json(), signature, trust.keys)
    except Refused as refusal:
        raise _Broken("seal", at, 0, refusal.happened) from refusal
    if seal.source != source or seal.segment != segment.name:
        raise _Broken("seal", at, 0, f"The seal is of segment {seal.segment}, stored under another name.")
    if segment.day and segment.day != seal.sealed_at[:10]:
        raise _Broken("seal", at, 0, f"The segment lies under {segment.day}, and was sealed on {seal.sealed_at[:10]}.")
    if seal.first_seq != at:
        what = (
            f"Records {at} to {seal.first_seq - 1} are missing."
            if seal.first_seq > at
            else f"Record {seal.first_seq} is sealed twice."
        )
        raise _Broken("seal", min(at, seal.first_seq), 0, what)
    if not same_hash(seal.previous_hash, head.hash):
        raise _Broken("seal", at, 0, "The seal does not continue the chain before it.")
    return seal


def _no_doubles(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a name stands twice")
    return value


def _walk(seal: Seal, segment: StoredSegment, result: SourceResult, trust: Trust) -> ChainHead:
    """Follow the Segment's lines from the head before it, its bodies beside them; return the head after it."""
    if segment.lines is None:
        raise _Broken("lines", seal.first_seq, 0, "The lines file is missing.")
    bodies = _bodies(seal, segment) if trust.with_bodies else None
    head, digest, offset, size = result.head, hashlib.sha256(), 0, 0
    try:
        for offset, line in split_lines(unpack_lines(segment.lines)):
            value = _read_line(seal, head.sequence + 1, offset, line)
            head = extend(head, line)
            digest.update(line + b"\n")
            size = offset + len(line) + 1
            _meet(head, offset, trust, result)
            if "body_sha256" in value and bodies is not None:
                _meet_body(head.sequence, str(value["body_sha256"]), bodies)
                result.bodies += 1
    except Malformed as error:
        raise _Broken("lines", head.sequence + 1, error.offset, error.happened) from error
    if head.sequence != seal.last_seq:
        raise _Broken("lines", head.sequence + 1, size, f"Records {head.sequence + 1} to {seal.last_seq} are missing.")
    if not same_hash(head.hash, seal.last_hash) or not same_hash(digest.hexdigest(), seal.lines_sha256):
        raise _Broken(
            "lines",
            seal.first_seq,
            0,
            f"Records {seal.first_seq} to {seal.last_seq} are not the ones that "
            "were sealed (each is well formed, so which one was changed can't be told).",
        )
    if bodies is not None:
        _end_of_bodies(seal, segment, bodies)
    result.records += seal.last_seq - seal.first_seq + 1
    return head


def _read_line(seal: Seal, sequence: int, offset: int, line: bytes) -> Mapping[str, Json]:
    """One record: canonical, the next in sequence, of this source."""
    try:
        value = json.loads(line)
        same = isinstance(value, dict) and canonical(value) == line
    except (InvalidInput, ValueError, RecursionError) as error:
        raise _Broken("lines", sequence, offset, "A record is malformed.") from error
    if not same:
        raise _Broken("lines", sequence, offset, "A record is not in its canonical spelling.")
    if value.get("seq") != sequence or isinstance(value["seq"], bool) or sequence > seal.last_seq:
        raise _Broken("lines", sequence, offset, f"Record {sequence} was expected, and another is there.")
    if value.get("source", seal.source) != seal.source:
        raise _Broken("lines", sequence, offset, "A record is of another source.")
    found: Mapping[str, Json] = value
    return found


def _meet(head: ChainHead, offset: int, trust: Trust, result: SourceResult) -> None:
    """Check a head known from outside, when the chain comes to it."""
    known = trust.heads.get(head.sequence)
    if known is None:
        return
    if not same_hash(known, head.hash):
        raise _Broken("lines", head.sequence, offset, "The chain is another one than the known head is of.")
    result.heads_met.add(head.sequence)


def _bodies(seal: Seal, segment: StoredSegment) -> Iterator[Frame]:
    """The frames of the Segment's bodies file, which is there exactly when the Seal names one."""
    if not seal.bodies_sha256:
        if segment.bodies is not None:
            raise _Broken("bodies", seal.first_seq, 0, "A bodies file is stored that was not sealed.")
        return iter(())
    if segment.bodies is None:
        raise _Broken("bodies", seal.first_seq, 0, "The bodies file is missing.")
    return split_bodies(segment.bodies)


def _end_of_bodies(seal: Seal, segment: StoredSegment, bodies: Iterator[Frame]) -> None:
    """Nothing is left over, and the file is the sealed one: last, since a record's own body names the place better."""
    if extra := _next(bodies, seal.last_seq):
        raise _Broken("bodies", extra.sequence, extra.offset, "A body is stored that no record names.")
    if segment.bodies is not None and not same_hash(hashlib.sha256(segment.bodies).hexdigest(), seal.bodies_sha256):
        raise _Broken("bodies", seal.first_seq, 0, "The bodies file is not the one that was sealed.")


def _next(bodies: Iterator[Frame], sequence: int) -> Frame | None:
    try:
        return next(bodies, None)
    except Malformed as error:
        raise _Broken("bodies", sequence, error.offset, error.happened) from error


def _meet_body(sequence: int, expected: str, bodies: Iterator[Frame]) -> None:
    """The next body in the file must be this record's, byte for byte."""
    frame = _next(bodies, sequence)
    if frame is None:
        raise _Broken("bodies", sequence, 0, "A record's body is missing.")
    if frame.sequence != sequence:
        raise _Broken(
            "bodies",
            sequence,
            frame.offset,
            f"The body of record {sequence} was expected, and record {frame.sequence}'s is there.",
        )
    if not same_hash(sha256(frame.ciphertext), expected):
        raise _Broken("bodies", sequence, frame.offset, "A body is not the one its record names.")
