"""Signing keys, by role: KMS keys or key files."""

from __future__ import annotations

from typing import Protocol

from twokeys.digest import Json
from twokeys.signature import KeyRole, PublicKey, Signature


class Signer(Protocol):
    """Signs; the private keys never leave it."""

    def sign(self, type_name: str, payload: Json, role: KeyRole) -> Signature:
        """Sign a payload of at most 4,096 bytes.

        Raises:
            InvalidInput: for a payload that can't be signed.
            Unavailable: when the key can't be used now.
        """

    def public_keys(self) -> list[PublicKey]:
        """Every verification key, old ones included."""
