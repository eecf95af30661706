"""Bodies: bound to their place, and cut only where they were framed."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from twokeys.body import decrypt, encrypt, frame, frames
from twokeys.errors import InvalidInput, Refused

KEY = AESGCM(b"k" * 32)
NONCE = b"n" * 12
CIPHER = encrypt(KEY, NONCE, "ses-1", 7, b"secret")


def test_a_body_reads_back_at_its_place_only() -> None:
    assert decrypt(KEY, "ses-1", 7, CIPHER) == b"secret"
    for session, sequence, data in (("ses-2", 7, CIPHER), ("ses-1", 8, CIPHER), ("ses-1", 7, CIPHER[:-1] + b"x"),
                                    ("ses-1", 7, CIPHER[:20]), ("ses-1", 7, b"")):
        with pytest.raises(Refused):
            decrypt(KEY, session, sequence, data)
    with pytest.raises(Refused):
        decrypt(AESGCM(b"j" * 32), "ses-1", 7, CIPHER)


@given(st.lists(st.binary(min_size=28, max_size=40), max_size=5))
def test_frames_read_back_in_order(ciphers: list[bytes]) -> None:
    data = b"".join(frame(number, one) for number, one in enumerate(ciphers, 1))
    assert [(sequence, one) for _, sequence, one in frames(data)] == list(enumerate(ciphers, 1))


@given(st.binary(max_size=200))
def test_any_bytes_are_frames_or_refused(data: bytes) -> None:
    try:
        again = b"".join(frame(sequence, one) for _, sequence, one in frames(data))
    except InvalidInput:
        return
    assert again == data


def test_a_cut_or_doubled_frame_is_located() -> None:
    good = frame(7, CIPHER)
    for data in (good + good, good + good[:5], good + good[:-1], good + frame(8, b"short")):
        with pytest.raises(InvalidInput, match=f"at byte {len(good)}"):
            list(frames(data))
