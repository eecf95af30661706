"""Bodies are bound to their place."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from twokeys.body import decrypt, encrypt
from twokeys.errors import Refused

KEY = AESGCM(b"k" * 32)
NONCE = b"n" * 12
CIPHER = encrypt(KEY, NONCE, "ses-1", 7, b"secret")


def test_a_body_reads_back_at_its_place_only() -> None:
    assert decrypt(KEY, "ses-1", 7, CIPHER) == b"secret"
    for session, sequence, data in (
        ("ses-2", 7, CIPHER),
        ("ses-1", 8, CIPHER),
        ("ses-1", 7, CIPHER[:-1] + b"x"),
        ("ses-1", 7, CIPHER[:20]),
        ("ses-1", 7, b""),
    ):
        with pytest.raises(Refused):
            decrypt(KEY, session, sequence, data)
    with pytest.raises(Refused):
        decrypt(AESGCM(b"j" * 32), "ses-1", 7, CIPHER)
