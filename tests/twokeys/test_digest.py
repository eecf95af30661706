"""Canonical JSON has one spelling, and what it has no spelling for is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.twokeys.vectors_reader import vectors
from twokeys.digest import (
    MAX_DEPTH,
    MAX_INTEGER,
    MAX_SIGNED_BYTES,
    canonical,
    digest,
    from_base64,
    sha256,
    signed_bytes,
    to_base64,
)
from twokeys.errors import InvalidInput

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
LEAVES = st.booleans() | st.integers(-MAX_INTEGER, MAX_INTEGER) | TEXTS
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4), max_leaves=20
)


@pytest.mark.parametrize("vector", vectors("canonical"), ids=lambda vector: vector["name"])
def test_golden_spellings(vector: dict[str, Any]) -> None:
    assert canonical(vector["value"]) == vector["text"].encode("utf-8")
    assert sha256(canonical(vector["value"])) == vector["sha256"]


@given(VALUES)
def test_the_spelling_reads_back_as_the_same_value_and_is_stable(value: Any) -> None:
    data = canonical(value)
    assert json.loads(data) == value
    assert canonical(json.loads(data)) == data


@given(st.dictionaries(TEXTS, LEAVES, max_size=8), st.randoms(use_true_random=False))
def test_the_order_of_keys_changes_nothing(value: dict[str, Any], random: Any) -> None:
    items = list(value.items())
    random.shuffle(items)
    assert canonical(dict(items)) == canonical(value)


@pytest.mark.parametrize(
    "value",
    [
        None,
        1.0,
        float("nan"),
        b"bytes",
        {1, 2},
        {1: "a"},
        {None: "a"},
        [None],
        MAX_INTEGER + 1,
        -MAX_INTEGER - 1,
        "\ud800",
        {"\udfff": 1},
        ["\ud83d"],
        object(),
    ],
)
def test_what_has_no_spelling_is_refused(value: Any) -> None:
    with pytest.raises(InvalidInput):
        canonical(value)


def test_deep_nesting_is_refused_before_recursion_becomes_a_weapon() -> None:
    def nested(depth: int) -> Any:
        value: Any = 1
        for _ in range(depth):
            value = [value]
        return value

    canonical(nested(MAX_DEPTH))
    for depth in (MAX_DEPTH + 1, 100_000):
        with pytest.raises(InvalidInput):
            canonical(nested(depth))


def test_a_boolean_is_not_a_number() -> None:
    assert canonical([True, 1, False, 0]) == b"[true,1,false,0]"


@pytest.mark.parametrize("name", ["", "Command", "a b", "a/v1\nb", "a\n", "1a", "a" * 42, "é"])
def test_a_type_name_can_smuggle_nothing_into_what_is_signed(name: str) -> None:
    for use in (digest, signed_bytes):
        with pytest.raises(InvalidInput):
            use(name, {})


def test_what_is_signed_fits_one_call_of_a_key_service() -> None:
    room = MAX_SIGNED_BYTES - len(signed_bytes("seal", ""))
    assert len(signed_bytes("seal", "x" * room)) == MAX_SIGNED_BYTES
    with pytest.raises(InvalidInput):
        signed_bytes("seal", "x" * (room + 1))


def test_two_types_never_share_a_digest() -> None:
    assert digest("command", {}) != digest("requirement", {})


@given(st.binary(max_size=60))
def test_base64_reads_back(data: bytes) -> None:
    assert from_base64(to_base64(data)) == data


@pytest.mark.parametrize("text", ["QQ", "QQ=", "QR==", "QQ==\n", " QQ==", "QQ==QQ==", "Q-_=", "QQ==é", "=", "Q Q="])
def test_base64_has_one_spelling(text: str) -> None:
    with pytest.raises(InvalidInput):
        from_base64(text)
