"""Headers: only columns of the audit schema, and always the canonical spelling."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.recorder.header import OWN_FIELDS, Form, ResultForm, TimeText, check, spell
from twokeys.digest import MAX_INTEGER, canonical
from twokeys.errors import InvalidInput
from twokeys.record import MAX_LINE_BYTES, RecordType
from twokeys.tables import RECORDS, ColumnType

TEXT = st.text(st.characters(codec="utf-8"), max_size=50)
VALUES = {
    ColumnType.TEXT: TEXT,
    ColumnType.INTEGER: st.integers(0, MAX_INTEGER),
    ColumnType.BOOLEAN: st.booleans(),
    ColumnType.TEXT_LIST: st.lists(TEXT, max_size=5),
}
COLUMNS = {column.name: VALUES[column.type] for column in RECORDS.columns if column.name not in OWN_FIELDS}
HEADERS = st.fixed_dictionaries(
    {"type": st.sampled_from(RecordType)}, optional={name: values for name, values in COLUMNS.items() if name != "type"}
)


@given(HEADERS)
def test_the_quick_spelling_is_the_canonical_one(header: dict[str, object]) -> None:
    check(header)
    assert spell(header, {"seq": 7}) == canonical({**header, "seq": 7})  # type: ignore[dict-item]


OWN = st.fixed_dictionaries(
    {
        "seq": st.integers(1, MAX_INTEGER),
        "source": st.sampled_from(["edge-1", "e"]),
        "time": st.sampled_from(["2026-11-22T20:00:00.000Z", "2026-11-23T01:02:03.999Z"]),
        "body_sha256": st.sampled_from(["0" * 64, "f" * 64]),
    }
)


@given(HEADERS, OWN, st.sampled_from(["0" * 64, "e" * 64]))
def test_a_form_is_filled_as_its_header_is_spelled(header: dict[str, object], own: dict[str, object], it: str) -> None:
    """Whatever the header says: its blanks are known by their place, not searched for."""
    header = {name: value for name, value in header.items() if name != "text_digest"}
    line = Form(header, str(own["source"])).of(it).fill(str(own["body_sha256"]), int(str(own["seq"])), str(own["time"]))
    assert line == spell({**header, "text_digest": it}, own)


COUNTS = {"forward_seq": st.integers(0, MAX_INTEGER), "rows": st.integers(0, MAX_INTEGER),
          "xid": st.integers(0, 2**64 - 1).map(str), "text_digest": st.sampled_from(["0" * 64, "e" * 64])}  # fmt: skip


@given(HEADERS, OWN, st.fixed_dictionaries(COUNTS))
def test_the_form_of_a_result_is_filled_as_its_header_is_spelled(
    header: dict[str, object], own: dict[str, object], counts: dict[str, object]
) -> None:
    header = {name: value for name, value in header.items() if name not in COUNTS}
    form, sequence, when = ResultForm(header, str(own["source"])), int(str(own["seq"])), str(own["time"])
    forward, rows = int(str(counts["forward_seq"])), int(str(counts["rows"]))
    line = form.fill(forward, rows, sequence, str(counts["text_digest"]), when, str(counts["xid"]))
    same = {name: value for name, value in own.items() if name != "body_sha256"}
    assert line == spell({**header, **counts}, same)


def test_the_form_of_a_long_header_is_shortened_as_its_line_would_be() -> None:
    header = {"type": "command", "statement": "\x01" * 60_000, "objects": ["read:table:public.t"] * 900}
    own = {"seq": MAX_INTEGER, "source": "edge-1", "time": "2026-11-22T20:00:00.000Z", "body_sha256": "0" * 64}
    line = Form(header, "edge-1").of("1" * 64).fill("0" * 64, MAX_INTEGER, str(own["time"]))
    assert line == spell({**header, "text_digest": "1" * 64}, own)
    assert len(line) < MAX_LINE_BYTES


def test_a_form_of_what_cannot_be_recorded_is_refused() -> None:
    for header in ({}, {"type": "command", "seq": 1}, {"type": "command", "rows": "3"}):
        with pytest.raises(InvalidInput):
            Form(header, "edge-1")


@given(
    st.dictionaries(
        st.sampled_from(sorted(RECORDS.names)) | st.text(max_size=5),
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text()
        | st.binary()
        | st.lists(st.integers() | st.text()),
    )
)
def test_any_header_is_spelled_canonically_or_refused(header: dict[str, object]) -> None:
    try:
        check(header)
        line = spell(header, {"seq": 1})
    except InvalidInput:
        return
    assert set(header) <= RECORDS.names - OWN_FIELDS
    assert line == canonical({**header, "seq": 1})  # type: ignore[dict-item]


@given(TEXT, st.integers(0, 3000), st.integers(0, 60_000))
def test_what_a_caller_can_put_into_a_header_never_makes_it_too_long(text: str, count: int, length: int) -> None:
    long = (text + "\x01") * length
    header = {
        **dict.fromkeys(("statement", "reason", "client", "database", "kind"), long[:length]),
        "type": "refused",
        "objects": [long[:200]] * count,
        "policies": [long[:256]] * count,
    }
    assert len(spell(header, {"seq": 1})) <= MAX_LINE_BYTES


def test_a_header_that_stays_too_long_is_refused() -> None:
    with pytest.raises(InvalidInput):
        spell({"type": "command", **dict.fromkeys(list(COLUMNS)[:20], "\x01" * 9000)}, {"seq": 1})


def test_times_are_utc_with_milliseconds() -> None:
    text = TimeText()
    assert text(0) == "1970-01-01T00:00:00.000Z"
    assert [text(1_795_000_000_000 + more) for more in (0, 7, 999, 1000)] == [
        "2026-11-18T11:06:40.000Z",
        "2026-11-18T11:06:40.007Z",
        "2026-11-18T11:06:40.999Z",
        "2026-11-18T11:06:41.000Z",
    ]
    assert text(int(time.time() * 1000)).startswith("20")
