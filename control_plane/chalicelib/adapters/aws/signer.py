"""Approvals and Seals signed by KMS: ECDSA_SHA_256 over the very bytes (MessageType RAW), which hash inside KMS.

Source: AWS KMS API reference, "Sign"; the answer is the DER signature that `twokeys.signature` verifies.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from twokeys.digest import Json, signed_bytes
from twokeys.errors import InvalidInput, Unavailable
from twokeys.signature import KeyRole, PublicKey, Signature

from .clients import Clients
from .errors import told
from .public_keys import PublicKeys

ALGORITHM: Final = "ECDSA_SHA_256"
USAGE: Final = "SIGN_VERIFY"


class KmsSigner:
    """Implements `ports.signer.Signer`."""

    def __init__(self, clients: Clients, approval_keys: Sequence[str], seal_keys: Sequence[str]) -> None:
        """Args: clients: of AWS; the rest: KMS keys of each role; the first signs, the others only verify."""
        self._clients, self._public = clients, PublicKeys(clients)
        self._keys = {KeyRole.APPROVAL: list(approval_keys), KeyRole.SEAL: list(seal_keys)}

    def sign(self, type_name: str, payload: Json, role: KeyRole) -> Signature:
        message = signed_bytes(type_name, payload)
        keys = self._keys.get(role)
        if not keys:
            raise Unavailable(f"There is no key for {role.value}.", not_done="Nothing was signed.", code="no_key")
        public = next(key for key in self.public_keys() if key.role is role)
        with told("KMS", "Nothing was signed."):
            answer = self._clients.of("kms").sign(
                KeyId=keys[0], Message=message, MessageType="RAW", SigningAlgorithm=ALGORITHM
            )
        self._public.check(keys[0], answer["KeyId"])
        return Signature(public.key_id, bytes(answer["Signature"]))

    def public_keys(self) -> list[PublicKey]:
        found = [self._read(key, role) for role, keys in self._keys.items() for key in keys]
        if len({key.key_id for key in found}) != len(found):
            # One key in both roles would let a Seal's key sign Approvals.
            raise _bad("one is named twice")
        return found

    def _read(self, key: str, role: KeyRole) -> PublicKey:
        known = self._public.of(key)
        if known.usage != USAGE:
            raise _bad(f"one is for {known.usage}")
        try:
            return PublicKey.from_der(known.der, role)
        except InvalidInput as error:
            raise _bad("one is not on P-256") from error


def _bad(why: str) -> Unavailable:
    return Unavailable(f"The signing keys can't be used: {why}.", not_done="Nothing was signed.",
                       advice="Look at TWOKEYS_APPROVAL_KEYS and TWOKEYS_SEAL_KEYS.", code="bad_keys")  # fmt: skip
