"""Whatever is changed, dropped, added or swapped in a recording is found, and said where."""

from __future__ import annotations

import dataclasses
import gzip
import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.twokeys.recording import KEY, TRUST, Recording, public, sample, seal_file
from twokeys.record import ChainHead
from twokeys.segment_files import pack_body, pack_lines
from twokeys.signature import KeyRole
from twokeys.verify_chain import Flaw, SourceResult, StoredSegment, Trust, verify_source

Segments = list[StoredSegment]


def verified(segments: Segments, trust: Trust = TRUST, source: str = "edge-1") -> SourceResult:
    return verify_source(source, segments, trust)


def flaw(segments: Segments, trust: Trust = TRUST, source: str = "edge-1") -> Flaw:
    found = verified(segments, trust, source).flaw
    assert found is not None
    return found


def change(segments: Segments, at: int, **changed: Any) -> Segments:
    return [*segments[:at], dataclasses.replace(segments[at], **changed), *segments[at + 1 :]]


def relined(segments: Segments, at: int, edit: Callable[[bytes], bytes]) -> Segments:
    data = segments[at].lines
    assert data is not None
    return change(segments, at, lines=pack_lines(edit(gzip.decompress(data))))


def resealed(segments: Segments, at: int, **fields: Any) -> Segments:
    """Change a seal's fields and sign again with the true key."""
    seal = json.loads(segments[at].seal or b"")["seal"]
    return change(segments, at, seal=seal_file({**seal, **fields}))


def test_an_untouched_recording_is_whole() -> None:
    recording = sample()
    result = verified(recording.segments)
    assert result.whole, result.flaw
    assert (result.segments, result.records, result.bodies, result.head) == (3, 9, 6, recording.head)
    assert verified([]).whole


def test_a_copy_without_bodies_can_be_verified_when_asked_for() -> None:
    bare = [dataclasses.replace(one, bodies=None) for one in sample().segments]
    assert flaw(bare).part == "bodies"
    assert verified(bare, dataclasses.replace(TRUST, with_bodies=False)).whole


def test_every_changed_byte_of_the_records_is_found_in_its_segment() -> None:
    segments = sample().segments
    data = gzip.decompress(segments[1].lines or b"")
    for at in range(len(data)):
        edited = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        found = flaw(change(segments, 1, lines=pack_lines(edited)))
        assert (found.segment, found.part) in {(segments[1].name, "lines"), (segments[1].name, "bodies")}
        assert 4 <= found.sequence <= 6
        assert found.offset <= at


def test_every_changed_byte_of_the_stored_files_is_found_or_changes_no_record() -> None:
    segments = sample().segments
    for part in ("lines", "bodies", "seal"):
        data = bytes(getattr(segments[1], part))
        for at in range(len(data)):
            for bit in (0x01, 0x80):
                edited = data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :]
                result = verified(change(segments, 1, **{part: edited}))
                if result.whole:
                    # Two advisory bytes of gzip's header, and the bits that pad deflate's last byte.
                    assert part == "lines"
                    assert gzip.decompress(edited) == gzip.decompress(data)
                else:
                    assert result.flaw is not None
                    assert result.flaw.segment == segments[1].name


def test_the_place_is_told_where_a_line_betrays_it() -> None:
    segments = sample().segments
    second = gzip.decompress(segments[1].lines or b"").index(b"\n") + 1
    found = flaw(relined(segments, 1, lambda data: data.replace(b'"seq":5', b'"seq":6')))
    assert (found.sequence, found.offset, found.part) == (5, second, "lines")
    found = flaw(relined(segments, 1, lambda data: data.replace(b'"rows":1,', b'"rows": 1,')))
    assert (found.sequence, found.offset) == (5, second)
    assert "canonical" in str(found)
    assert "record 5, byte" in str(found)


@pytest.mark.parametrize("drop", [0, 1])
def test_a_missing_segment_is_found(drop: int) -> None:
    segments = sample().segments
    found = flaw(segments[:drop] + segments[drop + 1 :])
    assert f"Records {drop * 3 + 1} to {drop * 3 + 3} are missing" in found.what


def test_a11_a_missing_end_is_found_when_a_later_head_is_known() -> None:
    recording = sample()
    assert verified(recording.segments[:-1]).whole, "nothing inside tells that there was more"
    known = dataclasses.replace(TRUST, heads={9: recording.head.hash})
    assert verified(recording.segments, known).heads_met == {9}
    found = flaw(recording.segments[:-1], known)
    assert "end is missing" in found.what
    assert found.sequence == 7
    assert flaw([], known).sequence == 1


def test_a_known_head_in_the_middle_of_a_segment_is_checked() -> None:
    segments = sample().segments
    found = flaw(segments, dataclasses.replace(TRUST, heads={5: "0" * 64}))
    assert (found.sequence, found.segment) == (5, segments[1].name)


