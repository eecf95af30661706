"""What is encoded is read back; any other bytes are refused; nothing may trail."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.protocols.postgres import encode, messages
from edge_agent.protocols.postgres import server_messages as server
from edge_agent.protocols.postgres.messages import (
    Bind,
    CancelRequest,
    Describe,
    Execute,
    GSSENCRequest,
    Parse,
    SSLRequest,
    StartupMessage,
    read_first,
)
from twokeys.errors import InvalidInput

Reader = Callable[[bytes, int, int], Any]

NAMES = st.binary(max_size=12).map(lambda name: name.replace(b"\0", b"_"))
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
READERS: dict[str, Reader] = {
    name: reader
    for module in (messages, server)
    for name, reader in vars(module).items()
    if name.startswith("read_") and name != "read_first" and reader.__module__ == module.__name__
}


def read(reader: Reader, packet: bytes) -> Any:
    """Read it among other bytes: a decoder that looks past its end is found out."""
    return reader(b"Q\0\0" + packet + b"\0\0\0\0", 3, 3 + len(packet))


@given(name=NAMES, sql=NAMES, types=st.lists(st.integers(0, 2**32 - 1), max_size=4))
def test_parse_is_read_as_written(name: bytes, sql: bytes, types: list[int]) -> None:
    assert read(messages.read_parse, encode.parse(name, sql, types)) == Parse(name, sql, tuple(types))


@given(
    portal=NAMES,
    statement=NAMES,
    values=st.lists(st.none() | st.binary(max_size=9), max_size=4),
    formats=st.lists(st.integers(0, 1), max_size=1),
    results=st.lists(st.integers(0, 1), max_size=4),
)
def test_bind_is_read_as_written(
    portal: bytes, statement: bytes, values: list[bytes | None], formats: list[int], results: list[int]
) -> None:
    packet = encode.bind(portal, statement, values, formats, results)
    assert read(messages.read_bind, packet) == Bind(portal, statement, tuple(formats), tuple(values), tuple(results))


def test_small_messages_are_read_as_written() -> None:
    assert read(messages.read_query, encode.query(b"select 1")) == b"select 1"
    assert read(messages.read_describe, encode.describe(b"S", b"a")) == Describe(b"S", b"a")
    assert read(messages.read_describe, encode.close(b"P", b"")) == Describe(b"P", b"")
    assert read(messages.read_execute, encode.execute(b"p", 7)) == Execute(b"p", 7)
    read(messages.read_empty, encode.SYNC_MESSAGE)


def test_server_messages_are_read_as_written() -> None:
    assert read(server.read_authentication, encode.authentication_sasl(["A"])).rest == b"A\0\0"
    status = read(server.read_parameter_status, encode.parameter_status("a", "b"))
    assert (status.name, status.value) == (b"a", b"b")
    key = read(server.read_backend_key, encode.backend_key_data(7, b"k" * 32))
    assert (key.pid, key.key) == (7, b"k" * 32)
    assert read(server.read_ready, encode.ready_for_query(ord("T"))) == ord("T")
    assert read(server.read_command_complete, encode.command_complete(b"UPDATE 3")) == b"UPDATE 3"
    assert read(server.read_negotiate, encode.negotiate_protocol_version(2, ["_pq_.x"])) == (2, (b"_pq_.x",))
    fields = read(server.read_fields, encode.error_response("42501", "no", detail="d", hint="h"))
    assert fields == {"S": b"ERROR", "V": b"ERROR", "C": b"42501", "M": b"no", "D": b"d", "H": b"h"}
    described = encode.message(b"t", struct.pack("!HII", 2, 23, 25))
    assert read(server.read_parameter_description, described) == (23, 25)
    columns = encode.message(b"T", struct.pack("!H", 1) + b"id\0" + struct.pack("!IhIhiH", 9, 1, 23, 4, -1, 1))
    assert read(server.read_row_description, columns) == (server.Column(b"id", 9, 1, 23, 4, -1, 1),)
    row = encode.message(b"D", struct.pack("!Hi", 2, -1) + struct.pack("!i", 2) + b"ab")
    assert read(server.read_data_row, row) == (None, b"ab")


@pytest.mark.parametrize(
    ("tag", "rows"),
    [
        (b"UPDATE 3", 3),
        (b"INSERT 0 12", 12),
        (b"BEGIN", None),
        (b"CREATE TABLE", None),
        (b"", None),
        (b"X -1", None),
        (b"X " + b"9" * 21, None),
    ],
)
def test_rows_come_from_the_tag(tag: bytes, rows: int | None) -> None:
    assert server.rows_of_tag(tag) == rows


SAMPLES = {
    "read_query": encode.query(b"select 1"),
    "read_parse": encode.parse(b"a", b"b", (1, 2)),
    "read_bind": encode.bind(b"p", b"s", (b"x", None), (0, 1), (1,)),
    "read_describe": encode.describe(b"S", b"a"),
    "read_execute": encode.execute(b"p"),
    "read_empty": encode.SYNC_MESSAGE,
    "read_parameter_status": encode.parameter_status("a", "b"),
    "read_ready": encode.ready_for_query(ord("I")),
    "read_command_complete": encode.command_complete(b"BEGIN"),
    "read_fields": encode.error_response("42501", "no"),
    "read_negotiate": encode.negotiate_protocol_version(0, ["_pq_.a"]),
    "read_parameter_description": encode.message(b"t", struct.pack("!HII", 2, 23, 25)),
    "read_row_description": encode.message(b"T", struct.pack("!H", 1) + b"i\0" + bytes(18)),
    "read_data_row": encode.message(b"D", struct.pack("!Hi", 2, -1) + struct.pack("!i", 2) + b"ab"),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_w1_nothing_may_trail_or_lack(name: str) -> None:
    packet, reader = SAMPLES[name], READERS[name]
    read(reader, packet)
    with pytest.raises(InvalidInput):
        read(reader, packet + b"\0")
    with pytest.raises(InvalidInput):
        read(reader, packet + b"x\0")
    for lacking in range(1, len(packet) - 4):
        with pytest.raises(InvalidInput):
            read(reader, packet[:-lacking])


@given(name=st.sampled_from(sorted(READERS)), body=st.binary(max_size=60))
def test_any_body_is_a_value_or_invalid_input(name: str, body: bytes) -> None:
    try:
        read(READERS[name], encode.message(b"Q", body))
        READERS[name](encode.message(b"Q", body), 0, len(body) + 5)
    except InvalidInput as error:
        assert error.code == "malformed_message"


@given(name=st.sampled_from(sorted(SAMPLES)), at=st.integers(5, 80), byte=st.integers(0, 255))
def test_a_changed_byte_is_a_value_or_invalid_input(name: str, at: int, byte: int) -> None:
    packet = bytearray(SAMPLES[name])
    if at < len(packet):
        packet[at] = byte
    try:
        READERS[name](bytes(packet), 0, len(packet))
    except InvalidInput as error:
        assert error.code == "malformed_message"


@pytest.mark.parametrize(
    "packet",
    [
        encode.bind(b"", b"", (b"a", b"b", b"c"), (0, 1)),
        encode.bind(b"", b"", (), (2,)),
        encode.message(b"B", b"\0\0" + struct.pack("!HHi", 0, 1, -2) + bytes(2)),
        encode.message(b"B", b"\0\0" + struct.pack("!HHi", 0, 1, 2**31 - 1) + bytes(2)),
        encode.message(b"B", b"\0\0" + struct.pack("!HH", 0, 65535) + bytes(200)),
    ],
)
def test_w1_a_bind_with_false_counts_is_refused(packet: bytes) -> None:
    with pytest.raises(InvalidInput):
        read(messages.read_bind, packet)


def test_w4_a_negative_row_limit_is_refused() -> None:
    with pytest.raises(InvalidInput):
        read(messages.read_execute, encode.execute(b"", -1))


def test_p8_a_nul_ends_no_text_early() -> None:
    with pytest.raises(InvalidInput):
        read(messages.read_query, encode.message(b"Q", b"select 1;\0 delete from t\0"))
    with pytest.raises(InvalidInput):
        encode.query(b"select 1\0")
    fields = read(server.read_fields, encode.error_response("42501", "a\0b"))
    assert fields["M"].decode() == "a\N{REPLACEMENT CHARACTER}b"


def test_a_long_reason_is_cut_between_characters() -> None:
    shown = read(server.read_fields, encode.error_response("42501", "é" * 9000))["M"]
    assert len(shown) <= encode.MAX_ERROR_TEXT_BYTES
    assert set(shown.decode()) == {"é"}


@given(parameters=st.dictionaries(TEXTS.filter(bool), TEXTS, max_size=4), minor=st.integers(0, 3))
def test_startup_is_read_as_written(parameters: dict[str, str], minor: int) -> None:
    packet = encode.startup_message(parameters, messages.PROTOCOL_3_0 | minor)
    assert read_first(packet) == StartupMessage(3, minor, parameters)


def test_the_other_first_packets_are_read() -> None:
    assert read_first(encode.SSL_REQUEST_PACKET) == SSLRequest()
    assert read_first(struct.pack("!II", 8, messages.GSSENC_REQUEST)) == GSSENCRequest()
    for size in (4, 32, 256):
        assert read_first(encode.cancel_request(7, b"k" * size)) == CancelRequest(7, b"k" * size)
    assert read_first(struct.pack("!II", 10, 2 << 16) + b"xy") == StartupMessage(2, 0, {})


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        struct.pack("!I", 4),
        struct.pack("!II", 9, messages.SSL_REQUEST) + b"\0",
        struct.pack("!II", 9, messages.GSSENC_REQUEST) + b"\0",
        encode.cancel_request(7, b"abc"),
        encode.cancel_request(7, b"k" * 257),
        struct.pack("!II", 8, messages.PROTOCOL_3_0),
        struct.pack("!II", 14, messages.PROTOCOL_3_0) + b"user\0\0",
        struct.pack("!II", 13, messages.PROTOCOL_3_0) + b"a\0b\0c",
        struct.pack("!II", 12, messages.PROTOCOL_3_0) + b"\0a\0\0",
        struct.pack("!II", 17, messages.PROTOCOL_3_0) + b"a\0b\0a\0c\0\0",
        struct.pack("!II", 13, messages.PROTOCOL_3_0) + b"a\0\xff\0\0",
        struct.pack("!II", 14, messages.PROTOCOL_3_0) + b"a\0b\0\0x",
    ],
)
def test_w1_a_malformed_start_is_refused(packet: bytes) -> None:
    with pytest.raises(InvalidInput):
        read_first(packet)


@given(
    body=st.binary(max_size=60),
    code=st.sampled_from(
        [messages.PROTOCOL_3_0, messages.PROTOCOL_3_2, messages.SSL_REQUEST, messages.CANCEL_REQUEST, 2 << 16, 0]
    ),
)
def test_any_first_packet_is_a_value_or_invalid_input(body: bytes, code: int) -> None:
    try:
        read_first(struct.pack("!II", 8 + len(body), code) + body)
    except InvalidInput as error:
        assert error.code == "malformed_message"
