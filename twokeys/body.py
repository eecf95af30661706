"""Bodies of Records: how they are encrypted, and how a Segment's `bodies` file is cut into them.

    plain   canonical JSON of what a header must not show: exact text, values, output
    cipher  nonce (12 bytes) + AES-256-GCM ciphertext with tag, under the session's data key (NIST SP 800-38D);
            associated data: "twokeys/body/v1\\n" + session id + "\\n" + sequence in decimal
    frame   sequence (8 bytes, big endian) + length of cipher (4 bytes, big endian) + cipher
    file    frames one after the other, in rising sequence

A Record's `body_sha256` is over its cipher, so the chain verifies without any key. A session's data key travels
wrapped by RSA-OAEP with SHA-256 and MGF1-SHA-256 (RFC 8017 section 7.1).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from twokeys.errors import InvalidInput, Refused

MAX_CIPHER_BYTES: Final = 64 * 1024 * 1024
"""Longest ciphertext of one body that anybody reads."""

NONCE_BYTES: Final = 12
KEY_BYTES: Final = 32

FRAME_HEAD: Final = struct.Struct(">QI")
"""What stands before each ciphertext: sequence, length."""

WRAPPING: Final = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
"""How data keys are wrapped."""

_SHORTEST_CIPHER: Final = NONCE_BYTES + 16


def associated_data(session: str, sequence: int) -> bytes:
    """What binds a body to its place: moved to another record or session it does not decrypt."""
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
        raise Refused("A body does not decrypt with its session's key at its place.", not_done="It was not read.",
                      code="bad_body") from None


def frame(sequence: int, data: bytes) -> bytes:
    """One frame of a `bodies` file."""
    return FRAME_HEAD.pack(sequence, len(data)) + data


def frames(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Cut a `bodies` file: offset of the frame, sequence, ciphertext.

    Raises:
        InvalidInput: where a frame is cut off, too long, too short, or not in rising sequence.
    """
    at, last = 0, 0
    while at < len(data):
        if len(data) - at < FRAME_HEAD.size:
            raise _broken(at, "its head is cut off")
        sequence, length = FRAME_HEAD.unpack_from(data, at)
        start = at + FRAME_HEAD.size
        if not _SHORTEST_CIPHER <= length <= MAX_CIPHER_BYTES or len(data) - start < length:
            raise _broken(at, "its length is wrong")
        if sequence <= last:
            raise _broken(at, "its sequence does not rise")
        yield at, sequence, data[start:start + length]
        at, last = start + length, sequence


def _broken(at: int, why: str) -> InvalidInput:
    return InvalidInput(f"The bodies file is broken at byte {at}: {why}.", not_done="It was not read further.",
                        code="broken_bodies")
