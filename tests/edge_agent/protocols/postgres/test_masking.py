"""Masked results: rows are rewritten whatever pieces they come in, and nothing undescribed is ever shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.mask.columns import Columns
from edge_agent.mask.owed import Owed
from edge_agent.protocols.postgres import server_messages as server
from edge_agent.protocols.postgres.masking import MAX_ROW_BYTES, Result, Unmaskable
from tests.edge_agent.mask.test_rows import data_row
from twokeys.data_class import Form

OWED = Owed(Columns(True, {(7, 1): Form.PARTIAL}, newest=9), b"", True, None, None)
DESCRIPTION = b"T\0\0\0\x1e\0\1email\0" + b"\0\0\0\7" + b"\0\1" + b"\0\0\0\x19" + b"\xff\xff" + b"\xff\xff\xff\xff\0\0"


def described() -> Result:
    result = Result(OWED)
    assert result.take(server.ROW_DESCRIPTION, DESCRIPTION, 0, len(DESCRIPTION)) == DESCRIPTION
    return result


@given(st.lists(st.text(max_size=30), max_size=8), st.lists(st.integers(0, 400), max_size=8))
def test_any_pieces_give_the_same_rows(names: list[str], cuts: list[int]) -> None:
    rows = b"".join(data_row([f"{name}@example.com".encode()]) for name in names)
    whole = described().take(server.DATA_ROW, rows, 0, len(rows))
    result, at, pieces = described(), 0, b""
    for cut in [*sorted(cut for cut in cuts if cut <= len(rows)), len(rows)]:
        pieces += result.take(server.DATA_ROW, rows, at, cut)
        at = cut
    assert pieces == whole
    assert whole.count(b"***") == len(names)


@pytest.mark.parametrize("kind", [server.COPY_OUT, *b"dc"])
def test_what_has_no_description_ends_the_session(kind: int) -> None:
    with pytest.raises(Unmaskable):
        described().take(kind, b"d\0\0\0\5x", 0, 6)
    with pytest.raises(Unmaskable):
        Result(OWED).take(server.DATA_ROW, data_row([b"a"]), 0, 12)


def test_a_result_without_rows_forgets_the_one_before() -> None:
    result = described()
    assert result.take(server.NO_DATA, b"n\0\0\0\4", 0, 5) == b""
    with pytest.raises(Unmaskable):
        result.take(server.DATA_ROW, data_row([b"a"]), 0, 12)


def test_a_row_that_is_too_long_to_be_kept_ends_the_session() -> None:
    start = b"D" + (MAX_ROW_BYTES + 1).to_bytes(4, "big") + b"\0\1"
    with pytest.raises(Unmaskable, match="has more than"):
        described().take(server.DATA_ROW, start, 0, len(start))
