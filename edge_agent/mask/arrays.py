"""Arrays of text, element by element, in text and binary format.

https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO; array_send() of arrayfuncs.c for the binary one.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import Final

Change = Callable[[bytes], bytes | None]
"""What stands instead of an element; None is NULL."""

MAX_DIMENSIONS: Final = 6
"""MAXDIM of the server."""

ELEMENT_TYPES: Final = frozenset({25, 1043, 1042, 19})
"""text, varchar, char and name."""

_INT: Final = struct.Struct("!i")
_HEAD: Final = struct.Struct("!iiI")
_BOUNDS: Final = re.compile(rb"(?:\[[+-]?[0-9]+:[+-]?[0-9]+\])+=")
_TOKEN: Final = re.compile(rb'([{},])|"([^"\\]*(?:\\.[^"\\]*)*)"|([^{},"\\\s]+)', re.DOTALL)
_ESCAPED: Final = re.compile(rb"\\(.)", re.DOTALL)
_SPECIAL: Final = re.compile(rb'(["\\])')


class UnreadableArray(ValueError):
    """It is not as the server writes arrays of text."""


def change_text(value: bytes, change: Change) -> bytes:
    """Rewrite an array in its text format. Raises UnreadableArray."""
    bounds = _BOUNDS.match(value)
    at = bounds.end() if bounds else 0
    out, depth = [value[:at]], 0
    while at < len(value):
        found = _TOKEN.match(value, at)
        if found is None or (depth == 0 and found[0] != b"{") or (depth == 0 and len(out) > 1):
            raise UnreadableArray
        depth += (found[1] == b"{") - (found[1] == b"}")
        out.append(found[0] if found[1] else _spelled(found, change))
        at = found.end()
    if depth or len(out) == 1:
        raise UnreadableArray
    return b"".join(out)


def _spelled(found: re.Match[bytes], change: Change) -> bytes:
    if found[3] is not None and found[3].upper() == b"NULL":
        return found[0]
    plain = _ESCAPED.sub(rb"\1", found[2]) if found[2] is not None else found[3]
    shown = change(plain)
    if shown is None:
        return b"NULL"
    return found[0] if shown == plain else b'"' + _SPECIAL.sub(rb"\\\1", shown) + b'"'


def change_binary(value: bytes, change: Change) -> bytes:
    """Rewrite an array in its binary format. Raises UnreadableArray."""
    try:
        dimensions, nulls, element = _HEAD.unpack_from(value)
        if not 0 <= dimensions <= MAX_DIMENSIONS or nulls not in (0, 1) or element not in ELEMENT_TYPES:
            raise UnreadableArray
        at = start = _HEAD.size + 8 * dimensions
        count = 1 if dimensions else 0
        for dimension in range(dimensions):
            (size,) = _INT.unpack_from(value, _HEAD.size + 8 * dimension)
            count *= size
            # Each element has a length of four bytes: none is counted that can't be there.
            if size < 0 or count * 4 > len(value):
                raise UnreadableArray
        elements: list[bytes] = []
        for _ in range(count):
            (length,) = _INT.unpack_from(value, at)
            at += 4
            if length < -1 or at + length > len(value):
                raise UnreadableArray
            shown = change(value[at : at + length]) if length >= 0 else None
            at += max(length, 0)
            nulls |= shown is None
            elements.append(_INT.pack(-1) if shown is None else _INT.pack(len(shown)) + shown)
    except struct.error as error:
        raise UnreadableArray from error
    if at != len(value):
        raise UnreadableArray
    return _HEAD.pack(dimensions, nulls, element) + value[_HEAD.size : start] + b"".join(elements)


def one_element(value: bytes, shown: bytes, *, binary: bool) -> bytes:
    """An array of one text instead of another: it does not tell how many there were. Raises UnreadableArray."""
    if not binary:
        return b'{"' + _SPECIAL.sub(rb"\\\1", shown) + b'"}'
    if len(value) < _HEAD.size:
        raise UnreadableArray
    element = _HEAD.unpack_from(value)[2]
    if element not in ELEMENT_TYPES:
        raise UnreadableArray
    return _HEAD.pack(1, 0, element) + struct.pack("!iii", 1, 1, len(shown)) + shown
