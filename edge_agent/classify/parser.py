"""The server's own grammar: libpg_query by way of the library that postgast carries.

Only its JSON entry is used: the entry for protobuf needs more stack per level, and its objects are deep too. No entry
looks at the stack, so that no text may come here that `depth` has not let pass. orjson refuses what is left too deep.
https://github.com/pganalyze/libpg_query
"""

from __future__ import annotations

import ctypes
import importlib
from typing import Any, Final, TypeAlias

import orjson

# By name: postgast's stub of its generated messages isn't valid Python, which stops mypy.
native: Any = importlib.import_module("postgast.native")
messages: Any = importlib.import_module("postgast.pg_query_pb2")
_DecodeError: type[Exception] = importlib.import_module("google.protobuf.message").DecodeError

Tree: TypeAlias = dict[str, Any]
"""A node's fields. A field of a general type holds ``{"NodeName": {...}}``, one of a fixed type the bare fields."""

GRAMMAR_MAJOR: Final = 18
"""The PostgreSQL version whose grammar this is."""


class Unparsable(Exception):
    """The grammar does not accept the text, or it is too deep.

    Args:
        position: 1-based byte position in the text; 0 when unknown.
        too_complex: It may be valid, but is nested deeper than parsers go.
    """

    def __init__(self, position: int, *, too_complex: bool) -> None:
        super().__init__("too complex" if too_complex else "syntax error")
        self.position = position
        self.too_complex = too_complex


_COMPLEX: Final = (b"stack depth", b"memory exhausted", b"out of memory")


def parse(text: bytes) -> list[Tree]:
    """Parse `text` into its RawStmts.

    Args:
        text: UTF-8 without NUL (the C string would end there, and hide the rest), that passed `depth.check_depth`.

    Raises:
        Unparsable: As it says.
        ValueError: `text` has a NUL.
    """
    if b"\0" in text:
        raise ValueError("a text with NUL can't be parsed")
    result = native.lib.pg_query_parse(text)
    try:
        if result.error:
            error = result.error.contents
            message = error.message or b""
            raise Unparsable(error.cursorpos, too_complex=any(word in message.lower() for word in _COMPLEX))
        json: bytes = result.parse_tree or b""
    finally:
        native.lib.pg_query_free_parse_result(result)
    try:
        statements: list[Tree] = orjson.loads(json)["stmts"]
    except (orjson.JSONDecodeError, KeyError) as error:
        raise Unparsable(0, too_complex=True) from error
    return statements


class Unscannable(Exception):
    """The scanner does not accept the text."""


def scan(text: bytes, most: int) -> tuple[list[Any], bool]:
    """The first `most` tokens of `text`, and whether there are more.

    Args:
        text: As for `parse`.

    Returns:
        pg_query.ScanToken messages: `token` (a pg_query.Token), `start` and `end` (byte positions).

    Raises:
        Unscannable: As it says.
    """
    result = native.lib.pg_query_scan(text)
    try:
        if result.error:
            raise Unscannable
        found = ctypes.string_at(result.pbuf.data, result.pbuf.len)
    finally:
        native.lib.pg_query_free_scan_result(result)
    kept = _first_tokens(found, most)
    try:
        # A flat message: nothing in it nests, whatever the text.
        return list(messages.ScanResult.FromString(found[:kept]).tokens), kept < len(found)
    except _DecodeError as error:
        raise Unscannable from error


def _first_tokens(found: bytes, most: int) -> int:
    """The length of the part of a serialised ScanResult that has its first `most` tokens.

    The message is a version (a varint) and then one length-delimited field 2 per token, each far below 128 bytes.
    """
    if len(found) < 3 * most:
        return len(found)
    at = count = 0
    while at + 1 < len(found) and count < most:
        if found[at] == 0x12:
            if found[at + 1] > 0x7F:
                raise Unscannable
            at += 2 + found[at + 1]
            count += 1
        else:
            at += 1
            while at < len(found) and found[at] > 0x7F:
                at += 1
            at += 1
    return min(at, len(found))
