"""The compiled twins do what their oracles in Python do, for any bytes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.mask.copied import UnreadableCopy, csv_field, text_field
from edge_agent.mask.copied_rows import mask_copied_purely
from edge_agent.mask.forms import masked
from edge_agent.mask.rows import CALL, NULL, PARTIAL, REDACT, SHOW, UnreadableRow, mask_rows_purely
from edge_agent.protocols.postgres import encode
from edge_agent.protocols.postgres.framing import run_end_purely
from tests.edge_agent.protocols.postgres.script import data_row
from twokeys.data_class import Form

ROOT = Path(__file__).parents[2]


def as_ways_say(ways: bytes) -> Callable[[int, bytes], bytes | None]:
    """The masks of a plan whose ways these are."""

    def mask(column: int, value: bytes) -> bytes | None:
        forms = {PARTIAL: Form.PARTIAL, REDACT: Form.REDACT}
        form = forms.get(ways[column])
        return backwards(column, value) if form is None else masked(form, value, b"")

    return mask


def backwards(column: int, value: bytes) -> bytes | None:
    return None if value.startswith(b"n") else value[::-1] * (column + 1)


def told(work: Callable[[], bytes]) -> bytes | str:
    """What came of it."""
    try:
        return work()
    except (UnreadableRow, UnreadableCopy):
        return "unreadable"


ADDRESSES = st.text("a@ö.x", max_size=14).map(str.encode)
VALUES = st.one_of(st.binary(max_size=12), ADDRESSES, st.just(b"null"), st.binary(min_size=2000, max_size=2001))
WAYS = st.lists(st.sampled_from([SHOW, NULL, CALL, PARTIAL, REDACT]), min_size=0, max_size=4).map(bytes)


@st.composite
def row_bytes(draw: st.DrawFn) -> tuple[bytes, bytes]:
    ways = draw(WAYS)
    rows = draw(st.lists(st.lists(VALUES, min_size=len(ways), max_size=len(ways)), max_size=4))
    data = bytearray(b"".join(data_row(*row) for row in rows))
    for at, value in draw(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=2)):
        if at < len(data):
            data[at] = value
    return bytes(data[: len(data) - draw(st.sampled_from([0, 0, 0, 1, 5]))]), ways


@settings(max_examples=600, deadline=None)
@given(row_bytes())
def test_rows_are_masked_alike(native: ModuleType, case: tuple[bytes, bytes]) -> None:
    data, ways = case
    assert told(lambda: native.mask_rows(data, ways, as_ways_say(ways), UnreadableRow)) == told(
        lambda: mask_rows_purely(data, ways, as_ways_say(ways))
    )


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60), WAYS)
def test_any_bytes_are_masked_alike_or_unreadable(native: ModuleType, data: bytes, ways: bytes) -> None:
    for whole in (data, b"D\0\0\0" + data):
        found = told(partial(native.mask_rows, whole, ways, as_ways_say(ways), UnreadableRow))
        assert found == told(partial(mask_rows_purely, whole, ways, as_ways_say(ways)))


SPELLED = st.one_of(
    ADDRESSES, st.sampled_from([b"", b"\\N", b"***", rb"\*\*\*", b"null", rb"a\tb@c", rb"\\"]),
    st.text("a\\@ö\nNt\b", max_size=12).map(str.encode), st.binary(min_size=2000, max_size=2001),
)  # fmt: skip


@st.composite
def copied_bytes(
    draw: st.DrawFn, values: st.SearchStrategy[bytes] = SPELLED, delimiter: bytes = b"\t"
) -> tuple[bytes, bytes]:
    ways = draw(WAYS)
    rows = draw(st.lists(st.lists(values, min_size=len(ways), max_size=len(ways)), max_size=4))
    data = bytearray(b"".join(encode.copy_data(delimiter.join(row) + b"\n") for row in rows))
    for at, value in draw(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=2)):
        if at < len(data):
            data[at] = value
    return bytes(data[: len(data) - draw(st.sampled_from([0, 0, 0, 1, 5]))]), ways


def as_field_says(ways: bytes) -> Callable[[int, bytes], bytes | None]:
    """The same masks, as COPY asks for them."""
    mask = as_ways_say(ways)
    return lambda column, value: None if ways[column] == NULL else mask(column, value)


@settings(max_examples=1000, deadline=None)
@given(copied_bytes())
def test_copied_rows_are_masked_alike(native: ModuleType, case: tuple[bytes, bytes]) -> None:
    data, ways = case
    field = as_field_says(ways)
    found = told(lambda: native.mask_copied(data, ways, partial(text_field, field), UnreadableCopy))
    assert found == told(lambda: mask_copied_purely(data, ways, field, csv=False))


FIELDS = st.one_of(
    ADDRESSES, SPELLED, st.sampled_from([b"", b'""', b'"***"', b"***", b'"a@b"', b'"n"', b'"a,\n@c"', b'"say ""x"""']),
    st.text('"a@ö,n', max_size=6).map(str.encode).map(lambda text: b'"' + text.replace(b'"', b'""') + b'"'),
)  # fmt: skip


