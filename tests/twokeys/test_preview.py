"""A Preview has one spelling, one digest, and limits that its own writer keeps."""

from __future__ import annotations

import msgspec
import pytest

from twokeys.digest import canonical, digest
from twokeys.errors import InvalidInput
from twokeys.preview import (
    MAX_PREVIEW_BYTES,
    Cell,
    Column,
    Preview,
    Row,
    preview_digest,
    read_preview,
    read_stored,
    stored_bytes,
    to_bytes,
)

SAMPLE = Preview(
    action="UPDATE",
    target="public.orders",
    rows=1,
    columns=[Column(name="id", key=True), Column(name="state", assigned=True)],
    sample=[
        Row(before=[Cell(text="1"), Cell(null=True)], after=[Cell(text="1"), Cell(text="paid", cut=True)]),
    ],
)


def test_what_is_written_is_read_back() -> None:
    data = to_bytes(SAMPLE)
    assert read_preview(data) == SAMPLE
    assert read_stored(stored_bytes(data)) == SAMPLE


def test_the_digest_is_the_versioned_one_and_names_the_stored_bytes() -> None:
    data = to_bytes(SAMPLE)
    assert preview_digest(data) == digest("preview", msgspec.to_builtins(SAMPLE))


def test_the_golden_preview() -> None:
    assert to_bytes(SAMPLE) == (
        b'{"action":"UPDATE","columns":[{"key":true,"name":"id"},{"assigned":true,"name":"state"}],"rows":1,'
        b'"sample":[{"after":[{"text":"1"},{"cut":true,"text":"paid"}],"before":[{"text":"1"},{"null":true}]}],'
        b'"target":"public.orders"}'
    )
    assert preview_digest(to_bytes(SAMPLE)) == "ed54d90f1c3ac8766b3ebecfbe78e1f9bd48a274418781700128a9d9f329ff97"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b'{"action":"UPDATE","other":1}',
        b'{"action":"UPDATE" }',
        b'{"action":"UPDATE","rows":null}',
        b'{"action":"UPDATE","rows":1.0}',
        b'{"action":"UPDATE","target":""}',
        b'{"action":"UPDATE","columns":[{"name":"a"}],"sample":[{}]}',
        b'{"action":"UPDATE","columns":[{"name":"a"}],"sample":[{"after":[{},{}]}]}',
        b'{"action":"' + b"x" * MAX_PREVIEW_BYTES + b'"}',
    ],
)
def test_no_other_spelling_is_read(data: bytes) -> None:
    with pytest.raises(InvalidInput) as refusal:
        read_preview(data)
    assert refusal.value.code == "malformed_preview"


def test_a_preview_that_is_too_long_loses_rows_and_nothing_else() -> None:
    columns = [Column(name=f"c{number}") for number in range(32)]
    wide = Row(after=[Cell(text="é" * 200)] * 32)
    many = Preview(action="INSERT", rows=20, columns=columns, sample=[wide] * 20)
    kept = read_preview(to_bytes(many))
    assert 0 < len(kept.sample) < 20
    assert kept == msgspec.structs.replace(many, sample=kept.sample)


def test_a_preview_that_never_fits_is_refused() -> None:
    with pytest.raises(InvalidInput):
        to_bytes(Preview(action="DO", why=["€" * 1024] * 40))


def test_what_was_stored_as_something_else_is_no_preview() -> None:
    with pytest.raises(InvalidInput):
        read_stored(canonical({"kind": "postgres"}))
