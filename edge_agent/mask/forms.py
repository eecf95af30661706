"""What stands instead of a value."""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

from twokeys.data_class import Form

REDACTED: Final = b"***"
"""Instead of a redacted text."""

HASH_CHARS: Final = 24
"""Hexadecimal digits of a keyed hash that are shown: 96 bits, so that equal values alone are equal."""

_ASCII: Final = 0x80
_SHOWN_END: Final = 4
_LONG: Final = 8


def masked(form: Form, value: bytes, key: bytes) -> bytes | None:
    """What is shown instead of a text; None is NULL.

    Args:
        form: The mask owed.
        value: UTF-8, as it is in the text format and, for the types of text, in the binary one.
        key: The deployment's secret for hashes. Without one a hash could be guessed by trying: redacted then.
    """
    match form:
        case Form.NULL:
            return None
        case Form.PARTIAL:
            return partial(value)
        case Form.HASH if key:
            return b"h:" + hmac.digest(key, value, hashlib.sha256).hex()[:HASH_CHARS].encode()
        case _:
            return REDACTED


def partial(value: bytes) -> bytes:
    """An e-mail address's first character and domain; else the last four of at least eight; else nothing of it."""
    local, _, domain = value.rpartition(b"@")
    if local and domain:
        # Of UTF-8 the first whole character.
        first = local[:1] if local[0] < _ASCII else local.decode("utf-8", "replace")[:1].encode()
        return b"%b%b@%b" % (first, REDACTED, domain)
    text = value.decode("utf-8", "replace")
    return REDACTED + text[-_SHOWN_END:].encode() if len(text) >= _LONG else REDACTED
