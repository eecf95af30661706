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
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from edge_agent.durable import UNFINISHED
from twokeys.seal import segment_id

PARTS: Final = ("journal.open", "journal", "bodies", "keys", "keys.sent", "lines.gz", "seal.json")
"""What a file of a Segment may be called after its id."""

LOCK_NAME: Final = "journal.lock"
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


def remove_unfinished(folder: Path) -> None:
    """Delete what a crash left half written."""
    for path in folder.glob(f"*{UNFINISHED}"):
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
