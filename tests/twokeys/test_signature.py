"""Signatures: one type, one role, one key each."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from tests.twokeys.vectors_reader import vectors
from twokeys.digest import from_base64, signed_bytes, to_base64
from twokeys.errors import InvalidInput, Refused
from twokeys.signature import MAX_SIGNATURE_BYTES, KeyRole, PublicKey, Signature, sign, verify

GOLDEN = vectors("signatures")
KEY = ec.derive_private_key(0x1111, ec.SECP256R1())


def der(key: Any) -> bytes:
    data: bytes = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return data


PUBLIC = PublicKey.from_der(der(KEY.public_key()), KeyRole.APPROVAL)


@pytest.mark.parametrize("vector", GOLDEN, ids=lambda vector: vector["type"])
def test_golden_signatures_hold(vector: dict[str, Any]) -> None:
    key = PublicKey.from_json(vector["key"])
    assert signed_bytes(vector["type"], vector["payload"]).decode() == vector["signed_text"]
    signature = Signature(key.key_id, from_base64(vector["signature"]))
    verify(vector["type"], KeyRole(vector["role"]), vector["payload"], signature, {key.key_id: key})
    assert key.to_json() == vector["key"]


@pytest.mark.parametrize("vector", GOLDEN, ids=lambda vector: vector["type"])
def test_a5_a_signature_of_one_type_or_role_is_none_of_another(vector: dict[str, Any]) -> None:
    key = PublicKey.from_json(vector["key"])
    signature = Signature(key.key_id, from_base64(vector["signature"]))
    for other in {"approval", "seal", "edge-call", "bundle-head", "edge-enrol"} - {vector["type"]}:
        with pytest.raises(Refused, match="does not hold"):
            verify(other, KeyRole(vector["role"]), vector["payload"], signature, {key.key_id: key})
    for role in set(KeyRole) - {KeyRole(vector["role"])}:
        with pytest.raises(Refused) as refusal:
            verify(vector["type"], role, vector["payload"], signature, {key.key_id: key})
        assert refusal.value.code == "untrusted_key"


def test_every_changed_byte_of_a_signature_breaks_it() -> None:
    signature = sign("approval", {"a": 1}, KEY)
    verify("approval", KeyRole.APPROVAL, {"a": 1}, signature, {PUBLIC.key_id: PUBLIC})
    changed = [
        signature.value[:at] + bytes([signature.value[at] ^ 1]) + signature.value[at + 1 :]
        for at in range(len(signature.value))
    ]
    for value in [*changed, b"", signature.value[:-1], signature.value + b"\0", b"\0" * (MAX_SIGNATURE_BYTES + 1)]:
        with pytest.raises(Refused):
            verify("approval", KeyRole.APPROVAL, {"a": 1}, Signature(PUBLIC.key_id, value), {PUBLIC.key_id: PUBLIC})


def test_an_unknown_key_is_not_trusted_even_when_its_signature_holds() -> None:
    stranger = ec.generate_private_key(ec.SECP256R1())
    signature = sign("approval", {"a": 1}, stranger)
    for claimed in (signature, dataclasses.replace(signature, key_id=PUBLIC.key_id)):
        with pytest.raises(Refused):
            verify("approval", KeyRole.APPROVAL, {"a": 1}, claimed, {PUBLIC.key_id: PUBLIC})


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"0\0",
        b"not a key",
        der(ec.generate_private_key(ec.SECP384R1()).public_key()),
        der(ec.generate_private_key(ec.SECP256K1()).public_key()),
        der(ed25519.Ed25519PrivateKey.generate().public_key()),
        der(rsa.generate_private_key(65537, 2048).public_key()),
        PUBLIC.der.replace(bytes.fromhex("06082a8648ce3d030107"), bytes.fromhex("06082a8648ce3d030109")),
        PUBLIC.der.replace(bytes.fromhex("06072a8648ce3d0201"), bytes.fromhex("06072a8648ce3c0201")),
        PUBLIC.der[:-1],
        PUBLIC.der[:-1] + bytes([PUBLIC.der[-1] ^ 1]),
    ],
    # Keys are made anew each time: the bytes are no names.
    ids=lambda data: f"{len(data)} bytes",
)
def test_what_is_no_key_on_p256_is_refused_and_nothing_else_escapes(data: bytes) -> None:
    with pytest.raises(InvalidInput):
        PublicKey.from_der(data, KeyRole.SEAL)


@pytest.mark.parametrize(
    "change",
    [{"key_id": "0" * 32}, {"role": "owner"}, {"der": "!"}, {"der": to_base64(b"x")}, {"key_id": None}, {"der": None}],
)
def test_a_malformed_key_is_refused(change: dict[str, Any]) -> None:
    value = {**PUBLIC.to_json(), **change}
    with pytest.raises(InvalidInput):
        PublicKey.from_json({name: one for name, one in value.items() if one is not None})
