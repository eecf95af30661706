"""Encrypting bodies: one data key per session, made here, wrapped for the control plane, never stored unwrapped.

What is encrypted and how it is framed say `twokeys.body` and `twokeys.segment_files`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from twokeys.body import KEY_BYTES, NONCE_BYTES, WRAPPING, associated_data
from twokeys.digest import from_base64, to_base64
from twokeys.errors import InvalidInput
from twokeys.messages import Base64, Id, Message, Short

MIN_WRAPPING_BITS: Final = 3072
"""Smallest RSA key to which data keys are wrapped (NIST SP 800-57: 128 bits of strength)."""

MAX_WRAPPING_BITS: Final = 4096
"""Largest one: KMS has none above, and a huge key would be a weapon."""

MAX_KEY_LINE_BYTES: Final = 4096
"""Longest line of a `keys` file."""


class KeyLine(Message, frozen=True, kw_only=True):
    """One line of a `keys` file: a session's data key, wrapped."""

    session: Id
    wrapping_key_id: Short
    wrapped: Base64

    def line(self) -> bytes:
        """With its newline."""
        return msgspec.json.encode(self) + b"\n"


@dataclass(frozen=True, slots=True)
class WrappingKey:
    """The control plane's public wrapping key, from the Bundle."""

    key_id: str
    public: rsa.RSAPublicKey

    @classmethod
    def read(cls, key_id: str, der_base64: str) -> WrappingKey:
        """Read it from the Bundle's form. Raises InvalidInput unless it is RSA of 3072 to 4096 bits."""
        try:
            key = serialization.load_der_public_key(from_base64(der_base64))
        except (ValueError, UnsupportedAlgorithm) as error:
            raise _unusable("it can't be read") from error
        if not isinstance(key, rsa.RSAPublicKey) or not MIN_WRAPPING_BITS <= key.key_size <= MAX_WRAPPING_BITS:
            raise _unusable(f"it is not RSA of {MIN_WRAPPING_BITS} to {MAX_WRAPPING_BITS} bits")
        return cls(key_id, key)


def _unusable(why: str) -> InvalidInput:
    return InvalidInput(
        f"The wrapping key can't be used: {why}.", not_done="No body was encrypted for it.", code="bad_wrapping_key"
    )


class SessionKey:
    """One session's data key, in memory only as long as the session; the journal saves its wrapped form once."""

    __slots__ = ("_count", "cipher", "key_line", "place", "saved", "session")

    def __init__(self, session: str, wrapping: WrappingKey) -> None:
        """Make a fresh key for this session id."""
        key = os.urandom(KEY_BYTES)
        self.session = session
        self.cipher = AESGCM(key).encrypt
        """Encrypts under it: nonce, plain, associated data."""
        self.key_line = KeyLine(
            session=session, wrapping_key_id=wrapping.key_id, wrapped=to_base64(wrapping.public.encrypt(key, WRAPPING))
        )
        self.saved = False
        self._count = 0
        self.place = associated_data(session)
        """Associated data of its bodies, as far as the sequence."""

    def encrypt(self, sequence: int, plain: bytes) -> bytes:
        """Encrypt the body of the record with this sequence, as `twokeys.body.encrypt` does."""
        nonce = self.counted().to_bytes(NONCE_BYTES, "big")
        return nonce + self.cipher(nonce, plain, b"%b%d" % (self.place, sequence))

    def counted(self) -> int:
        """What the next nonce counts.

        Nonces count the bodies of this key (NIST SP 800-38D section 8.2.1): the key is of this process alone, and is
        gone with the session, so no count comes twice.
        """
        self._count = count = self._count + 1
        return count
