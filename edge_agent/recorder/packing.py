"""A closed Segment as it is handed over: lines compressed, and what its Seal must say. Blocking; for a thread."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from edge_agent.durable import write_whole
from edge_agent.recorder.scan import Damaged
from edge_agent.recorder.segments import SegmentFiles
from twokeys.messages import SealRequest
from twokeys.record import ChainHead, chained
from twokeys.segment_files import MAX_LINES_BYTES, Malformed, pack_lines, unpack_lines

_CHUNK: Final = 1024 * 1024
_HASH_CHARACTERS: Final = 64


def pack(segment: SegmentFiles) -> SealRequest:
    """Write `lines.gz`, unless a good one is there, and say what the Segment holds.

    Memory: about three times the Segment's lines, which `segment_bytes` bounds.

    Raises:
        Damaged: when the journal's file does not verify any more.
        OSError: when the disk does not read or write.
    """
    path = segment.path("journal")
    lines, first, last = _verified_lines(segment, path.read_bytes())
    lines_sha256 = hashlib.sha256(lines).hexdigest()
    packed = segment.path("lines.gz")
    if not _holds(packed, lines_sha256):
        write_whole(packed, pack_lines(lines))
    bodies = segment.path("bodies")
    return SealRequest(
        first_seq=segment.first_seq,
        last_seq=last.sequence,
        previous_hash=first.hash,
        last_hash=last.hash,
        lines_sha256=lines_sha256,
        bodies_sha256=file_sha256(bodies) if bodies.exists() else "",
    )


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _verified_lines(segment: SegmentFiles, data: bytes) -> tuple[bytes, ChainHead, ChainHead]:
    """The canonical lines without their hashes, each checked against its own."""
    if len(data) > MAX_LINES_BYTES:
        raise Damaged(segment.path("journal"), 0, segment.first_seq, "the file is too long")
    hashed = data[:_HASH_CHARACTERS]
    first = ChainHead(segment.first_seq - 1, hashed.decode("latin-1"))
    lines, at = list[bytes](), _HASH_CHARACTERS + 1
    while at < len(data):
        end = data.find(b"\n", at)
        line = data[at + _HASH_CHARACTERS + 1 : end]
        hashed = chained(hashed, line)
        lines.append(line)
        if end < 0 or data[at : at + _HASH_CHARACTERS] != hashed:
            sequence = first.sequence + len(lines)
            raise Damaged(segment.path("journal"), at, sequence, "the line is not the one that was written")
        at = end + 1
    if not lines:
        raise Damaged(segment.path("journal"), 0, segment.first_seq, "it holds no record")
    lines.append(b"")
    return b"\n".join(lines), first, ChainHead(first.sequence + len(lines) - 1, hashed.decode())


def _holds(packed: Path, lines_sha256: str) -> bool:
    """Whether an earlier try left these very lines; they may be stored already, so they are kept byte for byte."""
    digest = hashlib.sha256()
    try:
        for piece in unpack_lines(packed.read_bytes()):
            digest.update(piece)
    except (FileNotFoundError, Malformed):
        return False
    return digest.hexdigest() == lines_sha256
