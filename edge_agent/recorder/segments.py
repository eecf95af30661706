"""The files of the journal's folder, and what they say about how far each Segment has come.

    <id>.journal.open   being appended to, or not known to be on disk whole
    <id>.journal        closed and on disk: line 1 is the chain hash before the Segment, then per record
                        ``<chain hash after it> <canonical line>``; each line ends with a newline
    <id>.bodies         encrypted bodies, framed
    <id>.keys           wrapped data keys, one JSON object a line; `.keys.sent` once all were posted
    <id>.lines.gz       the lines as they are uploaded
    <id>.seal.json      the verified Seal: the Segment is safe elsewhere; its journal is deleted, the rest kept a while
    <id>.*.cut          set aside at start after a power cut; never read again

Every line carries its own chain hash, so a changed byte is found at its record, before there is any Seal.
"""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from twokeys.seal import segment_id

PARTS: Final = ("journal.open", "journal", "bodies", "keys", "keys.sent", "lines.gz", "seal.json")
"""What a file of a Segment may be called after its id."""

FILE_MODE: Final = 0o600
FOLDER_MODE: Final = 0o700
LOCK_NAME: Final = "journal.lock"
UNFINISHED: Final = ".tmp"
"""End of a file's name until it is whole and on disk."""

_NAME = re.compile(r"(?P<source>.+)-(?P<first>\d{12})\.(?P<part>[a-z.]+)")


@dataclass(frozen=True, slots=True)
class SegmentFiles:
    """One Segment's files by part."""

    folder: Path
    source: str
    first_seq: int
    parts: frozenset[str] = field(default_factory=frozenset)

    @property
    def id(self) -> str:
        """The Segment's id."""
        return segment_id(self.source, self.first_seq)

    def path(self, part: str) -> Path:
        """Where a part lies."""
        return self.folder / f"{self.id}.{part}"


def list_segments(folder: Path, source: str) -> list[SegmentFiles]:
    """The Segments of this source in the folder, in order."""
    found: dict[int, set[str]] = {}
    for path in folder.iterdir():
        match = _NAME.fullmatch(path.name)
        if match and match["source"] == source and match["part"] in PARTS:
            found.setdefault(int(match["first"]), set()).add(match["part"])
    return [SegmentFiles(folder, source, first, frozenset(parts)) for first, parts in sorted(found.items())]


def create(path: Path) -> int:
    """Create a file for appending, which must not exist; return its descriptor."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)


def write_whole(path: Path, data: bytes) -> None:
    """Make a file appear with all of its bytes on disk, or not at all. Raises OSError."""
    unfinished = path.with_name(path.name + UNFINISHED)
    unfinished.unlink(missing_ok=True)
    descriptor = create(unfinished)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)
    unfinished.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Bring the folder's names to disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Bring a file's bytes to disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_unfinished(folder: Path) -> None:
    """Delete what a crash left half written."""
    for path in folder.glob(f"*{UNFINISHED}"):
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
