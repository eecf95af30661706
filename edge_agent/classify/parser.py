"""The server's own grammar: libpg_query by way of the library that postgast carries.

Only its JSON entry is used: the entry for protobuf needs more stack per level, and its objects are deep too. No entry
looks at the stack, so that no text may come here that `depth` has not let pass. orjson refuses what is left too deep.
https://github.com/pganalyze/libpg_query
"""

from __future__ import annotations

import ctypes
from typing import Any, Final, TypeAlias

import orjson

from edge_agent.classify.libpg_query import Malformed, lib

Token: TypeAlias = tuple[int, int, int]
"""A token's number (`libpg_query.TOKENS`), and the byte positions where it starts and ends."""

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
    """Parse `text` into its RawStmts. Takes and raises what `tree_json` does."""
    try:
        statements: list[Tree] = orjson.loads(tree_json(text))["stmts"]
    except (orjson.JSONDecodeError, KeyError) as error:
        raise Unparsable(0, too_complex=True) from error
    return statements


def tree_json(text: bytes) -> bytes:
    """Parse `text`, and return the tree as libpg_query wrote it: JSON that says `version` and `stmts`.

    Args:
        text: UTF-8 without NUL (the C string would end there, and hide the rest), that passed `depth.check_depth`.

    Raises:
        Unparsable: As it says.
        ValueError: `text` has a NUL.
    """
    if b"\0" in text:
        raise ValueError("a text with NUL can't be parsed")
    result = lib.pg_query_parse(text)
    try:
        if result.error:
            error = result.error.contents
            message = error.message or b""
            raise Unparsable(error.cursorpos, too_complex=any(word in message.lower() for word in _COMPLEX))
        json: bytes = result.parse_tree or b""
        return json
    finally:
        lib.pg_query_free_parse_result(result)


class Unscannable(Exception):
    """The scanner does not accept the text."""


def scan(text: bytes, most: int) -> tuple[list[Token], bool]:
    """The first `most` tokens of `text`, and whether there are more. Takes what `parse` takes.

    Raises:
        Unscannable: As it says.
    """
    result = lib.pg_query_scan(text)
    try:
        if result.error:
            raise Unscannable
        found = ctypes.string_at(result.pbuf.data, result.pbuf.len)
    finally:
        lib.pg_query_free_scan_result(result)
    try:
        return _tokens(found, most)
    except (Malformed, IndexError) as error:
        raise Unscannable from error


def _tokens(found: bytes, most: int) -> tuple[list[Token], bool]:
    """Tokens of a serialised pg_query.ScanResult: a version, then one field 2 per token.

    A token's fields are varints: start 1, end 2, token 4, keyword_kind 5; what is 0 is left out.
    """
    tokens: list[Token] = []
    at, size = 0, len(found)
    while at < size:
        key = found[at]
        if key != _TOKEN_FIELD:
            at = _after_varint(found, at + 1)
            continue
        if len(tokens) == most:
            return tokens, True
        stop = at + 2 + found[at + 1]
        if found[at + 1] > 0x7F or stop > size:
            raise Malformed
        at += 2
        start = end = number = 0
        while at < stop:
            key, value, at = found[at], found[at + 1], at + 2
            if value > 0x7F:
                value &= 0x7F
                shift = 7
                while (byte := found[at]) > 0x7F:
                    value |= (byte & 0x7F) << shift
                    shift, at = shift + 7, at + 1
                value |= byte << shift
                at += 1
            if key == _START_FIELD:
                start = value
            elif key == _END_FIELD:
                end = value
            elif key == _NUMBER_FIELD:
                number = value
        if at != stop:
            raise Malformed
        tokens.append((number, start, end))
    return tokens, False


def _after_varint(found: bytes, at: int) -> int:
    while found[at] > 0x7F:
        at += 1
    return at + 1


_TOKEN_FIELD: Final = 2 << 3 | 2
_START_FIELD: Final = 1 << 3
_END_FIELD: Final = 2 << 3
_NUMBER_FIELD: Final = 4 << 3
