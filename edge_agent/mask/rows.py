"""Rewrite DataRows: the hot loop of a masked result. Its compiled twin takes its place where there is one (`native`).

`mask_rows(data, ways, mask)`: whole DataRow messages in, whole DataRow messages out. A way is one byte per column; only
values whose way is `CALL` leave the loop.

https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-DATAROW
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from edge_agent.native import compiled

SHOW, NULL, CALL, PARTIAL, REDACT = range(5)
"""Ways of a column: as it is; always NULL; `mask(column, value)` says; it says `forms.partial`, or `forms.REDACTED`,
which the compiled twin knows by itself."""

MaskValue = Callable[[int, bytes], bytes | None]
"""What is shown instead of a value of a column, counted from 0."""

HEADER_BYTES: Final = 7
"""Type, length, number of columns."""

_HEAD: Final = struct.Struct("!BIH")
_LENGTH: Final = struct.Struct("!i")
_NULL: Final = b"\xff\xff\xff\xff"


class UnreadableRow(ValueError):
    """A row is not as the result was described: nothing of it may be shown."""


def mask_rows(data: bytes, ways: bytes, mask: MaskValue) -> bytes:
    """Rewrite whole DataRow messages.

    Raises:
        UnreadableRow: a message is no DataRow of these columns.
    """
    if compiled is not None:
        done: bytes = compiled.mask_rows(data, ways, mask, UnreadableRow)
        return done
    return mask_rows_purely(data, ways, mask)


def mask_rows_purely(data: bytes, ways: bytes, mask: MaskValue) -> bytes:
    """The same, in Python: the compiled twin's oracle."""
    out: list[bytes] = []
    at, size, width = 0, len(data), len(ways)
    unpack_head, unpack_length = _HEAD.unpack_from, _LENGTH.unpack_from
    try:
        while at < size:
            kind, length, count = unpack_head(data, at)
            end = at + 1 + length
            if kind != 0x44 or count != width or end > size:
                raise UnreadableRow
            head, body = len(out), 6
            out.append(b"")
            # What is shown as it is goes out in runs.
            run = at = at + HEADER_BYTES
            for column, way in enumerate(ways):
                (length,) = unpack_length(data, at)
                begin, at = at, at + 4
                if length < 0:
                    continue
                at += length
                if way == SHOW:
                    continue
                if at > end:
                    raise UnreadableRow
                value = None if way == NULL else mask(column, data[begin + 4 : at])
                spelled = _NULL if value is None else _LENGTH.pack(len(value)) + value
                out += data[run:begin], spelled
                body += begin - run + len(spelled)
                run = at
            if at != end:
                raise UnreadableRow
            out.append(data[run:end])
            out[head] = _HEAD.pack(0x44, body + end - run, width)
    except struct.error as error:
        raise UnreadableRow from error
    return b"".join(out)
