"""Session data keys unwrapped by KMS: RSAES_OAEP_SHA_256; the private key never leaves it."""

from __future__ import annotations

from typing import Final

from botocore.exceptions import ClientError
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from twokeys.digest import sha256
from twokeys.errors import Refused, Unavailable

from .clients import Clients
from .errors import code_of, told
from .public_keys import KmsKey, PublicKeys

ALGORITHM: Final = "RSAES_OAEP_SHA_256"

NOT_OURS: Final = frozenset({"InvalidCiphertextException", "IncorrectKeyException"})
"""Codes for bytes that this key did not wrap."""


class KmsWrapping:
    """Implements `ports.wrapping.Wrapping`."""

    def __init__(self, clients: Clients, key: str) -> None:
        """Args: clients: of AWS; key: id or ARN of an RSA key that decrypts."""
        self._clients, self._key, self._public = clients, key, PublicKeys(clients)

    @property
    def key_id(self) -> str:
        # By its public half, as everywhere: the name stays when a deployment moves to another region or account.
        return sha256(self._known().der)[:32]

    def public_der(self) -> bytes:
        return self._known().der

    def unwrap(self, key_id: str, wrapped: bytes) -> bytes:
        known = self._known()
        if key_id != sha256(known.der)[:32] or len(wrapped) != _size(known):
            raise _refused()
        with told("KMS", "Its bodies were not read."):
            try:
                answer = self._clients.of("kms").decrypt(
                    KeyId=self._key, CiphertextBlob=wrapped, EncryptionAlgorithm=ALGORITHM
                )
            except ClientError as error:
                if code_of(error) in NOT_OURS:
                    raise _refused() from error
                raise
        self._public.check(self._key, answer["KeyId"])
        return bytes(answer["Plaintext"])

    def _known(self) -> KmsKey:
        known = self._public.of(self._key)
        if known.usage != "ENCRYPT_DECRYPT" or not _size(known):
            raise Unavailable("The wrapping key is no RSA key that decrypts.", not_done="Nothing was unwrapped.",
                              advice="Look at TWOKEYS_WRAPPING_KEY.", code="bad_keys")  # fmt: skip
        return known


def _size(known: KmsKey) -> int:
    """Length of what the key wraps, in bytes: that of its modulus; 0 when it is no RSA key."""
    public = serialization.load_der_public_key(known.der)
    return public.key_size // 8 if isinstance(public, rsa.RSAPublicKey) else 0


def _refused() -> Refused:
    # One answer for every fault: which one it was must not be told.
    return Refused("A session's key does not unwrap.", not_done="Its bodies were not read.", code="bad_session_key")
