"""The end of the chain, and appending to it in one step while there is room that nobody need be asked for.

    open ─▶ append, append, … ─▶ shut      a record that does not fit is the journal's to write (`OpenSegment.write`)

`Chain` has a compiled twin (`edge_agent.native`); what is here is its oracle.
"""

from __future__ import annotations

import mmap
from binascii import b2a_base64
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from edge_agent.native import compiled
from edge_agent.recorder.header import TimeText
from twokeys.body import NONCE_BYTES, TAG_BYTES
from twokeys.segment_files import FRAME_BYTES, pack_body

LAST_MOMENT: Final = 253_402_300_799_999
"""Milliseconds since the epoch: the last moment whose year has four digits."""

_HASH_BYTES: Final = 64
_LINE_BYTES: Final = 2 * _HASH_BYTES + 3 + 20 + 24
"""What a written line has at most beside its pieces: two hashes, a sequence, a time, and what stands between."""


def joined(text: bytes, bind: bytes | None) -> bytes:
    """A body: its text, and, of what was bound, the Bind message as the end of a JSON object."""
    return text if bind is None else b'%b%b"}' % (text, b2a_base64(bind, newline=False))


class ChainPurely:
    """The head of a journal's chain; while open, also where in two mapped files the next record goes.

    Args:
        digest: SHA-256: `hashlib.sha256`.
        sequence: Of the last record.
        hash: The chain's, as 64 hexadecimal digits.
    """

    __slots__ = ("_bodies", "_digest", "_left", "_lines", "_most_body", "_time_text", "_until", "hash", "sequence")

    def __init__(self, digest: Callable[[bytes], Any], sequence: int, hash: bytes, /) -> None:
        if len(hash) != _HASH_BYTES:
            raise ValueError("no such chain can be begun")
        self._digest, self.sequence, self.hash = digest, sequence, hash
        self._time_text = TimeText()
        self._bodies: _Room | None = None
        self._lines: _Room | None = None
        self._left, self._until, self._most_body = 0, 0.0, 0

    def open(
        self, bodies: mmap.mmap | bytearray, body_at: int, lines: mmap.mmap | bytearray, line_at: int, left: int,
        until: float, most_body: int, /,
    ) -> None:  # fmt: skip
        """Let `append` write.

        Args:
            bodies: Mapped part of the bodies file.
            body_at: Where in it the next frame goes.
            lines: Mapped part of the lines file.
            line_at: Where in it the next line goes.
            left: Bytes of both that may be written in all.
            until: Monotonic seconds from which on nothing may be.
            most_body: Longest body, in bytes before it is encrypted.

        Raises:
            ValueError: when it is open already, or a number is negative.
        """
        if self._bodies is not None or min(body_at, line_at, left, most_body) < 0:
            raise ValueError("no such chain can be opened")
        self._bodies, self._lines = _Room(bodies, body_at), _Room(lines, line_at)
        self._left, self._until, self._most_body = left, until, most_body

    def append(
        self, pieces: tuple[bytes, ...], encrypt: Callable[[bytes, bytes, bytes], bytes], place: bytes, count: int,
        text: bytes, bind: bytes | None, milliseconds: int, now: float, /,
    ) -> bool:  # fmt: skip
        """Append a record: its encrypted body, framed, then its line.

        Args:
            pieces: Of its `header.Line`.
            encrypt: AES-256-GCM of nonce, plain and associated data, under the session's key.
            place: Associated data, as far as the sequence.
            count: What the nonce counts: never the same for one key.
            text: The body, or what of it comes before the Bind.
            bind: The Bind message; None for none.
            milliseconds: The record's time, since the epoch.
            now: Monotonic seconds.

        Returns:
            Whether it was done; False, and nothing was written: it is not open, or has not enough room.
        """
        bodies, lines = self._bodies, self._lines
        if bodies is None or lines is None:
            return False
        first, second, third, last = pieces
        plain = joined(text, bind)
        most_frame = FRAME_BYTES + NONCE_BYTES + len(plain) + TAG_BYTES
        most_line = sum(map(len, pieces)) + _LINE_BYTES
        if not now < self._until or not 0 <= milliseconds <= LAST_MOMENT or len(plain) > self._most_body:
            return False
        if most_frame + most_line > self._left or bodies.left < most_frame or lines.left < most_line:
            return False
        sequence, nonce = self.sequence + 1, count.to_bytes(NONCE_BYTES, "big")
        cipher = nonce + encrypt(nonce, plain, b"%b%d" % (place, sequence))
        body = self._digest(cipher).hexdigest().encode()
        time = self._time_text(milliseconds).encode()
        line = b"%b%b%b%d%b%b%b" % (first, body, second, sequence, third, time, last)
        hashed = self._digest(b"%b\n%b" % (self.hash, line)).hexdigest().encode()
        self._left -= bodies.put(pack_body(sequence, cipher)) + lines.put(b"%b %b\n" % (hashed, line))
        self.sequence, self.hash = sequence, hashed
        return True

    def shut(self) -> tuple[int, int]:
        """Write no more, and let go of both files.

        Returns:
            Bytes that were written of bodies and of lines since `open`; zeros when it was not open.
        """
        bodies, lines = self._bodies, self._lines
        if bodies is None or lines is None:
            return 0, 0
        self._bodies = self._lines = None
        return bodies.let_go(), lines.let_go()

    def move(self, sequence: int, hash: bytes, /) -> None:
        """Take note of a record that was written elsewhere. Raises ValueError while it is open."""
        if self._bodies is not None or len(hash) != _HASH_BYTES:
            raise ValueError("the chain can't be moved there")
        self.sequence, self.hash = sequence, hash


class _Room:
    """A part of a mapped file."""

    __slots__ = ("_at", "_start", "_view")

    def __init__(self, mapped: mmap.mmap | bytearray, at: int) -> None:
        self._view, self._start, self._at = memoryview(mapped), at, at

    @property
    def left(self) -> int:
        return len(self._view) - self._at

    def put(self, data: bytes) -> int:
        self._view[self._at : self._at + len(data)] = data
        self._at += len(data)
        return len(data)

    def let_go(self) -> int:
        self._view.release()
        return self._at - self._start


Chain = ChainPurely
if not TYPE_CHECKING and compiled is not None:
    Chain = compiled.Chain
