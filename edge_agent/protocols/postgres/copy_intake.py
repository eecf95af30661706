"""Takes what the client sends while it copies in: digests and counts it, and hands it on.

Rules:
  1. CopyData, CopyDone and CopyFail count; Flush and Sync are ignored, as the server does. Anything else ends the
     session.
  2. What is digested is what is handed on, in order: the bytes inside CopyData; where its messages begin means nothing.

https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-COPY
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Final

from edge_agent.classify.copy_from import CopyFrom
from edge_agent.protocols.postgres import messages, sqlstate
from edge_agent.protocols.postgres.copy_rows import RowCounter
from edge_agent.protocols.postgres.limits import HEADER_BYTES
from edge_agent.protocols.postgres.messages import malformed
from twokeys.copy_data import BRIEF_HEAD_BYTES, MAX_HEAD_BYTES, CopyData

GIVEN_UP: Final = "COPY from stdin failed: "
"""How the server's message begins when the client sends CopyFail."""

_IGNORED = frozenset((messages.FLUSH, messages.SYNC))


class Intake:
    """The client's side of one COPY FROM STDIN.

    Args:
        copy: What it expects.
        hand_on: Takes the bytes inside each CopyData.
        most: Most bytes taken; 0 for any number, of data that nobody reviews.
    """

    def __init__(self, copy: CopyFrom, hand_on: Callable[[bytes], None], most: int = 0) -> None:
        self._copy, self._hand_on, self._most = copy, hand_on, most
        self._kept = MAX_HEAD_BYTES if most else BRIEF_HEAD_BYTES
        self._digest = hashlib.sha256()
        self._rows = RowCounter(copy)
        self._head = bytearray()
        self._size = 0
        self.ended = False
        """The client has said its last word: CopyDone or CopyFail."""
        self.failure: tuple[str, str] | None = None
        """SQLSTATE and message, where the data are not to be used."""

    @property
    def over(self) -> bool:
        """Whether no more is to be taken."""
        return self.ended or self.failure is not None

    def take(self, kind: int, buffer: bytes, start: int, end: int) -> None:
        """Take one whole message. Raises InvalidInput for one that can't come now."""
        match kind:
            case messages.COPY_DATA:
                self._data(buffer[start + HEADER_BYTES : end])
            case messages.COPY_DONE:
                messages.read_empty(buffer, start, end)
                self.ended = True
            case messages.COPY_FAIL:
                self.ended = True
                reason = buffer[start + HEADER_BYTES : end].split(b"\0")[0].decode("utf-8", "replace")
                self.fail(sqlstate.QUERY_CANCELED, GIVEN_UP + reason)
            case _ if kind in _IGNORED:
                messages.read_empty(buffer, start, end)
            case _:
                malformed(f"{chr(kind)!r} (inside of a COPY)")

    def fail(self, state: str, message: str) -> None:
        """The data are not to be used; the first reason stays."""
        if self.failure is None:
            self.failure = state, message

    def copied(self) -> CopyData:
        """What was taken."""
        return CopyData(self._digest.hexdigest(), self._size, self._copy.format, bytes(self._head), self._rows.rows)

    def _data(self, data: bytes) -> None:
        self._size += len(data)
        if self._most and self._size > self._most:
            self.fail(
                sqlstate.LIMIT_EXCEEDED,
                f"twokeys: refused: the data of a COPY that is held can have {self._most} bytes at most.",
            )
            return
        self._digest.update(data)
        self._rows.feed(data)
        if len(self._head) < self._kept:
            self._head += data[: self._kept - len(self._head)]
        self._hand_on(data)
