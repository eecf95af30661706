"""Key files of mode 0600: P-256 for approvals, P-256 for seals, RSA-3072 to wrap data keys to.

FOLDER/approval.pem   FOLDER/seal.pem   FOLDER/wrapping.pem   FOLDER/old/*.json (public keys that were in use)
"""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from twokeys.body import WRAPPING
from twokeys.digest import Json, sha256
from twokeys.errors import Refused, Unavailable
from twokeys.signature import KeyRole, PublicKey, Signature, sign

from .files import create

RSA_BITS: Final = 3072
MAX_WRAPPED_BYTES: Final = 1024
"""Longest wrapped key unwrapped; RSA-3072 makes 384 bytes."""

_FILES: Final = {KeyRole.APPROVAL: "approval.pem", KeyRole.SEAL: "seal.pem"}
_WRAPPING_FILE: Final = "wrapping.pem"


def make_keys(folder: Path) -> None:
    """Make all keys that are not there yet; none is ever replaced."""
    for name in _FILES.values():
        if not (folder / name).exists():
            create(folder / name, [_pem(ec.generate_private_key(ec.SECP256R1()))])
    if not (folder / _WRAPPING_FILE).exists():
        create(folder / _WRAPPING_FILE, [_pem(rsa.generate_private_key(65537, RSA_BITS))])


class FileSigner:
    """Implements `ports.signer.Signer`."""

    def __init__(self, folder: Path) -> None:
        """Read the keys. Raises Unavailable when one is missing, malformed or readable by others."""
        self._keys: dict[KeyRole, ec.EllipticCurvePrivateKey] = {}
        for role, name in _FILES.items():
            key = _read(folder / name)
            if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
                raise _unusable(folder / name, "it is no P-256 key")
            self._keys[role] = key
        public = [PublicKey.from_der(_der(key.public_key()), role) for role, key in self._keys.items()]
        old = [PublicKey.from_json(json.loads(path.read_bytes())) for path in sorted((folder / "old").glob("*.json"))]
        self._public = [*public, *old]

    def sign(self, type_name: str, payload: Json, role: KeyRole) -> Signature:
        key = self._keys.get(role)
        if key is None:
            raise Unavailable(f"There is no key for {role.value}.", not_done="Nothing was signed.", code="no_key")
        return sign(type_name, payload, key)

    def public_keys(self) -> list[PublicKey]:
        return list(self._public)


class FileWrapping:
    """Implements `ports.wrapping.Wrapping`."""

    def __init__(self, folder: Path) -> None:
        """Read the key. Raises Unavailable as `FileSigner`."""
        key = _read(folder / _WRAPPING_FILE)
        if not isinstance(key, rsa.RSAPrivateKey):
            raise _unusable(folder / _WRAPPING_FILE, "it is no RSA key")
        self._key = key
        self._der = _der(key.public_key())

    @property
    def key_id(self) -> str:
        return sha256(self._der)[:32]

    def public_der(self) -> bytes:
        return self._der

    def unwrap(self, key_id: str, wrapped: bytes) -> bytes:
        try:
            if key_id == self.key_id and len(wrapped) <= MAX_WRAPPED_BYTES:
                return self._key.decrypt(wrapped, WRAPPING)
        except ValueError:
            # One answer for every fault: which one it was must not be told.
            pass
        raise Refused("A session's key does not unwrap.", not_done="Its bodies were not read.", code="bad_session_key")


def _read(path: Path) -> object:
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise _unusable(path, "others can read it")
        return serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError) as error:
        raise _unusable(path, str(error) or type(error).__name__) from error


def _unusable(path: Path, why: str) -> Unavailable:
    return Unavailable(f"The key file {path.name} can't be used: {why}.", not_done="The control plane was not started.",
                       advice="Keys are made by bootstrap, for their owner alone (mode 0600).",
                       code="bad_key_file")  # fmt: skip


def _pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _der(key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
