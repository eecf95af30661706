"""The digest of a Command: a retry keeps it, any change loses it."""

from __future__ import annotations

import base64
import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.twokeys.vectors_reader import vectors
from twokeys.command import PostgresCommand, QueryProtocol, Setting, command_digest
from twokeys.decision import Decision, Outcome
from twokeys.digest import canonical
from twokeys.errors import InvalidInput

GOLDEN = vectors("digests")
SETTING = Setting(**GOLDEN["setting"])


def extended(**changed: Any) -> PostgresCommand:
    vector = GOLDEN["extended"]
    command = PostgresCommand(
        QueryProtocol.EXTENDED,
        vector["text"].encode(),
        tuple(vector["types"]),
        tuple(vector["formats"]),
        tuple(None if value is None else base64.b64decode(value) for value in vector["values"]),
    )
    return dataclasses.replace(command, **changed)


def test_golden_digests() -> None:
    simple = PostgresCommand(QueryProtocol.SIMPLE, GOLDEN["simple"]["text"].encode())
    for command, vector in ((simple, GOLDEN["simple"]), (extended(), GOLDEN["extended"])):
        assert canonical(command.to_json()).decode() == vector["canonical"]
        assert command_digest(command, SETTING) == vector["command_digest"]


def test_golden_requirement() -> None:
    vector = GOLDEN["requirement"]
    decision = Decision(Outcome.HOLD, policies=tuple(vector["policies"]), approvals=vector["approvals"])
    assert decision.requirement == vector["digest"]
    assert dataclasses.replace(decision, advice=("x",), revision=9, sensitive=True).requirement == vector["digest"]
    assert dataclasses.replace(decision, approvals=1).requirement != vector["digest"]


@pytest.mark.parametrize(
    "changed",
    [
        {"text": b"update t set a = $1 where b = $2 or c = $3 -- \xc3\xbc "},
        {"parameter_types": (23,)},
        {"parameter_types": (23, 0, 0)},
        {"parameter_types": (20, 0)},
        {"parameter_formats": (0, 0, 0)},
        {"parameter_values": (b"42", b"\0\0\0*", b"")},
        {"parameter_values": (b"42 ", b"\0\0\0*", None)},
        {"parameter_values": (None, b"\0\0\0*", b"42")},
    ],
    ids=str,
)
def test_w3_other_values_types_or_formats_have_another_digest(changed: dict[str, Any]) -> None:
    assert command_digest(extended(**changed), SETTING) != command_digest(extended(), SETTING)


@pytest.mark.parametrize("field", ["target", "database", "caller_id", "fingerprint"])
def test_a5_another_place_or_caller_has_another_digest(field: str) -> None:
    other = dataclasses.replace(SETTING, **{field: "other"})
    assert command_digest(extended(), other) != command_digest(extended(), SETTING)


def test_the_protocol_is_part_of_the_digest() -> None:
    simple = PostgresCommand(QueryProtocol.SIMPLE, b"select 1")
    assert command_digest(simple, SETTING) != command_digest(
        PostgresCommand(QueryProtocol.EXTENDED, b"select 1"), SETTING
    )


@given(st.lists(st.none() | st.binary(max_size=4), max_size=4), st.lists(st.none() | st.binary(max_size=4), max_size=4))
def test_different_values_never_share_a_spelling(left: list[bytes | None], right: list[bytes | None]) -> None:
    def spelled(values: list[bytes | None]) -> bytes:
        return canonical(extended(parameter_formats=(0,) * len(values), parameter_values=tuple(values)).to_json())

    assert (spelled(left) == spelled(right)) == (left == right)


def test_commands_that_the_protocol_cannot_deliver_cannot_be_built() -> None:
    for bad in ({"parameter_formats": (0,)}, {"parameter_formats": (0, 1, 2)}, {"protocol": QueryProtocol.SIMPLE}):
        with pytest.raises(InvalidInput):
            extended(**bad)
