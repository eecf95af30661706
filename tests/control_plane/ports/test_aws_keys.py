"""Keys on KMS: the suite, and what happens without KMS, with a moved alias or a key of the wrong kind."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from control_plane.chalicelib.adapters.aws.signer import KmsSigner
from control_plane.chalicelib.adapters.aws.wrapping import KmsWrapping
from tests.control_plane.ports.aws_backend import AwsBackend, backend
from tests.control_plane.ports.storage_suites import KeysSuite
from tests.support.aws import make_key
from tests.support.aws_faults import refusing
from twokeys.body import WRAPPING
from twokeys.errors import Refused, Unavailable
from twokeys.signature import KeyRole, verify

__all__ = ["backend"]


class TestKeys(KeysSuite):
    """KMS."""


def signing_key(backend: AwsBackend) -> str:
    return make_key(backend.clients, "SIGN_VERIFY", "ECC_NIST_P256")


def test_old_keys_still_verify_and_only_the_first_signs(backend: AwsBackend) -> None:
    old, new, seal = (signing_key(backend) for _ in range(3))
    before = KmsSigner(backend.clients, [old], [seal]).sign("approval", {"a": 1}, KeyRole.APPROVAL)
    signer = KmsSigner(backend.clients, [new, old], [seal])
    keys = {key.key_id: key for key in signer.public_keys()}
    verify("approval", KeyRole.APPROVAL, {"a": 1}, before, keys)
    after = signer.sign("approval", {"a": 1}, KeyRole.APPROVAL)
    verify("approval", KeyRole.APPROVAL, {"a": 1}, after, keys)
    assert (len(keys), after.key_id == before.key_id) == (3, False)


def test_a_key_of_both_roles_signs_nothing(backend: AwsBackend) -> None:
    key = signing_key(backend)
    with pytest.raises(Unavailable, match="twice"):
        KmsSigner(backend.clients, [key], [key]).sign("seal", {"a": 1}, KeyRole.SEAL)


@pytest.mark.parametrize(("usage", "spec"), [("SIGN_VERIFY", "ECC_SECG_P256K1"), ("ENCRYPT_DECRYPT", "RSA_2048")])
def test_a_key_of_another_kind_is_not_used(backend: AwsBackend, usage: str, spec: str) -> None:
    other = make_key(backend.clients, usage, spec)
    with pytest.raises(Unavailable):
        KmsSigner(backend.clients, [other], [signing_key(backend)]).sign("approval", {"a": 1}, KeyRole.APPROVAL)


def test_a_signing_key_wraps_nothing(backend: AwsBackend) -> None:
    with pytest.raises(Unavailable, match="wrapping key"):
        KmsWrapping(backend.clients, signing_key(backend)).public_der()


def test_a_moved_alias_gives_no_signature_under_the_old_name(backend: AwsBackend) -> None:
    kms, first, second, seal = backend.clients.of("kms"), *(signing_key(backend) for _ in range(3))
    kms.create_alias(AliasName="alias/approvals", TargetKeyId=first)
    signer = KmsSigner(backend.clients, ["alias/approvals"], [seal])
    signer.sign("approval", {"a": 1}, KeyRole.APPROVAL)
    kms.update_alias(AliasName="alias/approvals", TargetKeyId=second)
    with pytest.raises(Unavailable, match="another key"):
        signer.sign("approval", {"a": 1}, KeyRole.APPROVAL)
    signature = signer.sign("approval", {"a": 1}, KeyRole.APPROVAL)
    verify("approval", KeyRole.APPROVAL, {"a": 1}, signature, {key.key_id: key for key in signer.public_keys()})


@pytest.mark.parametrize("code", ["DisabledException", "ThrottlingException", "AccessDeniedException"])
def test_without_kms_nothing_is_signed_or_unwrapped(backend: AwsBackend, code: str) -> None:
    signer, wrapping, kms = backend.ports.signer, backend.ports.wrapping, backend.clients.of("kms")
    signer.public_keys()
    key_id = wrapping.key_id
    with refusing(kms, "Sign", code), pytest.raises(Unavailable, match="Nothing was signed"):
        signer.sign("seal", {"a": 1}, KeyRole.SEAL)
    with refusing(kms, "Decrypt", code), pytest.raises(Unavailable, match="not read"):
        wrapping.unwrap(key_id, bytes(512))
    with refusing(kms, "GetPublicKey", code):
        assert signer.public_keys()
        backend.reopen()
    with refusing(backend.clients.of("kms"), "GetPublicKey", code), pytest.raises(Unavailable):
        backend.ports.signer.public_keys()


def test_a_missing_key_is_unavailable(backend: AwsBackend) -> None:
    with pytest.raises(Unavailable):
        KmsSigner(backend.clients, ["00000000-0000-0000-0000-000000000000"], []).public_keys()


def test_bytes_of_the_right_length_that_do_not_unwrap_are_refused(backend: AwsBackend) -> None:
    wrapping = backend.ports.wrapping
    public = serialization.load_der_public_key(wrapping.public_der())
    assert isinstance(public, rsa.RSAPublicKey)
    wrapped = bytearray(public.encrypt(b"k" * 32, WRAPPING))
    wrapped[-1] ^= 1
    with pytest.raises(Refused):
        wrapping.unwrap(wrapping.key_id, bytes(wrapped))
