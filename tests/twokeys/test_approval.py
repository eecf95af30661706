"""An Approval is accepted for exactly what it was made for, field by field."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.twokeys.vectors_reader import vectors
from twokeys.approval import TYPE, Approval, check
from twokeys.errors import InvalidInput, Refused
from twokeys.signature import KeyRole, PublicKey, sign

KEY = ec.derive_private_key(0x1111, ec.SECP256R1())
DER = KEY.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
KEYS = {key.key_id: key for key in (PublicKey.from_der(DER, KeyRole.APPROVAL),)}
EXPECTED = Approval("req_" + "a" * 26, "edge-1", "0" * 32, "d" * 64, "e" * 64, ("rob",), 7, "c" * 64, "b" * 64, 3)


def test_what_was_expected_is_accepted_whoever_approved() -> None:
    for approvers in (("rob",), ("ann", "rob")):
        approval = dataclasses.replace(EXPECTED, approvers=approvers)
        check(approval, sign(TYPE, approval.to_json(), KEY), EXPECTED, KEYS)


@pytest.mark.parametrize(
    "change",
    [
        {"request_id": "req_" + "b" * 26},
        {"edge_id": "edge-2"},
        {"nonce": "1" * 32},
        {"command_digest": "0" * 64},
        {"requirement": "0" * 64},
        {"chain_sequence": 8},
        {"chain_hash": "0" * 64},
        {"preview_digest": "0" * 64},
        {"preview_digest": "", "most_rows": None},
        {"most_rows": 4},
        {"most_rows": None},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a5_an_approval_for_anything_else_is_refused_though_signed(change: dict[str, Any]) -> None:
    approval = dataclasses.replace(EXPECTED, **change)
    with pytest.raises(Refused, match=next(iter(change))) as refusal:
        check(approval, sign(TYPE, approval.to_json(), KEY), EXPECTED, KEYS)
    assert refusal.value.code == "approval_mismatch"


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Approval)])
def test_every_field_is_under_the_signature(field: str) -> None:
    signature = sign(TYPE, EXPECTED.to_json(), KEY)
    value = getattr(EXPECTED, field)
    changed: Any = ("eve",) if field == "approvers" else value + 1 if isinstance(value, int) else value[:-1] + "5"
    approval = dataclasses.replace(EXPECTED, **{field: changed})
    with pytest.raises(Refused) as refusal:
        check(approval, signature, approval, KEYS)
    assert refusal.value.code == "bad_signature"


def test_a_seal_key_cannot_approve() -> None:
    keys = {key.key_id: key for key in (PublicKey.from_der(DER, KeyRole.SEAL),)}
    with pytest.raises(Refused) as refusal:
        check(EXPECTED, sign(TYPE, EXPECTED.to_json(), KEY), EXPECTED, keys)
    assert refusal.value.code == "untrusted_key"


@pytest.mark.parametrize(
    "change",
    [
        {"approvers": ()},
        {"approvers": ("rob", "ann")},
        {"approvers": ("rob", "rob")},
        {"nonce": "0" * 31},
        {"most_rows": -1},
        {"preview_digest": ""},
    ],
)
def test_an_approval_without_approvers_or_a_full_nonce_cannot_be_built(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        dataclasses.replace(EXPECTED, **change)


def test_what_an_approval_does_not_say_is_left_out() -> None:
    bare = dataclasses.replace(EXPECTED, preview_digest="", most_rows=None)
    assert sorted(EXPECTED.to_json().keys() - bare.to_json().keys()) == ["most_rows", "preview_digest"]


def test_the_golden_approvals_are_spelled_so() -> None:
    approvals = [vector["payload"] for vector in vectors("signatures") if vector["type"] == TYPE]
    for payload in approvals[:2]:
        assert Approval(**{**payload, "approvers": tuple(payload["approvers"])}).to_json() == payload
