"""The Segment being appended to: its files' descriptors, and how they reach the disk.

Files are created by the first write to them. `sync` runs in the worker thread while the loop goes on appending, so it
touches descriptors only; `finish` runs there when nothing is appended any more.
"""

from __future__ import annotations

import hashlib
from typing import Final

from edge_agent.durable import sync_folder
from edge_agent.native import compiled
from edge_agent.recorder.growing import GrowingFile
from edge_agent.recorder.header import Line
from edge_agent.recorder.segments import SegmentFiles
from twokeys.digest import sha256
from twokeys.record import ChainHead, chained
from twokeys.segment_files import pack_body

chain_record: Final = None if compiled is None else compiled.chain_record
"""Digests, spells and writes a record in one call, where both files have room for it; None where it is not built."""


class OpenSegment:
    """One Segment that grows. Every write is whole or raises OSError."""

    def __init__(self, files: SegmentFiles, before: ChainHead, due: float) -> None:
        """Create the lines file.

        Args:
            files: Names.
            before: The chain's head before the Segment.
            due: Monotonic seconds, when it is old enough to be closed.
        """
        self.files = files
        self.due = due
        self.size = 0
        self.finished = False
        """Whether it is closed, on disk, and its descriptors given back."""
        self._lines = GrowingFile(files.path("journal.open"))
        self._bodies: GrowingFile | None = None
        self._keys: GrowingFile | None = None
        self._start = before.hash.encode() + b"\n"
        self._synced_names = 0

    def write(self, sequence: int, cipher: bytes, before: bytes, line: bytes) -> bytes:
        """Append a record: its framed body, where it has one, then its line.

        Args:
            sequence: Of the record.
            cipher: Its encrypted body; empty for none.
            before: The chain's hash before it, as hexadecimal digits.
            line: Canonical.

        Returns:
            The chain's hash after it.
        """
        size, hashed = 0, chained(before, line)
        if cipher:
            if self._bodies is None:
                self._bodies = GrowingFile(self.files.path("bodies"))
            frame = pack_body(sequence, cipher)
            self._bodies.append(frame)
            size = len(frame)
        data = b"%b%b %b\n" % (self._start, hashed, line)
        self._start = b""
        self._lines.append(data)
        self.size += size + len(data)
        return hashed

    def write_line(self, sequence: int, cipher: bytes, line: Line, time_text: str, before: bytes) -> bytes:
        """As `write`, for a record that has a body, and a line with blanks."""
        bodies, lines = self._bodies, self._lines
        if chain_record is not None and bodies is not None and bodies.room is not None and lines.room is not None:
            done = chain_record(
                hashlib.sha256, line.pieces, cipher, sequence, time_text, before, self._start, bodies.room, bodies.at,
                lines.room, lines.at,
            )  # fmt: skip
            if done is not None:
                after, body_size, line_size = done
                self._start = b""
                bodies.wrote(body_size)
                lines.wrote(line_size)
                self.size += body_size + line_size
                return bytes(after)
        return self.write(sequence, cipher, before, line.fill(sha256(cipher), sequence, time_text))

    def write_key(self, line: bytes) -> None:
        """Append a session's wrapped key; the session's bodies follow."""
        if self._keys is None:
            self._keys = GrowingFile(self.files.path("keys"))
        self._keys.append(line)
        self.size += len(line)

    def sync(self) -> None:
        """Bring all to disk: keys before bodies before lines, then the files' names."""
        files = self._files
        for file in files:
            file.sync()
        if len(files) > self._synced_names:
            sync_folder(self.files.folder)
            self._synced_names = len(files)

    def finish(self) -> None:
        """After the last append: bring all to disk at its length, give the lines file its closed name, and close."""
        if self.finished:
            return
        for file in self._files:
            file.finish()
        self.sync()
        self.files.path("journal.open").rename(self.files.path("journal"))
        sync_folder(self.files.folder)
        self.close()

    def close(self) -> None:
        """Give the descriptors back."""
        for file in self._files:
            file.close()
        self.finished = True

    @property
    def _files(self) -> list[GrowingFile]:
        return [one for one in (self._keys, self._bodies, self._lines) if one is not None]
