"""Counts the rows of a COPY's data as they come, in the text and csv formats.

https://www.postgresql.org/docs/current/sql-copy.html#id-1.9.3.55.9
"""

from __future__ import annotations

from edge_agent.classify.copy_from import CopyFrom
from twokeys.copy_data import CopyFormat

_END_OF_DATA = b"\\."


class RowCounter:
    """Takes data in any split; `rows` is None where they can't be told.

    A row ends at a line feed, that of text without a backslash before it, that of csv outside of quotes. Data whose
    lines end in a bare carriage return can't be told.
    """

    def __init__(self, copy: CopyFrom) -> None:
        self._csv = copy.format is CopyFormat.CSV
        self._known = copy.format is not CopyFormat.BINARY and (not self._csv or copy.plain_quotes)
        self._header = copy.header
        self._lines = 0
        self._quoted = False
        self._escaped = False
        self._returns = False
        self._last = b""

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        if not self._known or not data:
            return
        self._returns = self._returns or b"\r" in data
        self._lines += self._count_csv(data) if self._csv else self._count_text(data)
        self._last = (self._last + data[-8:])[-8:]

    @property
    def rows(self) -> int | None:
        """Rows so far, the header aside."""
        if not self._known or (self._returns and not self._lines):
            return None
        tail = self._last.replace(b"\r\n", b"\n")
        lines = self._lines + bool(tail and not tail.endswith(b"\n"))
        # psql and old clients end the data by a line of their own, which is no row.
        marked = tail.removesuffix(b"\n")
        if lines and not self._csv and marked.endswith(_END_OF_DATA) and marked[-3:-2] in (b"", b"\n"):
            lines -= 1
        return max(0, lines - self._header)

    def _count_csv(self, data: bytes) -> int:
        if b'"' not in data:
            return 0 if self._quoted else data.count(b"\n")
        lines = 0
        for part in data.split(b'"'):
            if not self._quoted:
                lines += part.count(b"\n")
            self._quoted = not self._quoted
        # There is one part more than there are quotes.
        self._quoted = not self._quoted
        return lines

    def _count_text(self, data: bytes) -> int:
        lines = data.count(b"\n")
        if self._escaped and data.startswith(b"\n"):
            lines -= 1
        at = data.find(b"\\\n")
        while at >= 0:
            lines -= self._is_escaped(data, at + 1)
            at = data.find(b"\\\n", at + 2)
        self._escaped = self._is_escaped(data, len(data))
        return lines

    def _is_escaped(self, data: bytes, at: int) -> bool:
        """Whether the byte at `at` follows an odd number of backslashes."""
        start = at
        while start and data[start - 1] == 0x5C:
            start -= 1
        return bool((at - start) % 2) != (start == 0 and self._escaped)
