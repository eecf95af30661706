"""A binary COPY is a header, rows that are bodies of DataRows, and a trailer: anything else is not shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.mask.copied import UnreadableCopy
from edge_agent.mask.copied_binary import SIGNATURE, TRAILER, BinaryRows
from edge_agent.mask.rows import CALL, SHOW, mask_rows
from edge_agent.protocols.postgres import encode
from tests.edge_agent.mask.test_rows import data_row


def hide(data: bytes) -> bytes:
    return mask_rows(data, bytes((SHOW, CALL)), lambda column, value: b"***")


def body(*values: bytes | None) -> bytes:
    return data_row(list(values))[5:]


def messages(*bodies: bytes) -> bytes:
    return b"".join(map(encode.copy_data, bodies))


@pytest.mark.parametrize("alone", [False, True])
def test_rows_are_masked_where_they_stand(alone: bool) -> None:
    first, shown = body(b"1", b"ann@example.com"), body(b"1", b"***")
    given_ = (SIGNATURE, first) if alone else (SIGNATURE + first,)
    expected = (SIGNATURE, shown) if alone else (SIGNATURE + shown,)
    rows = BinaryRows(hide)
    assert rows.take(messages(*given_)) == messages(*expected)
    assert rows.take(messages(body(b"2", None))) == messages(body(b"2", None))
    assert rows.take(messages(TRAILER)) == messages(TRAILER)
    with pytest.raises(UnreadableCopy):
        rows.take(messages(first))


def test_no_rows_are_a_header_and_a_trailer() -> None:
    assert BinaryRows(hide).take(messages(SIGNATURE + TRAILER)) == messages(SIGNATURE + TRAILER)


@pytest.mark.parametrize(
    "bad",
    [
        body(b"1", b"x"),
        SIGNATURE[:-1] + b"\1",
        SIGNATURE[:-1],
        b"",
        SIGNATURE + body(b"1"),
        SIGNATURE + body(b"1", b"x") + body(b"2", b"y"),
        SIGNATURE + body(b"1", b"x") + TRAILER,
        SIGNATURE + body(b"1", b"x")[:-1],
    ],
)
def test_m3_what_is_no_row_is_not_shown(bad: bytes) -> None:
    with pytest.raises(UnreadableCopy):
        BinaryRows(hide).take(messages(bad))


@given(st.lists(st.binary(max_size=40), max_size=3), st.booleans())
def test_m3_any_bytes_are_masked_or_refused(bodies: list[bytes], headed: bool) -> None:
    rows = BinaryRows(hide)
    for data in (messages(SIGNATURE) if headed else b"", *map(messages, bodies), b"".join(bodies)):
        try:
            rows.take(data)
        except UnreadableCopy:
            return
