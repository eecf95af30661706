"""A Segment's files have one spelling, and a small file never becomes a large one."""

from __future__ import annotations

import gzip
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twokeys.errors import InvalidInput
from twokeys.record import MAX_LINE_BYTES
from twokeys.segment_files import (
    MAX_BODY_BYTES,
    Malformed,
    pack_body,
    pack_lines,
    split_bodies,
    split_lines,
    unpack_lines,
)


@given(st.lists(st.binary(max_size=200).filter(lambda one: b"\n" not in one), max_size=20))
def test_lines_read_back_with_their_offsets(lines: list[bytes]) -> None:
    data = b"".join(one + b"\n" for one in lines)
    found = list(split_lines(unpack_lines(pack_lines(data))))
    assert [one for _, one in found] == lines
    assert all(data[offset : offset + len(one) + 1] == one + b"\n" for offset, one in found)
    assert gzip.decompress(pack_lines(data)) == data


def test_a_large_file_reads_in_pieces() -> None:
    data = b"".join(b"%d %s\n" % (number, b"ab" * (number % 300)) for number in range(5000))
    assert b"".join(unpack_lines(pack_lines(data))) == data
    assert max(map(len, unpack_lines(pack_lines(b"\n" * 10_000_000)))) <= 64 * 1024


def test_a_bomb_is_refused_at_the_limit_and_not_unpacked() -> None:
    bomb = pack_lines(b"\0" * 50_000_000)
    assert len(bomb) < 300_000
    with pytest.raises(Malformed, match="over 1000000 bytes"):
        for _ in unpack_lines(bomb, 1_000_000):
            pass
    with pytest.raises(Malformed, match="line is over"):
        for _ in split_lines(unpack_lines(bomb)):
            pass


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x1f\x8b",
        b"plain\n",
        gzip.compress(b"a\n", mtime=1),
        pack_lines(b"a\n") + b"x",
        pack_lines(b"a\n") * 2,
        pack_lines(b"a\n")[:-1],
        pack_lines(b"a\n" * 100)[:-20],
        pack_lines(b"a\n")[:10] + b"\xff" * 10,
        pack_lines(b"a\n")[:-8] + bytes(8),
    ],
)
def test_what_is_no_single_plain_member_is_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        list(unpack_lines(data))


def test_a_last_line_without_an_end_and_a_long_line_are_malformed() -> None:
    with pytest.raises(Malformed) as flaw:
        list(split_lines(iter([b"abc\nde"])))
    assert flaw.value.offset == 4
    assert len(list(split_lines(iter([b"x" * MAX_LINE_BYTES, b"\n"])))) == 1
    with pytest.raises(Malformed):
        list(split_lines(iter([b"x" * MAX_LINE_BYTES, b"x\n"])))


@given(st.lists(st.tuples(st.integers(1, 50), st.binary(min_size=1, max_size=50)), unique_by=lambda one: one[0]))
def test_bodies_read_back(bodies: list[tuple[int, bytes]]) -> None:
    bodies.sort()
    data = b"".join(pack_body(*one) for one in bodies)
    assert [(frame.sequence, frame.ciphertext) for frame in split_bodies(data)] == bodies


@given(st.binary(max_size=100))
def test_nothing_but_malformed_escapes(data: bytes) -> None:
    for read in (split_bodies, unpack_lines):
        try:
            for _ in read(data):
                pass
        except Malformed:
            continue


@pytest.mark.parametrize(
    "data",
    [
        b"x",
        pack_body(1, b"ab")[:-1],
        pack_body(2, b"a") + pack_body(1, b"a"),
        pack_body(1, b"a") * 2,
        struct.pack(">QI", 1, 0),
        struct.pack(">QI", 1, MAX_BODY_BYTES + 1),
        pack_body(0, b"a"),
        struct.pack(">QI", 1, 0xFFFFFFFF) + b"a",
    ],
)
def test_w1_a_frame_cut_short_or_out_of_order_is_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        list(split_bodies(data))


def test_an_empty_or_oversize_body_is_not_written() -> None:
    for ciphertext in (b"", b"x" * (MAX_BODY_BYTES + 1)):
        with pytest.raises(InvalidInput):
            pack_body(1, ciphertext)
