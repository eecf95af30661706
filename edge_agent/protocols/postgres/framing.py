"""Find the messages in a stream of bytes, without copying bodies.

    chunk ─▶ Splitter.feed ─▶ [(type, start, end), …] into Splitter.buffer

Rules:
  1. A header that names no known type, or a length under 4 or over that type's limit, is refused when the header is
     complete: before its body arrives, so that nobody makes us wait for or keep 4 GiB (CVE-2024-27304, CVE-2026-4427).
  2. After a refusal the stream is over: every later `feed` refuses as well.
  3. What is reported is whole, except types that are `streamed`.

https://www.postgresql.org/docs/current/protocol-overview.html#PROTOCOL-MESSAGE-CONCEPTS
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

from edge_agent.native import compiled
from edge_agent.protocols.postgres.limits import HEADER_BYTES
from twokeys.errors import InvalidInput

Span = tuple[int, int, int]
"""Type byte, start of the message (its type byte), end (one after its last byte)."""

_HEADER: Final = struct.Struct("!BI").unpack_from


def run_end(data: bytes, at: int, kind: int, most: int) -> int:
    """Where a run of whole messages of one type ends.

    Args:
        data: Messages.
        at: Where the run begins.
        kind: Their type.
        most: Longest legal length: a message that says more, or less than 4, is not of the run.
    """
    if compiled is not None:
        end: int = compiled.run_end(data, at, kind, most)
        return end
    return run_end_purely(data, at, kind, most)


def run_end_purely(data: bytes, at: int, kind: int, most: int) -> int:
    """The same, in Python: the compiled twin's oracle."""
    header, size = _HEADER, len(data)
    while at + HEADER_BYTES <= size:
        found, length = header(data, at)
        if found != kind or not 4 <= length <= most or at + 1 + length > size:
            break
        at += 1 + length
    return at


class Splitter:
    """Cut one direction of a connection into messages.

    Args:
        limits: Longest legal length by type byte, 256 entries, 0 for an unknown type (see `WireLimits`).
        streamed: Types that are passed on as they come: neighbours of one such type are reported as one span, and a
            part of a message is reported without waiting for the rest. For DataRow and CopyData of a server only:
            a client's message must be whole before anybody decides about it.
    """

    __slots__ = (
        "_broken", "_limits", "_partial", "_remaining", "_streamed", "_streaming", "_wanted", "begun", "buffer",
    )  # fmt: skip

    def __init__(self, limits: Sequence[int], streamed: bytes = b"") -> None:
        self._limits = tuple(limits)
        self._streamed = frozenset(streamed)
        self._partial = bytearray()
        self._wanted = 0
        self._remaining = 0
        self._streaming = 0
        self._broken: InvalidInput | None = None
        self.begun = 0
        """How many messages came in parts so far, the one that is `pending` counted."""
        self.buffer = b""
        """What the spans of the last `feed` point into; replaced by the next one."""

    @property
    def pending(self) -> int:
        """Bytes kept of a message that is not whole yet."""
        return len(self._partial)

    @property
    def mid_message(self) -> bool:
        """Whether a streamed message was reported in part: nothing may be written between its parts."""
        return self._remaining > 0

    def feed(self, data: bytes) -> list[Span]:
        """Take the next chunk and return the messages that are now whole, in order.

        Args:
            data: Any number of bytes, in any split.

        Raises:
            InvalidInput: At the first illegal header; also ever after. Messages before it in the same chunk are not
                reported: the connection is over.
        """
        if self._broken is not None:
            raise self._broken
        continued = bool(self._partial)
        if continued:
            self._partial += data
            if len(self._partial) < self._wanted:
                return []
            data = bytes(self._partial)
            self._partial.clear()
        self.buffer = data
        found = self._walk_streamed(data) if self._streamed else self._walk(data)
        if self._partial and (found or not continued):
            self.begun += 1
        return found

    def _walk(self, data: bytes) -> list[Span]:
        found: list[Span] = []
        limits, header, at, size = self._limits, _HEADER, 0, len(data)
        while at + HEADER_BYTES <= size:
            kind, length = header(data, at)
            if not 4 <= length <= limits[kind]:
                raise self._refuse(kind, length)
            end = at + 1 + length
            if end > size:
                self._wanted = end - at
                self._partial += memoryview(data)[at:]
                return found
            found.append((kind, at, end))
            at = end
        if at < size:
            self._wanted = HEADER_BYTES
            self._partial += memoryview(data)[at:]
        return found

    def _walk_streamed(self, data: bytes) -> list[Span]:
        found: list[Span] = []
        limits, header, streamed, size = self._limits, _HEADER, self._streamed, len(data)
        at = min(self._remaining, size)
        self._remaining -= at
        run, run_kind = 0, self._streaming if at else -1
        while at + HEADER_BYTES <= size:
            kind, length = header(data, at)
            if not 4 <= length <= limits[kind]:
                raise self._refuse(kind, length)
            if kind != run_kind:
                if run_kind >= 0:
                    found.append((run_kind, run, at))
                run, run_kind = at, kind if kind in streamed else -1
            at += length + 1
            if run_kind < 0:
                if at > size:
                    at = run
                    self._wanted = length + 1
                    break
                found.append((kind, run, at))
            elif at < size:
                at = run_end(data, at, kind, limits[kind])
        else:
            self._wanted = HEADER_BYTES
        if at > size:
            self._remaining, self._streaming, at = at - size, run_kind, size
        if run_kind >= 0:
            found.append((run_kind, run, at))
        if at < size:
            self._partial += memoryview(data)[at:]
        return found

    def _refuse(self, kind: int, length: int) -> InvalidInput:
        limit, said = self._limits[kind], f"A message of type {chr(kind)!r} says it has {length} bytes"
        if limit == 0:
            happened, code = f"A message of unknown type 0x{kind:02x} came.", "unknown_message"
        elif length > limit:
            happened, code = f"{said}; {limit} are allowed.", "too_large"
        else:
            happened, code = f"{said}; 4 is the least.", "bad_length"
        self._partial.clear()
        self._broken = InvalidInput(
            happened,
            not_done="It was not read, and nothing after it.",
            advice="Check that the client speaks PostgreSQL's protocol 3.",
            code=code,
        )
        return self._broken
