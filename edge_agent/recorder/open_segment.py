"""The Segment being appended to: its files' descriptors, and how they reach the disk.

Files are created by the first write to them. `sync` runs in the worker thread while the loop goes on appending, so it
touches descriptors only; `finish` runs there when nothing is appended any more.
"""

from __future__ import annotations

from edge_agent.durable import sync_folder
from edge_agent.recorder.chain import Chain
from edge_agent.recorder.growing import GrowingFile
from edge_agent.recorder.segments import SegmentFiles
from twokeys.record import ChainHead, chained
from twokeys.segment_files import pack_body


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

    def open(self, chain: Chain, left: int, until: float, most_body: int) -> None:
        """Let the chain append where both files are mapped; see `Chain.open`. `shut` it before anything else."""
        bodies, lines = self._bodies, self._lines
        if bodies is not None and bodies.room is not None and lines.room is not None:
            chain.open(bodies.room, bodies.at, lines.room, lines.at, left, until, most_body)

    def shut(self, chain: Chain) -> int:
        """Take note of what the chain has written since `open`: that many bytes."""
        in_bodies, in_lines = chain.shut()
        if self._bodies is not None and in_lines:
            self._bodies.wrote(in_bodies)
            self._lines.wrote(in_lines)
            self.size += in_bodies + in_lines
        return in_bodies + in_lines

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
