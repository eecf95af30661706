"""SASLprep (RFC 4013): one form of a password however it was typed. Uses the standard library's tables (RFC 3454)."""

from __future__ import annotations

import stringprep
import unicodedata

from twokeys.errors import InvalidInput

_PROHIBITED = (
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
    stringprep.in_table_a1,
)


def saslprep(text: str) -> str:
    """Prepare a password (RFC 4013 section 2).

    Raises:
        InvalidInput: It becomes empty, has a prohibited or unassigned character, or mixes directions.
    """
    if text.isascii() and text.isprintable() and text:
        return text
    kept = (char for char in text if not stringprep.in_table_b1(char))
    mapped = "".join(" " if stringprep.in_table_c12(char) else char for char in kept)
    prepared = unicodedata.ucd_3_2_0.normalize("NFKC", mapped)
    if not prepared or any(prohibits(char) for char in prepared for prohibits in _PROHIBITED):
        raise _refusal()
    if any(stringprep.in_table_d1(char) for char in prepared) and (
        any(stringprep.in_table_d2(char) for char in prepared)
        or not stringprep.in_table_d1(prepared[0])
        or not stringprep.in_table_d1(prepared[-1])
    ):
        raise _refusal()
    return prepared


def password_bytes(password: str) -> bytes:
    """The bytes that go into SCRAM: prepared, or as they are where SASLprep refuses them, as PostgreSQL does.

    Source: PostgreSQL's `scram_build_secret`, which falls back to the raw password.
    """
    try:
        return saslprep(password).encode()
    except InvalidInput:
        return password.encode("utf-8", "surrogatepass")


def _refusal() -> InvalidInput:
    return InvalidInput(
        "A password has characters that SASLprep forbids.", not_done="It was not used.", code="bad_password"
    )
