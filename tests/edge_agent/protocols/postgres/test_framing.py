"""Whatever the split, the messages are the same; an illegal header is refused before its body comes."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.protocols.postgres import encode
from edge_agent.protocols.postgres.framing import Splitter
from edge_agent.protocols.postgres.limits import WireLimits
from twokeys.errors import InvalidInput

LIMITS = WireLimits(query=2000, server_row=3000)
STREAM = [
    encode.query(b"select 1"),
    encode.parse(b"a", b"select $1", (23,)),
    encode.SYNC_MESSAGE,
    encode.bind(b"", b"a", (b"x" * 700, None)),
    encode.execute(b""),
    encode.SYNC_MESSAGE,
]


def cut(splitter: Splitter, chunks: list[bytes]) -> list[bytes]:
    return [splitter.buffer[start:end] for chunk in chunks for _, start, end in splitter.feed(chunk)]


def header(kind: bytes, length: int) -> bytes:
    return kind + struct.pack("!I", length & 0xFFFFFFFF)


def test_messages_are_found_when_split_at_every_byte() -> None:
    whole = b"".join(STREAM)
    for at in range(len(whole) + 1):
        assert cut(Splitter(LIMITS.client_table), [whole[:at], whole[at:]]) == STREAM


def test_messages_are_found_byte_by_byte() -> None:
    splitter = Splitter(LIMITS.client_table)
    assert cut(splitter, [bytes((byte,)) for byte in b"".join(STREAM)]) == STREAM
    assert splitter.pending == 0


def test_bodies_are_not_copied_when_a_chunk_is_whole() -> None:
    splitter, chunk = Splitter(LIMITS.client_table), b"".join(STREAM)
    splitter.feed(chunk)
    assert splitter.buffer is chunk


@pytest.mark.parametrize(
    ("length", "code"),
    [
        (0, "bad_length"),
        (3, "bad_length"),
        (2001, "too_large"),
        (-1, "too_large"),
        (-(2**31), "too_large"),
        (2**31, "too_large"),
        (2**32 - 1, "too_large"),
    ],
)
def test_w1_a_false_length_is_refused_before_its_body(length: int, code: str) -> None:
    for at in range(6):
        splitter, packet = Splitter(LIMITS.client_table), header(b"Q", length)
        with pytest.raises(InvalidInput) as caught:
            splitter.feed(packet[:at])
            splitter.feed(packet[at:])
        assert caught.value.code == code
        assert splitter.pending == 0


def test_w1_nothing_is_reported_after_a_refusal() -> None:
    splitter = Splitter(LIMITS.client_table)
    with pytest.raises(InvalidInput):
        splitter.feed(encode.SYNC_MESSAGE + header(b"Q", 1))
    with pytest.raises(InvalidInput):
        splitter.feed(encode.SYNC_MESSAGE)


@pytest.mark.parametrize("kind", [b"p", b"\x16", b"\0", b"Z", b"R", b"\xff"])
def test_w2_a_type_that_a_signed_in_client_has_not_is_refused(kind: bytes) -> None:
    with pytest.raises(InvalidInput) as caught:
        Splitter(LIMITS.client_table).feed(header(kind, 4))
    assert caught.value.code == "unknown_message"


def test_the_limit_is_the_last_legal_length() -> None:
    assert Splitter(LIMITS.client_table).feed(header(b"Q", 2000) + bytes(1996)) == [(ord("Q"), 0, 2001)]


def test_a_limit_out_of_range_is_refused() -> None:
    with pytest.raises(InvalidInput):
        WireLimits(query=7)
    with pytest.raises(InvalidInput):
        WireLimits(bind=2**30)


ROWS = st.lists(
    st.one_of(
        st.binary(max_size=40).map(lambda body: encode.message(b"D", body)),
        st.binary(max_size=40).map(lambda body: encode.message(b"d", body)),
        st.just(encode.ready_for_query(ord("I"))),
        st.just(encode.command_complete(b"SELECT 1")),
    ),
    max_size=12,
)


@given(messages=ROWS, sizes=st.lists(st.integers(0, 30), max_size=20))
def test_streamed_spans_lose_and_mix_nothing(messages: list[bytes], sizes: list[int]) -> None:
    """Streaming: the spans join to the stream; what isn't streamed is whole and in its place; nothing is kept."""
    stream, chunks, at = b"".join(messages), [], 0
    for size in sizes:
        chunks.append(stream[at : at + size])
        at += size
    chunks.append(stream[at:])
    splitter, seen = Splitter(LIMITS.server_table, streamed=b"Dd"), list[tuple[int, bytes]]()
    for chunk in chunks:
        for kind, start, end in splitter.feed(chunk):
            assert start < end
            seen.append((kind, splitter.buffer[start:end]))
        assert splitter.pending < 20
    assert b"".join(part for _, part in seen) == stream
    assert [part for kind, part in seen if kind in b"ZC"] == [part for part in messages if part[0] in b"ZC"]
    for streamed in b"Dd":
        assert b"".join(part for kind, part in seen if kind == streamed) == b"".join(
            part for part in messages if part[0] == streamed
        )
    assert not splitter.mid_message


def test_a_row_in_parts_is_reported_at_once_and_says_so() -> None:
    splitter, row = Splitter(LIMITS.server_table, streamed=b"Dd"), encode.message(b"D", bytes(100))
    assert splitter.feed(row[:20]) == [(ord("D"), 0, 20)]
    assert splitter.mid_message
    assert splitter.feed(row[20:] + encode.ready_for_query(ord("T"))) == [(ord("D"), 0, 85), (ord("Z"), 85, 91)]
    assert not splitter.mid_message


def test_neighbouring_rows_are_one_span() -> None:
    rows = encode.message(b"D", bytes(10)) * 5
    assert Splitter(LIMITS.server_table, streamed=b"Dd").feed(rows) == [(ord("D"), 0, len(rows))]


@given(chunks=st.lists(st.binary(max_size=30), max_size=10))
def test_any_bytes_are_messages_or_the_one_protocol_error(chunks: list[bytes]) -> None:
    for splitter in (Splitter(LIMITS.client_table), Splitter(LIMITS.server_table, streamed=b"Dd")):
        try:
            for chunk in chunks:
                splitter.feed(chunk)
        except InvalidInput:
            assert splitter.pending == 0
