"""Records, their chain, and the Seal under it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.twokeys.vectors_reader import vectors
from twokeys.digest import canonical, sha256
from twokeys.errors import InvalidInput
from twokeys.record import ChainHead, extend, genesis, line, same_hash
from twokeys.seal import Seal, segment_id
from twokeys.tables import RECORDS, SEALS, TABLES, duckdb_columns

CHAIN = vectors("digests")["chain"]
GOLDEN = next(vector["payload"] for vector in vectors("signatures") if vector["type"] == "seal")


def test_golden_chain() -> None:
    head = genesis(CHAIN["edge_id"])
    assert head == ChainHead(0, CHAIN["genesis"])
    for number, (text, hash_) in enumerate(zip(CHAIN["lines"], CHAIN["hashes"], strict=True), 1):
        head = extend(head, text.encode())
        assert head == ChainHead(number, hash_)
    first = {"source": "edge-1", "time": "2026-11-22T20:00:00.000Z", "type": "edge_start"}
    assert line(1, first).decode() == CHAIN["lines"][0]


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=6), st.data())
def test_a_changed_dropped_or_swapped_line_changes_the_head(lines: list[bytes], data: st.DataObject) -> None:
    def head(of: list[bytes]) -> ChainHead:
        chain = genesis("edge-1")
        for one in of:
            chain = extend(chain, one)
        return chain

    at = data.draw(st.integers(0, len(lines) - 1))
    assert head(lines[:at] + lines[at + 1 :]).hash != head(lines).hash
    assert head([*lines[:at], lines[at] + b"x", *lines[at + 1 :]]).hash != head(lines).hash
    assert head(lines[::-1]).hash != head(lines).hash or lines == lines[::-1]


def test_every_source_has_its_own_chain() -> None:
    assert genesis("edge-1") != genesis("edge-2")
    assert same_hash(genesis("edge-1").hash, genesis("edge-1").hash)
    assert not same_hash(genesis("edge-1").hash, genesis("edge-2").hash)


def test_the_sequence_is_the_chain_s_and_not_the_header_s() -> None:
    assert line(5, {"seq": 1}) == b'{"seq":5}'
    assert line(5, {}, "b" * 64) == canonical({"body_sha256": "b" * 64, "seq": 5})


def test_a_seal_reads_back() -> None:
    for value in (GOLDEN, {**GOLDEN, "bodies_sha256": sha256(b"x")}):
        assert Seal.from_json(value).to_json() == value


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_a_seal_with_a_missing_mistyped_or_additional_field_is_refused(name: str) -> None:
    changes: list[dict[str, Any]] = [
        {name: []},
        {name: None},
        {name: True},
        {name: 1.0},
        {name: ""},
        {"extra": "x"},
        {name: GOLDEN[name] * 2},
        {name: str(GOLDEN[name]) + "\n"},
    ]
    for value in ({key: one for key, one in GOLDEN.items() if key != name}, *({**GOLDEN, **one} for one in changes)):
        if name == "last_seq" and value.get("last_seq") == 4:
            continue  # a longer segment is well formed; the lines will not fit it
        with pytest.raises(InvalidInput):
            Seal.from_json(value)


@pytest.mark.parametrize(
    "change",
    [
        {"segment": "edge-1-000000000002"},
        {"segment": "../edge-1"},
        {"source": "edge-2"},
        {"first_seq": 0},
        {"first_seq": 3},
        {"last_seq": 0},
        {"sealed_at": "2026-11-22"},
        {"bodies_sha256": ""},
    ],
    ids=str,
)
def test_a_seal_whose_parts_don_t_fit_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        Seal.from_json({**GOLDEN, **change})


def test_two_segments_that_start_alike_collide() -> None:
    assert segment_id("edge-1", 7) == segment_id("edge-1", 7) == "edge-1-000000000007"


def test_the_schema_names_are_distinct_and_typed_for_duckdb() -> None:
    for table in TABLES:
        assert len(table.names) == len(table.columns) == len(duckdb_columns(table))
    assert duckdb_columns(RECORDS)["objects"] == "VARCHAR[]"
    assert {*GOLDEN, "bodies_sha256", "key_id", "signature"} == SEALS.names