@settings(max_examples=1000, deadline=None)
@given(copied_bytes(FIELDS, b","))
def test_rows_of_csv_are_masked_alike(native: ModuleType, case: tuple[bytes, bytes]) -> None:
    data, ways = case
    field = as_field_says(ways)
    found = told(lambda: native.mask_csv(data, ways, partial(csv_field, field), UnreadableCopy))
    assert found == told(lambda: mask_copied_purely(data, ways, field, csv=True))


@settings(max_examples=400, deadline=None)
@given(st.one_of(st.binary(max_size=60), st.text('a",\n\r@', max_size=14).map(str.encode)), WAYS)
def test_any_bytes_are_copied_alike_or_unreadable(native: ModuleType, data: bytes, ways: bytes) -> None:
    field = as_field_says(ways)
    for whole in (data, b"d\0\0\0" + data, encode.copy_data(data + b"\n"), encode.copy_data(data[:9] + b"\t\n")):
        found = told(partial(native.mask_copied, whole, ways, partial(text_field, field), UnreadableCopy))
        assert found == told(partial(mask_copied_purely, whole, ways, field, csv=False))
        found = told(partial(native.mask_csv, whole, ways, partial(csv_field, field), UnreadableCopy))
        assert found == told(partial(mask_copied_purely, whole, ways, field, csv=True))


@settings(max_examples=600, deadline=None)
@given(row_bytes(), st.integers(0, 60), st.sampled_from(b"DdT"), st.sampled_from([4, 20, 5000, 0x3FFFFFFF]))
def test_runs_end_alike(native: ModuleType, case: tuple[bytes, bytes], at: int, kind: int, most: int) -> None:
    data, _ = case
    at = min(at, len(data))
    assert native.run_end(data, at, kind, most) == run_end_purely(data, at, kind, most)


def test_what_a_mask_raises_comes_through(native: ModuleType) -> None:
    def fails(column: int, value: bytes) -> bytes:
        raise KeyError(column)

    with pytest.raises(KeyError):
        native.mask_rows(data_row(b"a"), bytes((CALL,)), fails, UnreadableRow)
    with pytest.raises(TypeError):
        native.mask_rows(data_row(b"a"), bytes((CALL,)), lambda column, value: "text", UnreadableRow)
    with pytest.raises(KeyError):
        native.mask_copied(encode.copy_data(b"a\n"), bytes((CALL,)), fails, UnreadableCopy)
    with pytest.raises(KeyError):
        native.mask_csv(encode.copy_data(b"a\n"), bytes((CALL,)), fails, UnreadableCopy)


def test_a_message_that_says_it_is_longer_than_memory_is_unreadable(native: ModuleType) -> None:
    for length in (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0", b"\0\0\0\5"):
        with pytest.raises(UnreadableRow):
            native.mask_rows(b"D" + length + b"\0\1\0\0\0\1a", bytes((SHOW,)), backwards, UnreadableRow)
        with pytest.raises(UnreadableCopy):
            native.mask_copied(b"d" + length + b"a\n", bytes((SHOW,)), backwards, UnreadableCopy)
        with pytest.raises(UnreadableCopy):
            native.mask_csv(b"d" + length + b"a\n", bytes((SHOW,)), backwards, UnreadableCopy)
        assert native.run_end(b"D" + length, 0, ord("D"), 0xFFFFFFFF) == 0


def test_without_it_everything_is_pure() -> None:
    code = "from edge_agent.native import compiled; print(compiled)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env={"TWOKEYS_PURE": "1"}, capture_output=True, text=True, check=True
    )
    assert done.stdout == "None\n"
