"""Rows of a COPY that are not spelled as by default: with another delimiter, quote, escape, or word for NULL.

Those that are go through `copied_rows`, which has a compiled twin. https://www.postgresql.org/docs/current/sql-copy.html
"""

from __future__ import annotations

import re
import struct
from functools import lru_cache
from typing import Final

from edge_agent.mask.copied import CopyOut, Field, UnreadableCopy, csv_field, text_field
from edge_agent.mask.rows import SHOW

_HEAD: Final = struct.Struct("!BI")
_COPY_DATA: Final = ord("d")


def mask_spelled(data: bytes, ways: bytes, field: Field, copy: CopyOut) -> bytes:
    """Rewrite whole CopyData messages, each of which is a row.

    Args:
        data: The messages.
        ways: As of `mask_rows`, one per column.
        field: What is shown instead of a value of a column.
        copy: How its rows are spelled.

    Raises:
        UnreadableCopy: a message is no row of these columns.
    """
    out: list[bytes] = []
    at, size = 0, len(data)
    while at < size:
        if at + _HEAD.size > size:
            raise UnreadableCopy
        kind, length = _HEAD.unpack_from(data, at)
        end = at + 1 + length
        if kind != _COPY_DATA or end > size:
            raise UnreadableCopy
        row = mask_row(data[at + _HEAD.size : end], ways, field, copy)
        out.append(_HEAD.pack(_COPY_DATA, len(row) + 4) + row)
        at = end
    return b"".join(out)


def mask_row(row: bytes, ways: bytes, field: Field, copy: CopyOut) -> bytes:
    """Rewrite one row, with its line feed. Raises UnreadableCopy."""
    pattern, out, at = _field(copy.csv, copy.delimiter, copy.quote, copy.escape), list[bytes](), 0
    while at < len(row):
        found = pattern.match(row, at)
        if found is None or (found[2] == b"\n") != (found.end() == len(row)) or len(out) == len(ways):
            raise UnreadableCopy
        spelled, stop = found.groups()
        shown = ways[len(out)] == SHOW or spelled == copy.null
        out.append((spelled if shown else _instead(spelled, len(out), field, copy)) + stop)
        at = found.end()
    if len(out) != len(ways) and not (row == b"\n" and not ways):
        raise UnreadableCopy
    return b"".join(out)


def _instead(spelled: bytes, column: int, field: Field, copy: CopyOut) -> bytes:
    nothing = False

    def noted(at: int, value: bytes) -> bytes | None:
        nonlocal nothing
        shown = field(at, value)
        nothing = shown is None
        return shown

    told = _csv_instead(noted, column, spelled, copy) if copy.csv else text_field(noted, column, spelled)
    if nothing:
        return copy.null
    if not copy.csv and told != spelled:
        return told.replace(copy.delimiter, b"\\" + copy.delimiter)
    return told


def _csv_instead(field: Field, at: int, spelled: bytes, copy: CopyOut) -> bytes:
    quote, escape = copy.quote, copy.escape
    if quote == escape == b'"':
        return csv_field(field, at, spelled)
    special = _special(quote, escape)
    plain = special.sub(rb"\2", spelled[1:-1]) if spelled.startswith(quote) else spelled
    shown = field(at, plain)
    if shown is None or shown == plain:
        return spelled
    doubled = shown.replace(escape, escape * 2)
    return quote + (doubled if escape == quote else doubled.replace(quote, escape + quote)) + quote


@lru_cache(maxsize=256)
def _special(quote: bytes, escape: bytes) -> re.Pattern[bytes]:
    """A character of a quoted field that is escaped."""
    return re.compile(b"(" + re.escape(escape) + b")([" + re.escape(quote) + re.escape(escape) + b"])")


@lru_cache(maxsize=256)
def _field(csv: bool, delimiter: bytes, quote: bytes, escape: bytes) -> re.Pattern[bytes]:
    """A field and what ends it."""
    stop, quote, escape = re.escape(delimiter), re.escape(quote), re.escape(escape)
    if csv:
        both = quote + escape
        quoted = quote + b"[^" + both + b"]*(?:" + escape + b"[" + both + b"][^" + both + b"]*)*" + quote
        return re.compile(b"(" + quoted + b"|[^" + quote + rb"\n\r" + stop + b"]*)(" + stop + rb"|\n)")
    return re.compile(rb"((?:[^\\\n%b]|\\.)*)(%b|\n)" % (stop, stop), re.DOTALL)
