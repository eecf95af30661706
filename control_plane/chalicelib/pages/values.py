"""Reads a bound value as a person would: by its type where that is known, else as hexadecimal digits.

A value that can't be decoded as its type says is shown as bytes and never guessed at.

Source: PostgreSQL's `*_send` functions (binary format), `pg_type.dat` (type OIDs).
"""

from __future__ import annotations

import datetime
import struct
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_EPOCH = datetime.datetime(2000, 1, 1)
_DAY_EPOCH = datetime.date(2000, 1, 1)

_ARRAYS: Final = {
    1000: 16,
    1005: 21,
    1007: 23,
    1016: 20,
    1021: 700,
    1022: 701,
    1009: 25,
    1015: 1043,
    2951: 2950,
    1182: 1082,
    1115: 1114,
    1185: 1184,
    1231: 1700,
    1028: 26,
}

_NAMES: Final = {
    16: "boolean",
    17: "bytea",
    18: '"char"',
    19: "name",
    20: "bigint",
    21: "smallint",
    23: "integer",
    25: "text",
    26: "oid",
    114: "json",
    142: "xml",
    700: "real",
    701: "double precision",
    1042: "character",
    1043: "varchar",
    1082: "date",
    1083: "time",
    1114: "timestamp",
    1184: "timestamptz",
    1186: "interval",
    1700: "numeric",
    2950: "uuid",
    3802: "jsonb",
}

MAX_ARRAY_ELEMENTS: Final = 10_000
"""Longest array that is read; a longer one is shown as bytes."""


class _NotReadable(ValueError):
    """The bytes aren't what their type says."""


@dataclass(frozen=True, slots=True)
class ShownValue:
    """How a value is shown.

    Args:
        type_name: PostgreSQL's name of the type, or its OID in words.
        text: What is printed.
        how: ``text``, ``decoded`` (from the binary format), ``hex`` or ``null``.
    """

    type_name: str
    text: str
    how: str


def show(oid: int, format_code: int, value: bytes | None, resolved: str = "") -> ShownValue:
    """Show one bound value.

    Args:
        oid: Type OID as Parse gave it; 0 where the client left it to the server.
        format_code: 0 text, 1 binary.
        value: As Bind gave it; None is SQL NULL.
        resolved: The type's name as the server told it, or empty; counts only where the OID says nothing to us.
    """
    if resolved and type_of(oid) is None:
        # The OID is 0, or of a type that this database alone has.
        oid, name = (_RESOLVED.get(resolved, oid) if oid == 0 else oid), resolved
    else:
        name = type_name(oid)
    if value is None:
        return ShownValue(name, "NULL", "null")
    try:
        if format_code == 0:
            return ShownValue(name, value.decode("utf-8"), "text")
        return ShownValue(name, _decode(oid, value), "decoded")
    except (UnicodeDecodeError, ValueError, OverflowError, struct.error):
        return ShownValue(name, value.hex(" ", 1), "hex")


def type_of(oid: int) -> str | None:
    """The name of one of PostgreSQL's own types that is known here, else None."""
    return f"{_NAMES[_ARRAYS[oid]]}[]" if oid in _ARRAYS else _NAMES.get(oid)


def type_name(oid: int) -> str:
    """A type's name, or what is known of it."""
    return "type left to the server" if oid == 0 else type_of(oid) or f"type with OID {oid}"


_AS_FORMATTED: Final = {
    1042: "character",
    1043: "character varying",
    1083: "time without time zone",
    1114: "timestamp without time zone",
    1184: "timestamp with time zone",
}
"""PostgreSQL's format_type writes these out."""

_RESOLVED: Final = {_AS_FORMATTED.get(oid, name): oid for oid, name in _NAMES.items()} | {
    f"{_AS_FORMATTED.get(element, _NAMES[element])}[]": oid for oid, element in _ARRAYS.items()
}
"""OID by the name that the server gives; how a binary value is read whose type was left to it."""


def _decode(oid: int, value: bytes) -> str:
    if oid in _ARRAYS:
        return _array(_ARRAYS[oid], value)
    reader = _READERS.get(oid)
    if reader is None:
        raise _NotReadable
    return reader(value)


def _text(value: bytes) -> str:
    return value.decode("utf-8")


