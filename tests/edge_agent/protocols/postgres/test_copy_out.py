"""Masked COPY TO STDOUT: rows are rewritten whatever pieces they come in, and none is shown without a description."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.mask.copied import CopyOut, copy_out
from edge_agent.protocols.postgres import encode
from edge_agent.protocols.postgres import server_messages as server
from edge_agent.protocols.postgres.copy_out import CopyResult
from edge_agent.protocols.postgres.masking import Unmaskable
from tests.edge_agent.protocols.postgres.test_masking import DESCRIPTION, OWED

COPY_DATA = ord("d")
BEGINS = b"H\0\0\0\x09\0\0\1\0\0"
FORMS = ["", " WITH (HEADER)", " WITH (FORMAT csv)", " WITH (FORMAT csv, HEADER)"]


def asked(options: str) -> CopyOut:
    found = copy_out(f"COPY people (email) TO STDOUT{options}".encode())
    assert found is not None
    return found


def described(options: str) -> CopyResult:
    result = CopyResult(OWED, asked(options))
    assert result.take(server.ROW_DESCRIPTION, DESCRIPTION, 0, len(DESCRIPTION)) == b""
    assert result.take(server.COPY_OUT, BEGINS, 0, len(BEGINS)) == BEGINS
    return result


@given(
    st.sampled_from(FORMS), st.lists(st.text("abcö0123", max_size=30), max_size=8),
    st.lists(st.integers(0, 400), max_size=8),
)  # fmt: skip
def test_any_pieces_give_the_same_rows(options: str, names: list[str], cuts: list[int]) -> None:
    head = [encode.copy_data(b"email\n")] if "HEADER" in options else []
    rows = b"".join([*head, *(encode.copy_data(f"x{name}@example.com\n".encode()) for name in names)])
    whole = described(options).take(COPY_DATA, rows, 0, len(rows))
    result, at, pieces = described(options), 0, b""
    for cut in [*sorted(cut for cut in cuts if cut <= len(rows)), len(rows)]:
        pieces += result.take(COPY_DATA, rows, at, cut)
        at = cut
    assert pieces == whole
    assert whole.count(b"x***@example.com") == len(names)
    assert whole.startswith(b"".join(head))


@pytest.mark.parametrize("row", [b"a\tb\n", b"a", b""])
def test_a_row_that_does_not_fit_ends_the_session_and_shows_nothing(row: bytes) -> None:
    data = encode.copy_data(b"fits@example.com\n") + encode.copy_data(row)
    with pytest.raises(Unmaskable):
        described("").take(COPY_DATA, data, 0, len(data))


def test_without_a_description_nothing_is_shown() -> None:
    data = encode.copy_data(b"a\n")
    with pytest.raises(Unmaskable):
        CopyResult(OWED, asked("")).take(COPY_DATA, data, 0, len(data))
    with pytest.raises(Unmaskable):
        CopyResult(OWED, asked("")).take(server.COPY_OUT, BEGINS, 0, len(BEGINS))
