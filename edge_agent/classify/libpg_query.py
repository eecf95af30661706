"""libpg_query as postgast carries it, without postgast's Python side: that alone takes 9 MB, of which nothing is used.

Two things are taken from the installed package: its binding of the C library, loaded by its file, and the grammar's
description (`pg_query.desc`, a serialised FileDescriptorSet), read here. The tests hold both against the package.
https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

_VARINT: Final = 0
_BYTES: Final = 2
_MESSAGE_TYPE: Final = 11

# Field numbers of google/protobuf/descriptor.proto.
_FILE_NAME, _FILE_MESSAGE, _FILE_ENUM = 1, 4, 5
_NAME, _MESSAGE_FIELD, _JSON_NAME = 1, 2, 10
_FIELD_TYPE, _FIELD_TYPE_NAME = 5, 6
_ENUM_VALUE, _VALUE_NUMBER = 2, 2


class Malformed(ValueError):
    """Bytes that are no message of the expected kind."""


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field: an int for a varint, bytes for what has a length. Others don't occur.

    Raises:
        Malformed: the bytes end too early, or hold another kind.
    """
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        value, at = _varint(data, at)
        if key & 7 == _BYTES:
            if at + value > len(data):
                raise Malformed
            yield key >> 3, data[at : at + value]
            at += value
        elif key & 7 == _VARINT:
            yield key >> 3, value
        else:
            raise Malformed


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise Malformed


@dataclass(frozen=True, slots=True)
class Description:
    """What `pg_query.proto` says.

    Args:
        field_types: By message: each field that holds a message, by its JSON name, and that message's name.
        tokens: Numbers of the scanner's tokens, by name.
    """

    field_types: Mapping[str, Mapping[str, str]]
    tokens: Mapping[str, int]


def describe(data: bytes) -> Description:
    """Read a serialised FileDescriptorSet. Raises Malformed when it is none, or not of `pg_query.proto`."""
    for _, file in fields(data):
        found = list(fields(_as_bytes(file)))
        if (_FILE_NAME, b"pg_query.proto") in found:
            messages = dict(_message(_as_bytes(value)) for number, value in found if number == _FILE_MESSAGE)
            enums = dict(_enum(_as_bytes(value)) for number, value in found if number == _FILE_ENUM)
            return Description(messages, enums["Token"])
    raise Malformed


def _message(data: bytes) -> tuple[str, dict[str, str]]:
    name, held = "", {}
    for number, value in fields(data):
        if number == _NAME:
            name = _as_bytes(value).decode()
        elif number == _MESSAGE_FIELD:
            field = dict(fields(_as_bytes(value)))
            if field.get(_FIELD_TYPE) == _MESSAGE_TYPE:
                whole = _as_bytes(field[_FIELD_TYPE_NAME]).decode()
                held[_as_bytes(field[_JSON_NAME]).decode()] = whole.rpartition(".")[2]
    return name, held


def _enum(data: bytes) -> tuple[str, dict[str, int]]:
    name, numbers = "", {}
    for number, value in fields(data):
        if number == _NAME:
            name = _as_bytes(value).decode()
        elif number == _ENUM_VALUE:
            item = dict(fields(_as_bytes(value)))
            found = item.get(_VALUE_NUMBER, 0)
            numbers[_as_bytes(item[_NAME]).decode()] = found if isinstance(found, int) else 0
    return name, numbers


def _as_bytes(value: int | bytes) -> bytes:
    if not isinstance(value, bytes):
        raise Malformed
    return value


def _load() -> tuple[Any, Description]:
    package = importlib.util.find_spec("postgast")
    if package is None or not package.submodule_search_locations:
        raise ImportError("postgast is not installed")
    folder = Path(package.submodule_search_locations[0])
    spec = importlib.util.spec_from_file_location("edge_agent.classify._postgast_native", folder / "native.py")
    if spec is None or spec.loader is None:
        raise ImportError("postgast has no native.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.lib, describe((folder / "pg_query.desc").read_bytes())


lib, _DESCRIPTION = _load()
FIELD_TYPES: Final = _DESCRIPTION.field_types
TOKENS: Final = _DESCRIPTION.tokens