def _boolean(value: bytes) -> str:
    if value not in (b"\x00", b"\x01"):
        raise _NotReadable
    return "true" if value == b"\x01" else "false"


def _number(layout: str) -> Callable[[bytes], str]:
    return lambda value: repr(struct.unpack(layout, value)[0])


def _single(value: bytes) -> str:
    return f"{struct.unpack('!f', value)[0]:.9g}"


def _uuid(value: bytes) -> str:
    return str(uuid.UUID(bytes=value))


def _jsonb(value: bytes) -> str:
    if value[:1] != b"\x01":
        raise _NotReadable
    return value[1:].decode("utf-8")


def _date(value: bytes) -> str:
    days: int = struct.unpack("!i", value)[0]
    if days in (2**31 - 1, -(2**31)):
        return "infinity" if days > 0 else "-infinity"
    return (_DAY_EPOCH + datetime.timedelta(days=days)).isoformat()


def _timestamp(suffix: str) -> Callable[[bytes], str]:
    def read(value: bytes) -> str:
        microseconds: int = struct.unpack("!q", value)[0]
        if microseconds in (2**63 - 1, -(2**63)):
            return "infinity" if microseconds > 0 else "-infinity"
        return (_EPOCH + datetime.timedelta(microseconds=microseconds)).isoformat(" ") + suffix

    return read


def _numeric(value: bytes) -> str:
    """numeric_send: digit count, weight, sign, display scale, then digits in base 10,000."""
    count, weight, sign, scale = struct.unpack("!hhHh", value[:8])
    if sign in (0xC000, 0xD000, 0xF000):
        return {0xC000: "NaN", 0xD000: "Infinity", 0xF000: "-Infinity"}[sign]
    if sign not in (0, 0x4000) or scale < 0 or abs(weight) > 4096:
        raise _NotReadable
    digits = struct.unpack(f"!{count}h", value[8:])
    if any(not 0 <= digit < 10_000 for digit in digits):
        raise _NotReadable
    at = {weight - index: digit for index, digit in enumerate(digits)}
    whole = "".join(f"{at.get(place, 0):04d}" for place in range(max(weight, 0), -1, -1)).lstrip("0") or "0"
    groups = (scale + 3) // 4
    fraction = "".join(f"{at.get(place, 0):04d}" for place in range(-1, -groups - 1, -1))
    if any(digit for place, digit in at.items() if place < -groups):
        raise _NotReadable
    # Digits past the display scale would change the value if they were cut.
    shown = fraction[:scale] + fraction[scale:].rstrip("0")
    return ("-" if sign else "") + whole + (f".{shown}" if shown else "")


def _array(element: int, value: bytes) -> str:
    """array_send with one dimension or none: dimensions, null flag, element OID, length, lower bound, elements."""
    dimensions, _, oid = struct.unpack("!iiI", value[:12])
    if dimensions == 0 and len(value) == 12:
        return "{}"
    length, lower = struct.unpack("!ii", value[12:20])
    if dimensions != 1 or oid != element or lower != 1 or not 0 <= length <= MAX_ARRAY_ELEMENTS:
        raise _NotReadable
    shown, position = [], 20
    for _ in range(length):
        size: int = struct.unpack("!i", value[position : position + 4])[0]
        position += 4
        if size < -1 or position + max(size, 0) > len(value):
            raise _NotReadable
        shown.append("NULL" if size == -1 else _quoted(_decode(element, value[position : position + size])))
        position += max(size, 0)
    if position != len(value):
        raise _NotReadable
    return "{" + ", ".join(shown) + "}"


def _quoted(text: str) -> str:
    """An element as array_out writes it: quoted where a reader could take it for something else."""
    if text and text.upper() != "NULL" and not any(letter in '{}",\\' or letter.isspace() for letter in text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


_READERS: Final[dict[int, Callable[[bytes], str]]] = {
    16: _boolean,
    17: lambda value: "\\x" + value.hex(),
    19: _text,
    20: _number("!q"),
    21: _number("!h"),
    23: _number("!i"),
    25: _text,
    26: _number("!I"),
    114: _text,
    142: _text,
    700: _single,
    701: _number("!d"),
    1042: _text,
    1043: _text,
    1082: _date,
    1114: _timestamp(""),
    1184: _timestamp("+00:00"),
    1700: _numeric,
    2950: _uuid,
    3802: _jsonb,
}
