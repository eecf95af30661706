"""Rewrite the rows of a COPY, in text format or CSV. As `rows`, it has a compiled twin (`native`).

https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-COPYDATA
"""

from __future__ import annotations

import struct
from functools import partial
from typing import Final

from edge_agent.mask.copied import Field, UnreadableCopy, csv_field, mask_csv, mask_text, text_field
from edge_agent.mask.rows import SHOW
from edge_agent.native import compiled

_HEAD: Final = struct.Struct("!BI")
_COPY_DATA: Final = ord("d")


def mask_copied(data: bytes, ways: bytes, field: Field, *, csv: bool) -> bytes:
    """Rewrite whole CopyData messages, each of which is a row.

    Args:
        data: The messages.
        ways: As of `mask_rows`, one per column.
        field: What is shown instead of a value of a column, whatever its way is.
        csv: They are CSV; else in text format.

    Raises:
        UnreadableCopy: a message is no row of these columns.
    """
    if compiled is not None:
        mask, spell = (compiled.mask_csv, csv_field) if csv else (compiled.mask_copied, text_field)
        done: bytes = mask(data, ways, partial(spell, field), UnreadableCopy)
        return done
    return mask_copied_purely(data, ways, field, csv=csv)


def mask_copied_purely(data: bytes, ways: bytes, field: Field, *, csv: bool) -> bytes:
    """The same, in Python: the compiled twin's oracle."""
    out: list[bytes] = []
    at, size, width = 0, len(data), len(ways)
    mask = mask_csv if csv else mask_text
    changed = [column for column, way in enumerate(ways) if way != SHOW]
    while at < size:
        if at + _HEAD.size > size:
            raise UnreadableCopy
        kind, length = _HEAD.unpack_from(data, at)
        end = at + 1 + length
        if kind != _COPY_DATA or end > size:
            raise UnreadableCopy
        row = mask(data[at + _HEAD.size : end], width, field, changed)
        out.append(_HEAD.pack(_COPY_DATA, len(row) + 4) + row)
        at = end
    return b"".join(out)
