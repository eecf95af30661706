"""The Segment being appended to: its files' descriptors, and how they reach the disk.

Files are created by the first write to them. `sync` and `finish` run in the worker thread while the loop goes on
appending, so they touch descriptors only, and nothing that `write_…` changes.
"""

from __future__ import annotations

import os

from edge_agent.durable import create, sync_folder
from edge_agent.recorder.segments import SegmentFiles
from twokeys.record import ChainHead


class OpenSegment:
    """One Segment that grows. Every write is whole or raises OSError."""

    def __init__(self, files: SegmentFiles, before: ChainHead, opened: float) -> None:
        """Create the lines file.

        Args:
            files: Names.
            before: The chain's head before the Segment.
            opened: Monotonic seconds.
        """
        self.files = files
        self.opened = opened
        self.size = 0
        self._lines = create(files.path("journal.open"))
        self._bodies = -1
        self._keys = -1
        self._start = before.hash.encode() + b"\n"
        self._synced_names = 0

    @property
    def finished(self) -> bool:
        """Whether it is closed, on disk, and its descriptors given back."""
        return self._lines < 0

    def write_line(self, head: ChainHead, line: bytes) -> None:
        """Append a record's line with the chain's hash after it."""
        data = b"%b%b %b\n" % (self._start, head.hash.encode(), line)
        self._start = b""
        self._write(self._lines, data)

    def write_body(self, frame: bytes) -> None:
        """Append a framed body; its record's line follows."""
        if self._bodies < 0:
            self._bodies = create(self.files.path("bodies"))
        self._write(self._bodies, frame)

    def write_key(self, line: bytes) -> None:
        """Append a session's wrapped key; the session's bodies follow."""
        if self._keys < 0:
            self._keys = create(self.files.path("keys"))
        self._write(self._keys, line)

    def sync(self) -> None:
        """Bring all to disk: keys before bodies before lines, then the files' names."""
        descriptors = [one for one in (self._keys, self._bodies, self._lines) if one >= 0]
        for descriptor in descriptors:
            os.fsync(descriptor)
        if len(descriptors) > self._synced_names:
            sync_folder(self.files.folder)
            self._synced_names = len(descriptors)

    def finish(self) -> None:
        """After the last sync: give the lines file its closed name, and the descriptors back."""
        if self.finished:
            return
        self.files.path("journal.open").rename(self.files.path("journal"))
        sync_folder(self.files.folder)
        self.close()

    def close(self) -> None:
        """Give the descriptors back."""
        for descriptor in (self._keys, self._bodies, self._lines):
            if descriptor >= 0:
                os.close(descriptor)
        self._keys = self._bodies = self._lines = -1

    def _write(self, descriptor: int, data: bytes) -> None:
        written = os.write(descriptor, data)
        if written != len(data):
            raise OSError(f"only {written} of {len(data)} bytes were written")
        self.size += len(data)
