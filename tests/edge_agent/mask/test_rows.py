"""DataRows are rewritten value by value, and what is no row of the result is never shown."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.mask.rows import CALL, NULL, SHOW, UnreadableRow, mask_rows

Row = list[bytes | None]


def data_row(values: Row) -> bytes:
    body = struct.pack("!H", len(values))
    for value in values:
        body += struct.pack("!i", -1) if value is None else struct.pack("!i", len(value)) + value
    return b"D" + struct.pack("!I", len(body) + 4) + body


rows = st.integers(1, 6).flatmap(
    lambda width: st.tuples(
        st.lists(st.sampled_from((SHOW, NULL, CALL)), min_size=width, max_size=width),
        st.lists(st.lists(st.none() | st.binary(max_size=40), min_size=width, max_size=width), max_size=5),
    )
)


@given(rows)
def test_only_masked_values_change(case: tuple[list[int], list[Row]]) -> None:
    ways, given_rows = case
    expected = [
        [
            value if value is None or way == SHOW else None if way == NULL else b"%d:" % column + value[:1]
            for column, (way, value) in enumerate(zip(ways, row, strict=True))
        ]
        for row in given_rows
    ]
    done = mask_rows(
        b"".join(map(data_row, given_rows)), bytes(ways), lambda column, value: b"%d:" % column + value[:1]
    )
    assert done == b"".join(map(data_row, expected))


@pytest.mark.parametrize(
    "data",
    [
        data_row([b"a", b"b"]),
        data_row([b"a"])[:-1],
        data_row([b"a"]) + b"D",
        b"C" + data_row([b"a"])[1:],
        b"D\0\0\0\x0b\0\1\0\0\0\2a",
        b"D\0\0\0\x0c\0\1\0\0\0\1ab",
    ],
)
def test_a_row_that_does_not_fit_shows_nothing(data: bytes) -> None:
    with pytest.raises(UnreadableRow):
        mask_rows(data, bytes((SHOW,)), lambda _, value: value)
