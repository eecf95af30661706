"""Canonical JSON, digests and the bytes that are signed.

Signed bytes are ``twokeys/<type>/v1\\n`` followed by canonical JSON: RFC 8785 (JSON Canonicalization Scheme)
restricted to objects, arrays, strings, booleans and integers below 2**53. Bytes travel as base64 (RFC 4648
section 4). Absent values are left out: there is no null and no floating point, so there is one spelling.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Final

from twokeys.errors import InvalidInput

MAX_INTEGER: Final = 2**53 - 1
"""Largest integer that every JSON reader keeps exactly (RFC 8785 section 3.2.2.3, I-JSON)."""

MAX_DEPTH: Final = 32
"""Nesting allowed in a canonical value; deeper is refused before recursion becomes a weapon."""

MAX_SIGNED_BYTES: Final = 4096
"""What KMS signs in one call with MessageType RAW; kept by both backends."""

Json = Mapping[str, "Json"] | Sequence["Json"] | str | bool | int

_TYPE_NAME = re.compile(r"[a-z][a-z0-9-]{0,40}")


def canonical(value: Json) -> bytes:
    """Encode a value as canonical JSON.

    Args:
        value: Objects with string keys, arrays, strings, booleans, integers with absolute value below 2**53.

    Returns:
        UTF-8 bytes, the one spelling of that value.

    Raises:
        InvalidInput: for floats, null, other types, lone surrogates, integers out of range or deep nesting.
    """
    return _encode(value, 0).encode("utf-8")


def _encode(value: object, depth: int) -> str:
    if depth > MAX_DEPTH:
        raise InvalidInput(f"A value is nested deeper than {MAX_DEPTH}.", not_done="It was not encoded.")
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        if abs(value) > MAX_INTEGER:
            raise InvalidInput("An integer is out of the range of canonical JSON.", not_done="It was not encoded.")
        return str(value)
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise InvalidInput("A canonical object has a key that is no string.", not_done="It was not encoded.")
        # RFC 8785 section 3.2.3: keys sort by their UTF-16 code units, not by code points.
        keys = sorted(value, key=_utf16)
        return "{" + ",".join(f"{_string(key)}:{_encode(value[key], depth + 1)}" for key in keys) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(_encode(item, depth + 1) for item in value) + "]"
    raise InvalidInput(f"Canonical JSON has no {type(value).__name__}.", not_done="It was not encoded.")


def _string(text: str) -> str:
    _utf16(text)
    return json.dumps(text, ensure_ascii=False)


def _utf16(text: str) -> bytes:
    try:
        return text.encode("utf-16-be")
    except UnicodeEncodeError as error:
        raise InvalidInput("A string holds a lone surrogate.", not_done="It was not encoded.") from error


def signed_bytes(type_name: str, payload: Json) -> bytes:
    """Return the exact bytes that a signature of this type covers.

    Raises:
        InvalidInput: for a bad type name, a value canonical JSON lacks, or more than 4,096 bytes.
    """
    if not _TYPE_NAME.fullmatch(type_name):
        raise InvalidInput("A signed type's name is malformed.", not_done="Nothing was signed.")
    data = f"twokeys/{type_name}/v1\n".encode("ascii") + canonical(payload)
    if len(data) > MAX_SIGNED_BYTES:
        raise InvalidInput(f"What is signed is over {MAX_SIGNED_BYTES} bytes.", not_done="Nothing was signed.")
    return data


def sha256(data: bytes) -> str:
    """SHA-256 (FIPS 180-4) as 64 lower-case hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def digest(type_name: str, payload: Json) -> str:
    """Versioned digest of a value: SHA-256 over ``twokeys/<type>/v1\\n`` + canonical JSON, of any length."""
    if not _TYPE_NAME.fullmatch(type_name):
        raise InvalidInput("A digest's type name is malformed.", not_done="Nothing was digested.")
    return sha256(f"twokeys/{type_name}/v1\n".encode("ascii") + canonical(payload))


def to_base64(data: bytes) -> str:
    """Bytes as base64 text, with padding (RFC 4648 section 4)."""
    return base64.b64encode(data).decode("ascii")


def from_base64(text: str) -> bytes:
    """Base64 text as bytes.

    Raises:
        InvalidInput: for anything that is not the one canonical spelling.
    """
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise InvalidInput("A base64 value is malformed.", not_done="It was not read.") from error
    if to_base64(data) != text:
        raise InvalidInput("A base64 value is not in its one spelling.", not_done="It was not read.")
    return data