def test_dropped_doubled_and_swapped_records_are_found() -> None:
    def lines(edit: Callable[[list[bytes]], list[bytes]]) -> Segments:
        return relined(sample().segments, 1, lambda data: b"".join(edit(data.splitlines(keepends=True))))

    assert flaw(lines(lambda one: one[:-1])).sequence == 6
    assert flaw(lines(lambda one: [one[0], one[2]])).sequence == 5
    assert flaw(lines(lambda one: [*one, one[2]])).sequence == 7
    assert flaw(lines(lambda one: [one[1], one[0], one[2]])).sequence == 4
    assert "Records 4 to 6 are missing" in flaw(lines(lambda one: [])).what
    assert "no end" in flaw(relined(sample().segments, 1, lambda data: data[:-1])).what


def test_segments_and_seals_of_another_chain_do_not_fit() -> None:
    segments, other = sample().segments, Recording()
    for _ in range(3):
        other.add([({"type": "gap"}, b"")] * 3)
    assert "does not continue" in flaw([segments[0], other.segments[1], segments[2]]).what
    assert flaw(change(segments, 1, lines=other.segments[1].lines)).part in {"lines", "bodies"}
    assert "under another name" in flaw(sample("edge-2").segments).what
    assert "under another name" in flaw([segments[0], dataclasses.replace(segments[2], name=segments[1].name)]).what
    assert "sealed twice" in flaw([segments[0], segments[0]]).what


@pytest.mark.parametrize(
    "fields",
    [
        {"last_hash": "0" * 64},
        {"lines_sha256": "0" * 64},
        {"bodies_sha256": "0" * 64},
        {"previous_hash": "0" * 64},
        {"last_seq": 7},
        {"last_seq": 5},
    ],
    ids=str,
)
def test_a_seal_that_was_signed_over_something_else_is_found(fields: dict[str, Any]) -> None:
    assert flaw(resealed(sample().segments, 1, **fields)).segment == "edge-1-000000000004"


def test_only_a_pinned_seal_key_seals() -> None:
    segments = sample().segments
    seal = json.loads(segments[0].seal or b"")["seal"]
    stranger = ec.generate_private_key(ec.SECP256R1())
    assert "no key trusted" in flaw(change(segments, 0, seal=seal_file(seal, stranger))).what
    wrong_role = public(KEY, KeyRole.APPROVAL)
    assert "no key trusted" in flaw(segments, Trust({wrong_role.key_id: wrong_role})).what
    assert "no key trusted" in flaw(segments, Trust({})).what
    assert "does not hold" in flaw(change(segments, 0, seal=(segments[0].seal or b"").replace(b"12:00", b"13:00"))).what


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"\xff",
        b"[" * 10_000,
        b'{"seal":{},"key_id":"a","signature":"AA=="}',
        b"x" * 20_000,
        b'{"seal":1,"key_id":"a","signature":"AA=="}',
        b'{"seal":{},"seal":{},"key_id":"a","signature":"AA=="}',
    ],
)
def test_a_malformed_seal_file_is_a_flaw_and_no_crash(data: bytes) -> None:
    assert flaw(change(sample().segments, 1, seal=data)).part == "seal"


@pytest.mark.parametrize("part", ["seal", "lines", "bodies"])
def test_a_missing_file_is_found(part: str) -> None:
    found = flaw(change(sample().segments, 1, **{part: None}))
    assert (found.part, found.sequence) == (part, 4)


def test_bodies_are_the_ones_the_records_name() -> None:
    segments = sample().segments
    first, second = pack_body(4, b"cipher-1"), pack_body(6, b"x" * 40)
    assert segments[1].bodies == first + second
    for bodies, sequence in (
        (first, 6),
        (second, 4),
        (first + pack_body(6, b"y" * 40), 6),
        (first + pack_body(5, b"z") + second, 6),
        (first + second + pack_body(7, b"z"), 7),
    ):
        found = flaw(change(segments, 1, bodies=bodies))
        assert (found.part, found.sequence) == ("bodies", sequence)
    bare = Recording()
    bare.add([({"type": "gap"}, b"")])
    assert "not sealed" in flaw(change(bare.segments, 0, bodies=first)).what


def test_a_segment_moved_to_another_day_is_found() -> None:
    assert "lies under 2026-11-21" in flaw(change(sample().segments, 2, day="2026-11-21")).what


def test_a_record_of_another_source_is_found() -> None:
    recording = Recording()
    recording.add([({"type": "gap", "source": "edge-2"}, b"")])
    assert "another source" in flaw(recording.segments).what


@pytest.mark.parametrize(
    "text",
    [
        b"{",
        b"[]",
        b"1",
        b'{"seq":1.0}',
        b'{"seq":true}',
        b'{"seq":NaN}',
        b"\xff",
        b"",
        b'{"seq":' + b"9" * 5000 + b"}",
        b"[" * 60_000,
    ],
)
def test_a_malformed_record_is_a_flaw_and_no_crash(text: bytes) -> None:
    found = flaw(relined(sample().segments, 0, lambda data: text + b"\n" + data))
    assert (found.part, found.sequence, found.offset) == ("lines", 1, 0)


def test_the_result_says_how_far_it_held() -> None:
    recording = Recording()
    recording.add([({"type": "gap"}, b"")])
    head = recording.head
    recording.add([({"type": "gap"}, b"")])
    result = verified(change(recording.segments, 1, seal=None))
    assert (result.head, result.whole) == (head, False)
    assert result.head == ChainHead(1, head.hash)
