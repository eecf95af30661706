"""What stands instead of a value tells no more than its form allows."""

from __future__ import annotations

import pytest

from edge_agent.mask.forms import REDACTED, masked
from twokeys.data_class import Form


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("ann@example.com", "a***@example.com"),
        ("ä@example.com", "ä***@example.com"),
        ("5555555555554444", "***4444"),
        ("1234567", "***"),
        ("@", "***"),
        ("", "***"),
        ("größer als acht", "***acht"),
    ],
)
def test_a_partial_mask_keeps_an_address_domain_or_four_characters(value: str, shown: str) -> None:
    assert masked(Form.PARTIAL, value.encode(), b"") == shown.encode()


def test_equal_values_have_equal_hashes_under_one_key_and_no_other() -> None:
    one = masked(Form.HASH, b"ann@example.com", b"k1")
    assert one == masked(Form.HASH, b"ann@example.com", b"k1")
    assert one != masked(Form.HASH, b"ann@example.com", b"k2")
    assert one != masked(Form.HASH, b"rob@example.com", b"k1")


def test_without_a_key_there_is_no_hash_to_guess_by() -> None:
    assert masked(Form.HASH, b"ann@example.com", b"") == REDACTED


def test_null_and_redacted_say_nothing() -> None:
    assert masked(Form.NULL, b"x", b"k") is None
    assert masked(Form.REDACT, b"x", b"k") == REDACTED
