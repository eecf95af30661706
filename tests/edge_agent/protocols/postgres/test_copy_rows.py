"""Rows of copied data are counted as the server counts them, however the data are split."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.classify.copy_from import CopyFrom
from edge_agent.protocols.postgres.copy_rows import RowCounter
from twokeys.copy_data import CopyFormat

TEXT = CopyFrom("", "orders", (), CopyFormat.TEXT)
CSV = CopyFrom("", "orders", (), CopyFormat.CSV)


def rows(copy: CopyFrom, *chunks: bytes) -> int | None:
    counter = RowCounter(copy)
    for chunk in chunks:
        counter.feed(chunk)
    return counter.rows


@pytest.mark.parametrize(
    ("data", "count"),
    [
        (b"", 0),
        (b"\n", 1),
        (b"1\tx\n2\ty\n", 2),
        (b"1\tx\n2\ty", 2),
        (b"1\tx\r\n2\ty\r\n", 2),
        (b"1\tx\n\\.\n", 1),
        (b"1\tx\n\\.", 1),
        (b"1\tx\\.\n", 1),
        (b"\\.\n", 0),
        (b"1\ta\\\nb\n2\tc\n", 2),
        (b"1\ta\\\\\n2\tc\n", 2),
        (b"1\rb\r", None),
    ],
)
def test_text_in_any_split(data: bytes, count: int | None) -> None:
    assert rows(TEXT, data) == count
    assert rows(TEXT, *(data[at : at + 1] for at in range(len(data)))) == count
    for at in range(len(data)):
        assert rows(TEXT, data[:at], data[at:]) == count


@given(
    st.lists(st.lists(st.text(alphabet='a",\n', max_size=4), min_size=2, max_size=3), max_size=6),
    st.integers(1, 5),
    st.booleans(),
)
def test_csv_as_a_reader_counts_it(table: list[list[str]], step: int, header: bool) -> None:
    file = io.StringIO(newline="")
    csv.writer(file, lineterminator="\n").writerows(table)
    data = file.getvalue().encode()
    copy = CopyFrom("", "orders", (), CopyFormat.CSV, header=header)
    chunks = [data[at : at + step] for at in range(0, len(data), step)]
    assert rows(copy, *chunks) == max(0, len(table) - header)


def test_what_can_not_be_counted_is_not() -> None:
    assert rows(CopyFrom("", "orders", (), CopyFormat.BINARY), b"PGCOPY\n") is None
    assert rows(CopyFrom("", "orders", (), CopyFormat.CSV, plain_quotes=False), b"1\n") is None
