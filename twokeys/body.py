"""Bodies of Records: how they are encrypted. How they lie in a file says `twokeys.segment_files`.

    plain   canonical JSON of what a header must not show: exact text, values, output
    cipher  nonce (12 bytes) + AES-256-GCM ciphertext with tag, under the session's data key (NIST SP 800-38D);
            associated data: "twokeys/body/v1\\n" + session id + "\\n" + sequence in decimal

A Record's `body_sha256` is over its cipher, so the chain verifies without any key. A session's data key travels
wrapped by RSA-OAEP with SHA-256 and MGF1-SHA-256 (RFC 8017 section 7.1).
"""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from twokeys.errors import Refused

NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
KEY_BYTES: Final = 32

WRAPPING: Final = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
"""How data keys are wrapped."""

_SHORTEST_CIPHER: Final = NONCE_BYTES + TAG_BYTES


def associated_data(session: str, sequence: int | str = "") -> bytes:
    """What binds a body to its place: moved to another record or session it does not decrypt.

    Without a sequence it is what comes before one.
    """
    return f"twokeys/body/v1\n{session}\n{sequence}".encode()


def encrypt(cipher: AESGCM, nonce: bytes, session: str, sequence: int, plain: bytes) -> bytes:
    """Encrypt one body; the nonce must never have been used with this key."""
    return nonce + cipher.encrypt(nonce, plain, associated_data(session, sequence))


def decrypt(cipher: AESGCM, session: str, sequence: int, data: bytes) -> bytes:
    """Decrypt one body.

    Raises:
        Refused: when key, place or bytes are not those of the encryption.
    """
    if len(data) < _SHORTEST_CIPHER:
        raise Refused("A body is too short to be one.", not_done="It was not read.", code="bad_body")
    try:
        return cipher.decrypt(data[:NONCE_BYTES], data[NONCE_BYTES:], associated_data(session, sequence))
    except InvalidTag:
        raise Refused(
            "A body does not decrypt with its session's key at its place.", not_done="It was not read.", code="bad_body"
        ) from None
