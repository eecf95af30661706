"""What the client was told of the answer that is under way: looked at only when the server says that a read writes.

Rules:
  1. Rows, COPY data and tags that went out can't be taken back; a RowDescription that is still in our hands can.
  2. A chunk of the server that ends after a RowDescription of a simple Query ends there for the client too: the
     RowDescription is kept until the next message, for it may be an error. The server flushes its buffer in the middle
     of an answer for notices, and when 8 kB are full.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from edge_agent.protocols.postgres import server_messages as server
from edge_agent.protocols.postgres.framing import Span

ASIDE: Final = b"NSA"
"""Notices, settings and notifications: they belong to no answer."""
MAY_PAUSE: Final = ASIDE + b"T"
_ROWS: Final = b"Ddc"
_OPENS: Final = b"TH"


class Told:
    """Kept over the chunks of one connection."""

    __slots__ = ("before", "opening", "resumed", "resumed_at", "spans")

    def __init__(self) -> None:
        self.before = server.READY_FOR_QUERY
        """Type of the last message of the chunks before, asides apart, and but for what is kept back."""
        self.opening = b""
        """A RowDescription that is kept back."""
        self.resumed: Sequence[Span] | None = None
        """Messages of the chunk in which the answer went on."""
        self.resumed_at = 0
        """Where, in what the client is sent, the RowDescription was put then."""
        self.spans: Sequence[Span] = ()
        """Messages of this chunk."""

    def opened(self) -> Span | None:
        """The RowDescription that this chunk ends with, if it is all that its answer has so far."""
        answers = [span for span in self.spans if span[0] not in ASIDE]
        if not answers:
            return None
        last, before = answers[-1], answers[-2][0] if len(answers) > 1 else self.before
        self.before = last[0]
        return last if last[0] == server.ROW_DESCRIPTION and before == server.READY_FOR_QUERY else None

    def of_query(self, start: int) -> Span | bool | None:
        """Of a simple Query whose error starts here: False when something can't be taken back; else what must be."""
        answers = self._answers(start)
        last = answers[-1] if answers else None
        if (last[0] if last else self.before) == server.READY_FOR_QUERY:
            return None
        before = answers[-2][0] if len(answers) > 1 else self.before
        if last is None or last[0] not in _OPENS or before != server.READY_FOR_QUERY:
            return False
        return self._whole(last, start)

    def of_execute(self, start: int) -> Span | bool | None:
        """The same of an Execute."""
        answers = self._answers(start)
        last = answers[-1] if answers else None
        kind = last[0] if last else self.before
        if kind in _ROWS or (kind == server.COPY_OUT and last is None):
            return False
        return self._whole(last, start) if last is not None and kind == server.COPY_OUT else None

    def _answers(self, start: int) -> list[Span]:
        return [span for span in self.spans if span[1] < start and span[0] not in ASIDE]

    def _whole(self, span: Span, start: int) -> Span | bool:
        # A report that is hidden would have cut the run of bytes that it stands in.
        cut = any(span[1] < other[1] < start and other[0] == server.PARAMETER_STATUS for other in self.spans)
        return False if cut else span
