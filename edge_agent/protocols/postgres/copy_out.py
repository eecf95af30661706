"""COPY TO STDOUT with masks: the SELECT that shows the same columns is described for us first, in the same flight."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from msgspec import structs

from edge_agent.mask.copied import CopyOut, UnreadableCopy
from edge_agent.mask.copied_binary import BinaryRows
from edge_agent.mask.copied_rows import mask_copied
from edge_agent.mask.owed import Owed
from edge_agent.mask.plan import Plan
from edge_agent.mask.spelled import mask_spelled
from edge_agent.protocols.postgres import encode
from edge_agent.protocols.postgres import server_messages as server
from edge_agent.protocols.postgres.expect import QUERY_TAKES, Answer, Expected
from edge_agent.protocols.postgres.limits import HEADER_BYTES
from edge_agent.protocols.postgres.masking import HIDES, Pieces, Unmaskable

if TYPE_CHECKING:
    from edge_agent.protocols.postgres.core import Core

_COPY_HEAD: Final = HEADER_BYTES + 3
"""Type, length, overall format, number of columns."""


class CopyResult:
    """Rewrites the rows of one COPY.

    Args:
        owed: Its masks.
        copy: How its rows are written.
    """

    __slots__ = ("_binary", "_copy", "_header", "_owed", "_pieces", "_plan")

    def __init__(self, owed: Owed, copy: CopyOut) -> None:
        self._owed, self._copy, self._header = owed, copy, copy.header
        self._plan: Plan | None = None
        self._binary: BinaryRows | None = None
        self._pieces = Pieces()

    def take(self, kind: int, buffer: bytes, start: int, end: int) -> bytes:
        """See Mask. Raises Unmaskable."""
        match kind:
            case server.ROW_DESCRIPTION if self._plan is None:
                self._describe(server.read_row_description(buffer, start, end))
                return b""
            case server.COPY_OUT:
                self._check(buffer, start, end)
                return buffer[start:end]
            case _ if kind == b"d"[0]:
                return self._rows(self._pieces.take(buffer[start:end]))
            case _ if kind == b"c"[0]:
                return buffer[start:end]
            case server.PARAMETER_DESCRIPTION | server.PARSE_COMPLETE | server.CLOSE_COMPLETE | server.NO_DATA:
                return b""
            case _:
                raise Unmaskable("The server sent a result that can't be masked.")

    def _describe(self, columns: Sequence[server.Column]) -> None:
        if self._copy.binary:
            # A statement is described as text, whatever its COPY will be.
            columns = [structs.replace(column, format=1) for column in columns]
        self._plan = self._owed.plan(columns)
        self._binary = BinaryRows(self._plan.mask) if self._copy.binary else None

    def _check(self, buffer: bytes, start: int, end: int) -> None:
        columns = int.from_bytes(buffer[start + _COPY_HEAD - 2 : start + _COPY_HEAD], "big")
        fits = end - start >= _COPY_HEAD and buffer[start + HEADER_BYTES] == int(self._copy.binary)
        if self._plan is None or not fits or columns != len(self._plan.ways):
            raise Unmaskable("The server sent a COPY that does not fit its description.")

    def _rows(self, data: bytes) -> bytes:
        if self._plan is None:
            raise Unmaskable("The server sent a COPY without a description.")
        head, data = self._cut_header(data)
        try:
            if self._binary is not None:
                return self._binary.take(data)
            if not self._copy.is_plain:
                return head + mask_spelled(data, self._plan.ways, self._plan.field, self._copy)
            return head + mask_copied(data, self._plan.ways, self._plan.field, csv=self._copy.csv)
        except UnreadableCopy as error:
            raise Unmaskable("The server sent a row that is not as COPY writes rows.") from error

    def _cut_header(self, data: bytes) -> tuple[bytes, bytes]:
        """The row of the columns' names, and what comes after it."""
        if not self._header or not data:
            return b"", data
        self._header = False
        end = 1 + int.from_bytes(data[1:HEADER_BYTES], "big")
        return data[:end], data[end:]


def masked_copy(core: Core, owed: Owed, copy: CopyOut) -> Expected:
    """The answer to a Query that is this COPY; its SELECT is described before it."""
    result, name = CopyResult(owed, copy), f"{core.hidden.guard}q".encode()
    # Their error is nobody's: without a description nothing is shown.
    core.link.send(encode.close(b"S", name), Expected(b"", b"3", hidden=True, answer=Answer()))
    core.link.send(encode.parse(name, copy.select), Expected(b"", b"1", hidden=True, answer=Answer()))
    core.link.send(encode.describe(b"S", name), Expected(b"t", b"Tn", hidden=True, answer=Answer(), mask=result))
    core.link.sync()
    return Expected(QUERY_TAKES, b"Z", hides=HIDES, mask=result)
