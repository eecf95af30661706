"""A Bundle is taken only when it is signed, for this Edge, and not older."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from twokeys.bundle import MAX_BUNDLE_BYTES, TYPE, Bundle, head_payload, open_bundle
from twokeys.digest import to_base64
from twokeys.errors import InvalidInput, Refused
from twokeys.messages import SignedBundle
from twokeys.signature import KeyRole, PublicKey, sign

KEY = ec.derive_private_key(0x1111, ec.SECP256R1())
DER = KEY.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def keys(role: KeyRole = KeyRole.APPROVAL) -> dict[str, PublicKey]:
    key = PublicKey.from_der(DER, role)
    return {key.key_id: key}


def bundle(**changed: Any) -> Bundle:
    fields: dict[str, Any] = {
        "edge_id": "edge-1",
        "revision": 5,
        "issued_at": 100,
        "not_after": 200,
        "targets": ["sample-db"],
        "policies": "",
        "policy_revision": 1,
        "callers": [],
        "verifiers": [],
        "keys": [],
        "wrapping_key_id": "k",
        "wrapping_key": "AA==",
    }
    return Bundle(**{**fields, **changed})


def signed(one: Bundle, type_name: str = TYPE, **head: Any) -> SignedBundle:
    data = msgspec.json.encode(one)
    signature = sign(type_name, {**head_payload(data, one), **head}, KEY)
    return SignedBundle(bundle=to_base64(data), key_id=signature.key_id, signature=to_base64(signature.value))


def test_a_signed_bundle_of_the_same_or_a_higher_revision_opens() -> None:
    for at_least in (0, 5):
        assert open_bundle(signed(bundle()), "edge-1", at_least, keys()) == bundle()


def test_a11_an_older_bundle_is_refused_though_signed() -> None:
    with pytest.raises(Refused) as refusal:
        open_bundle(signed(bundle()), "edge-1", 6, keys())
    assert refusal.value.code == "bundle_rollback"


def test_a11_another_edge_s_bundle_is_refused_though_signed() -> None:
    with pytest.raises(Refused) as refusal:
        open_bundle(signed(bundle(edge_id="edge-2")), "edge-1", 0, keys())
    assert refusal.value.code == "foreign_bundle"


@pytest.mark.parametrize(
    "head",
    [{"bundle_sha256": "0" * 64}, {"edge_id": "edge-2"}, {"revision": 6}, {"issued_at": 101}, {"not_after": 10**9}],
    ids=str,
)
def test_a_head_that_is_not_the_bundle_s_own_is_refused(head: dict[str, Any]) -> None:
    with pytest.raises(Refused) as refusal:
        open_bundle(signed(bundle(), **head), "edge-1", 0, keys())
    assert refusal.value.code == "bad_signature"


def test_a_changed_byte_another_type_or_another_role_is_refused() -> None:
    true = signed(bundle())
    other = signed(bundle(policies="permit (principal, action, resource);"))
    longer = msgspec.structs.replace(true, bundle=other.bundle)
    for one, trusted in ((longer, keys()), (signed(bundle(), "seal"), keys()), (true, keys(KeyRole.SEAL)), (true, {})):
        with pytest.raises(Refused):
            open_bundle(one, "edge-1", 0, trusted)


def test_what_cannot_be_read_is_invalid_input() -> None:
    for text in ("!", to_base64(b"{}"), to_base64(b"x" * (MAX_BUNDLE_BYTES + 1))):
        with pytest.raises(InvalidInput):
            open_bundle(SignedBundle(bundle=text, key_id="k", signature="AA=="), "edge-1", 0, keys())
