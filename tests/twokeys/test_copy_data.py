"""Data of a COPY are bound by digest: other data are another Command."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Any

import pytest

from tests.twokeys.vectors_reader import vectors
from twokeys.command import PostgresCommand, QueryProtocol, Setting, command_digest
from twokeys.copy_data import MAX_HEAD_BYTES, CopyData, CopyFormat
from twokeys.digest import canonical
from twokeys.errors import InvalidInput

GOLDEN = vectors("digests")
SETTING = Setting(**GOLDEN["setting"])
DATA = GOLDEN["copy"]["data"].encode()


def copied(data: bytes = DATA, **changed: Any) -> CopyData:
    fields = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "format": CopyFormat.TEXT}
    return CopyData(**{**fields, "head": data[:MAX_HEAD_BYTES], "rows": GOLDEN["copy"]["rows"], **changed})


def command(copy: CopyData | None) -> PostgresCommand:
    return PostgresCommand(QueryProtocol.SIMPLE, GOLDEN["copy"]["text"].encode(), copy=copy)


def test_golden_digest_and_the_way_back() -> None:
    value = command(copied()).to_json()
    assert canonical(value).decode() == GOLDEN["copy"]["canonical"]
    assert command_digest(command(copied()), SETTING) == GOLDEN["copy"]["command_digest"]
    assert isinstance(value, dict) and PostgresCommand.from_json(value) == command(copied())
    value = command(None).to_json()
    assert isinstance(value, dict) and PostgresCommand.from_json(value) == command(None)


@pytest.mark.parametrize(
    "other",
    [
        None,
        copied(b"1\topen\n2\tpaiD\n"),
        dataclasses.replace(copied(), rows=3),
        dataclasses.replace(copied(), rows=None),
        dataclasses.replace(copied(), format=CopyFormat.CSV),
    ],
)
def test_w5_other_data_have_another_digest(other: CopyData | None) -> None:
    assert command_digest(command(other), SETTING) != command_digest(command(copied()), SETTING)


@pytest.mark.parametrize(
    "changed", [{"sha256": "f" * 63}, {"sha256": "F" * 64}, {"size": -1}, {"head": b"1"}, {"rows": -1}, {"rows": True}]
)
def test_data_that_cannot_be_are_not_built(changed: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        copied(**changed)


def test_people_are_told_size_rows_and_digest() -> None:
    assert copied().told == f"COPY data (text): 2 rows, {len(DATA)} bytes, sha256 {hashlib.sha256(DATA).hexdigest()}"
    assert "row" not in dataclasses.replace(copied(), rows=None).told
