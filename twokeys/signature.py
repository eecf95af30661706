"""Signatures over typed bytes: ECDSA on P-256 with SHA-256, DER encoded, as KMS's ECC_NIST_P256 makes them.

A signature is never looked at without its type and key id: a seal can't be read as an approval, and a key of one
role can't sign for the other.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from twokeys.digest import Json, from_base64, sha256, signed_bytes, to_base64
from twokeys.errors import InvalidInput, Refused

MAX_SIGNATURE_BYTES = 80
"""A DER ECDSA signature on P-256 has at most 72 bytes; anything longer is not one."""


class KeyRole(enum.StrEnum):
    """What a key may sign. Approvals and bundles by one, seals by another; an Edge's by the Edge alone."""

    APPROVAL = "approval"
    SEAL = "seal"
    EDGE = "edge"


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A verification key.

    Args:
        key_id: The first 32 hexadecimal digits of SHA-256 over the DER SubjectPublicKeyInfo.
        role: What it may have signed.
        der: DER SubjectPublicKeyInfo (RFC 5280 section 4.1).
    """

    key_id: str
    role: KeyRole
    der: bytes

    @classmethod
    def from_der(cls, der: bytes, role: KeyRole) -> PublicKey:
        """Read a key. Raises InvalidInput unless it is an EC key on P-256."""
        try:
            key = serialization.load_der_public_key(der)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise InvalidInput("A public key can't be read.", not_done="It was not trusted.") from error
        if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
            raise InvalidInput("A public key is not EC on P-256.", not_done="It was not trusted.")
        return cls(sha256(der)[:32], role, der)

    def to_json(self) -> Mapping[str, Json]:
        """The wire form, inverse of `from_json`."""
        return {"key_id": self.key_id, "role": self.role.value, "der": to_base64(self.der)}

    @classmethod
    def from_json(cls, value: Mapping[str, str]) -> PublicKey:
        """Read the wire form; the key id must be the key's own. Raises InvalidInput."""
        try:
            key = cls.from_der(from_base64(value["der"]), KeyRole(value["role"]))
        except (KeyError, ValueError) as error:
            raise InvalidInput("A public key's wire form is malformed.", not_done="It was not trusted.") from error
        if key.key_id != value.get("key_id"):
            raise InvalidInput("A public key's id is not its own.", not_done="It was not trusted.")
        return key


@dataclass(frozen=True, slots=True)
class Signature:
    """A detached signature and the id of the key that made it."""

    key_id: str
    value: bytes


def verify(type_name: str, role: KeyRole, payload: Json, signature: Signature, keys: Mapping[str, PublicKey]) -> None:
    """Check a signature over a payload; return silently when it holds.

    Args:
        type_name: Which signed type the bytes must be of.
        role: Which role the key must have.
        payload: The signed value.
        signature: The signature to check.
        keys: Trusted keys by key id.

    Raises:
        Refused: for an unknown key, a key of another role, or a signature that does not hold.
    """
    key = keys.get(signature.key_id)
    if key is None or key.role is not role or len(signature.value) > MAX_SIGNATURE_BYTES:
        raise Refused(
            f"A signed {type_name} names no key trusted for {role.value}.",
            not_done="It was not used.",
            code="untrusted_key",
        )
    public = serialization.load_der_public_key(key.der)
    if not isinstance(public, ec.EllipticCurvePublicKey):
        raise Refused("A trusted key is not EC on P-256.", not_done="It was not used.", code="untrusted_key")
    try:
        public.verify(signature.value, signed_bytes(type_name, payload), ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise Refused(
            f"The signature of a {type_name} does not hold.", not_done="It was not used.", code="bad_signature"
        ) from None


def sign(type_name: str, payload: Json, private: ec.EllipticCurvePrivateKey) -> Signature:
    """Sign a payload with a key held in memory (an Edge's own, or the embedded backend's key files)."""
    der = private.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return Signature(sha256(der)[:32], private.sign(signed_bytes(type_name, payload), ec.ECDSA(hashes.SHA256())))
