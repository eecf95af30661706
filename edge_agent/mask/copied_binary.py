"""Rewrite the rows of a binary COPY: each is the body of a DataRow whose columns are all binary.

https://www.postgresql.org/docs/current/sql-copy.html#id-1.9.3.55.9.4
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from edge_agent.mask.copied import UnreadableCopy
from edge_agent.mask.rows import UnreadableRow

SIGNATURE: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
"""The file's header: no flags, no extension."""

TRAILER: Final = b"\xff\xff"

_HEAD: Final = struct.Struct("!BI")
_COPY_DATA: Final = ord("d")


class BinaryRows:
    """The data of one COPY, in whole CopyData messages: the header, a row in each, the trailer.

    Args:
        mask: Rewrites a whole DataRow message.
    """

    __slots__ = ("_begun", "_ended", "_mask")

    def __init__(self, mask: Callable[[bytes], bytes]) -> None:
        self._mask = mask
        self._begun = self._ended = False

    def take(self, data: bytes) -> bytes:
        """Rewrite the next messages. Raises UnreadableCopy."""
        out: list[bytes] = []
        at, size = 0, len(data)
        while at < size:
            if at + _HEAD.size > size:
                raise UnreadableCopy
            kind, length = _HEAD.unpack_from(data, at)
            end = at + 1 + length
            if kind != _COPY_DATA or end > size:
                raise UnreadableCopy
            body = self._body(data[at + _HEAD.size : end])
            out.append(_HEAD.pack(_COPY_DATA, len(body) + 4) + body)
            at = end
        return b"".join(out)

    def _body(self, body: bytes) -> bytes:
        head = b""
        if not self._begun:
            # The server sends it with what comes first.
            head, body = body[: len(SIGNATURE)], body[len(SIGNATURE) :]
            self._begun = True
            if head != SIGNATURE:
                raise UnreadableCopy
        if self._ended or (not body and not head):
            raise UnreadableCopy
        if body == TRAILER:
            self._ended = True
            return head + body
        return head + self._row(body) if body else head

    def _row(self, body: bytes) -> bytes:
        try:
            return self._mask(b"D" + (len(body) + 4).to_bytes(4, "big") + body)[_HEAD.size :]
        except UnreadableRow as error:
            raise UnreadableCopy from error
