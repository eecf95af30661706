"""A call's header has one spelling and one type per field."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.twokeys.vectors_reader import vectors
from twokeys.digest import canonical, to_base64
from twokeys.edge_call import MAX_CALL_HEADER_BYTES, EdgeCall, names_a_worker
from twokeys.errors import InvalidInput
from twokeys.record import ChainHead

GOLDEN = next(vector["payload"] for vector in vectors("signatures") if vector["type"] == "edge-call")


def header(value: Any) -> str:
    return to_base64(canonical(value))


def test_a_header_reads_back_as_the_same_call() -> None:
    call = EdgeCall.from_header(header(GOLDEN))
    assert call.to_json() == GOLDEN
    assert call.header() == header(GOLDEN)
    assert call.head == ChainHead(GOLDEN["chain_sequence"], GOLDEN["chain_hash"])


def test_another_spelling_of_the_same_call_is_refused() -> None:
    doubled = canonical(GOLDEN)[:-1] + b',"time":1795377600000}'
    spaced = json.dumps(GOLDEN, sort_keys=True).encode()
    for data in (doubled, spaced, canonical(GOLDEN) + b"\n", canonical(GOLDEN).decode().encode("utf-16"), b"[]", b"1"):
        with pytest.raises(InvalidInput):
            EdgeCall.from_header(to_base64(data))
    for text in (header(GOLDEN) + "\n", header(GOLDEN).rstrip("=") + " ", "é", ""):
        with pytest.raises(InvalidInput):
            EdgeCall.from_header(text)


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_a_missing_or_additional_field_is_refused(name: str) -> None:
    for value in ({key: one for key, one in GOLDEN.items() if key != name}, {**GOLDEN, "role": "owner"}):
        with pytest.raises(InvalidInput):
            EdgeCall.from_header(header(value))


@pytest.mark.parametrize(
    "change",
    [
        {"edge_id": ["edge-1"]},
        {"method": {}},
        {"path": 1},
        {"time": True},
        {"time": "1"},
        {"time": -1},
        {"nonce": ["a"] * 32},
        {"nonce": "A" * 32},
        {"nonce": "a" * 31},
        {"nonce": "a" * 32 + "\n"},
        {"body_sha256": "x" * 64},
        {"chain_sequence": "2"},
        {"chain_sequence": -1},
        {"chain_sequence": True},
        {"chain_hash": [1]},
        {"chain_hash": "0" * 63},
    ],
    ids=str,
)
def test_a_field_of_another_type_or_form_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        EdgeCall.from_header(header({**GOLDEN, **change}))


def test_an_oversize_header_is_refused_before_it_is_read() -> None:
    with pytest.raises(InvalidInput, match="too long"):
        EdgeCall.from_header("!" * (MAX_CALL_HEADER_BYTES + 1))


@given(st.binary(max_size=200))
def test_nothing_but_invalid_input_escapes(data: bytes) -> None:
    for text in (to_base64(data), data.decode("latin-1"), base64.b64encode(b"[" * 2000).decode()):
        with pytest.raises(InvalidInput):
            EdgeCall.from_header(text)


def test_a_worker_of_an_edge_names_its_own_chain() -> None:
    call = EdgeCall.from_header(header({**GOLDEN, "worker": 2}))
    assert (call.edge_id, call.worker, call.source) == (GOLDEN["edge_id"], 2, f"{GOLDEN['edge_id']}.w2")
    assert EdgeCall.from_header(header(GOLDEN)).source == GOLDEN["edge_id"]
    assert names_a_worker(call.source) and not names_a_worker(GOLDEN["edge_id"])


@pytest.mark.parametrize("worker", [0, -1, True, "2", 65, 1.0, None])
def test_a_worker_that_can_be_none_is_refused(worker: object) -> None:
    with pytest.raises(InvalidInput):
        EdgeCall.from_header(
            to_base64(json.dumps({**GOLDEN, "worker": worker}, sort_keys=True, separators=(",", ":")).encode())
        )
