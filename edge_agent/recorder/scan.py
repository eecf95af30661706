"""Verifying the journal at start: whole, or torn at its very end, or not to be used.

Rules:
  1. A closed Segment must verify to the last byte. An open one may end in an unfinished line or body: a power cut
     tears what was not on disk yet. That end is cut off, and told, so that a `gap` record can say how much. Zeros at
     its very end are room that was reserved (`growing`): they are cut off and not told. Zeros before that, up to the
     end of a page, are what a power cut leaves of what was not on disk: a tear, too.
  2. After a tear nothing can follow: younger open Segments are set aside whole.
  3. Everything else that does not verify stops the start, and says where.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

import msgspec
import orjson

from edge_agent.durable import sync_file, sync_folder
from edge_agent.recorder.bodies import MAX_KEY_LINE_BYTES, KeyLine
from edge_agent.recorder.sealed import read_seal
from edge_agent.recorder.segments import SegmentFiles, list_segments, remove_unfinished
from twokeys.errors import Refused
from twokeys.record import MAX_LINE_BYTES, ChainHead, extend, genesis
from twokeys.segment_files import FRAME_BYTES, MAX_BODY_BYTES
from twokeys.signature import PublicKey

_LOST: Final = "a record that did not reach the disk"
_PIECE: Final = 64 * 1024
_PAGE: Final = 4096
_FEWEST_ZEROS: Final = 8
"""At the end of a page: ciphertext has so many once in 2**64 times."""
_HASH_CHARACTERS: Final = 64
_LONGEST: Final = _HASH_CHARACTERS + 1 + MAX_LINE_BYTES + 1


@dataclass(slots=True)
class Scanned:
    """What was found: the head to go on from, and how many bytes of what had to be cut off."""

    head: ChainHead
    cut: list[str] = field(default_factory=list)


class Damaged(Refused):
    """The journal does not verify. Args: path of the file, byte offset, sequence of the record, what is wrong."""

    def __init__(self, path: Path, offset: int, sequence: int, what: str) -> None:
        super().__init__(
            f"The journal does not verify: {path.name}, record {sequence}, byte {offset}: {what}.",
            not_done="The edge was not started.",
            code="journal_damaged",
            advice="Keep the folder for an auditor. To go on without it, enrol this machine as a new edge "
            "with a new state folder.",
        )
        self.offset, self.sequence = offset, sequence


def scan(folder: Path, source: str, seal_keys: Mapping[str, PublicKey] | None = None) -> Scanned:
    """Verify all Segments in the folder; afterwards each is closed and on disk.

    Args:
        folder: The journal's folder, locked by the caller.
        source: The Edge's id.
        seal_keys: Pinned keys to verify local seals with; None trusts them as they lie.

    Raises:
        Damaged: when anything but the end of an open Segment does not verify.
        OSError: when the disk does not read.
    """
    remove_unfinished(folder)
    found = Scanned(genesis(source))
    segments = list_segments(folder, source)
    if segments and "seal.json" in segments[0].parts:
        # What came before was deleted after its seal; the seal says what it ended with.
        found.head = _before(segments[0], found.head, seal_keys)
    for segment in segments:
        if "seal.json" in segment.parts:
            _take_sealed(segment, found, seal_keys)
        elif "journal" in segment.parts:
            _follow(segment, found)
        elif found.cut or (segment is segments[-1] and "journal.open" not in segment.parts):
            _set_aside(segment, found)
        elif "journal.open" not in segment.parts:
            raise Damaged(segment.path("journal"), 0, segment.first_seq, "the file is missing")
        else:
            _mend(segment, found)
    sync_folder(folder)
    return found


def _before(segment: SegmentFiles, start: ChainHead, keys: Mapping[str, PublicKey] | None) -> ChainHead:
    seal = read_seal(segment.path("seal.json"), keys).seal
    return start if seal.first_seq == 1 else ChainHead(seal.first_seq - 1, seal.previous_hash)


def _take_sealed(segment: SegmentFiles, found: Scanned, keys: Mapping[str, PublicKey] | None) -> None:
    path = segment.path("seal.json")
    seal = read_seal(path, keys).seal
    if (seal.segment, seal.first_seq, seal.previous_hash) != (segment.id, found.head.sequence + 1, found.head.hash):
        raise Damaged(path, 0, segment.first_seq, "the seal does not continue the chain before it")
    segment.path("journal").unlink(missing_ok=True)
    found.head = ChainHead(seal.last_seq, seal.last_hash)


def _follow(segment: SegmentFiles, found: Scanned) -> None:
    """A closed Segment: every byte must verify."""
    if found.cut:
        raise Damaged(segment.path("journal"), 0, segment.first_seq, "it follows a torn segment")
    walk = _walk(segment, "journal", found.head)
    if walk.torn:
        raise Damaged(segment.path(walk.torn_part), walk.torn_at, walk.head.sequence + 1, walk.torn)
    found.head = walk.head


def _mend(segment: SegmentFiles, found: Scanned) -> None:
    """An open Segment: cut a torn end, bring the rest to disk, close it."""
    for part in ("journal.open", "keys"):
        # Text: what ends in zeros was reserved, or never reached the disk.
        _cut(segment.path(part), _written_end(segment.path(part), 0))
    walk = _walk(segment, "journal.open", found.head)
    cut = sum(_cut(segment.path(part), at) for part, at in walk.ends.items())
    if cut:
        found.cut.append(f"{cut} bytes of {segment.id} ({walk.torn})")
    if walk.head.sequence == found.head.sequence:
        for part in ("journal.open", "bodies", "keys"):
            segment.path(part).unlink(missing_ok=True)
        return
    for part in ("bodies", "keys", "journal.open"):
        if segment.path(part).exists():
            sync_file(segment.path(part))
    segment.path("journal.open").rename(segment.path("journal"))
    found.head = walk.head


def _set_aside(segment: SegmentFiles, found: Scanned) -> None:
    """Younger than a tear, or bodies whose lines never reached the disk's names."""
    if segment.first_seq <= found.head.sequence or segment.parts & {"lines.gz", "keys.sent"}:
        raise Damaged(segment.path("journal"), 0, segment.first_seq, "the file is missing")
    size = 0
    for part in segment.parts:
        path = segment.path(part)
        size += path.stat().st_size
        path.rename(path.with_name(f"{path.name}.cut"))
    if size:
        found.cut.append(f"{size} bytes of {segment.id} (it follows a tear)")


def _cut(path: Path, end: int) -> int:
    """Cut a file; return how many bytes went, zeros at its end not counted."""
    if not path.exists():
        return 0
    written = _written_end(path, end)
    if path.stat().st_size > end:
        os.truncate(path, end)
    return written - end


def _written_end(path: Path, start: int) -> int:
    """Where the zeros at the end of a file begin, at or after `start`."""
    if not path.exists():
        return start
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        while end > start:
            at = max(start, end - _PIECE)
            file.seek(at)
            if written := file.read(end - at).rstrip(b"\0"):
                return at + len(written)
            end = at
    return start


@dataclass(slots=True)
class _Walk:
    """How far a Segment verifies: head, good end of each file, and how it is torn, if it is."""

    head: ChainHead
    ends: dict[str, int]
    torn: str = ""
    torn_part: str = ""
    torn_at: int = 0

    def tear(self, part: str, what: str) -> None:
        if not self.torn:
            self.torn, self.torn_part, self.torn_at = what, part, self.ends[part]


def _walk(segment: SegmentFiles, part: str, head: ChainHead) -> _Walk:
    path = segment.path(part)
    walk = _Walk(head, {part: 0, "bodies": 0})
    if segment.first_seq != head.sequence + 1:
        raise Damaged(path, 0, head.sequence + 1, f"records {head.sequence + 1} to {segment.first_seq - 1} are missing")
    bodies_path = segment.path("bodies")
    with path.open("rb") as lines, (bodies_path if bodies_path.exists() else Path(os.devnull)).open("rb") as bodies:
        _walk_lines(walk, part, path, lines, bodies)
    ends = walk.ends["bodies"]
    if part == "journal.open":
        extra = _written_end(bodies_path, ends) - ends
    else:
        extra = bodies_path.stat().st_size - ends if bodies_path.exists() else 0
    if extra:
        walk.tear("bodies", "a body without its record")
    keys = "keys.sent" if "keys.sent" in segment.parts else "keys"
    if segment.path(keys).exists():
        _walk_keys(walk, keys, segment.path(keys), head.sequence + 1)
    return walk


def _walk_lines(walk: _Walk, part: str, path: Path, lines: BinaryIO, bodies: BinaryIO) -> None:
    is_open = part == "journal.open"
    first = lines.readline(_LONGEST)
    if not first.endswith(b"\n"):
        return _torn_line(walk, part, path, first, lines)
    if is_open and _ends_its_page_in_zeros(lines, 0, first):
        return walk.tear(part, _LOST)
    if first != walk.head.hash.encode() + b"\n":
        raise Damaged(path, 0, walk.head.sequence + 1, "it does not continue the chain before it")
    walk.ends[part] = len(first)
    while line := lines.readline(_LONGEST):
        if not line.endswith(b"\n"):
            return _torn_line(walk, part, path, line, lines)
        if is_open and _ends_its_page_in_zeros(lines, walk.ends[part], line):
            return walk.tear(part, _LOST)
        head, body_sha256 = _verified(walk, path, walk.ends[part], line)
        if body_sha256 and not _follow_body(walk, bodies, body_sha256, is_open=is_open):
            if not (is_open and _is_lost(bodies, walk.ends["bodies"])):
                _nothing_follows(walk, head.sequence, lines, bodies)
            return walk.tear("bodies", "a record whose body did not reach the disk")
        walk.head = head
        walk.ends[part] += len(line)
    return None


def _verified(walk: _Walk, path: Path, offset: int, line: bytes) -> tuple[ChainHead, str]:
    content = line[_HASH_CHARACTERS + 1 : -1]
    head = extend(walk.head, content)
    if line[: _HASH_CHARACTERS + 1] != head.hash.encode() + b" ":
        raise Damaged(path, offset, head.sequence, "the line is not the one that was written")
    try:
        value = orjson.loads(content)
        if value["seq"] != head.sequence:
            raise ValueError
        return head, str(value.get("body_sha256", ""))
    except (ValueError, KeyError, TypeError) as error:
        raise Damaged(path, offset, head.sequence, "the line is no record") from error


def _torn_line(walk: _Walk, part: str, path: Path, start: bytes, lines: BinaryIO) -> None:
    """An end without newline is a torn line; but a long one is none, unless the disk left only zeros."""
    if len(start.rstrip(b"\0")) >= _LONGEST or not _only_zeros(lines):
        raise Damaged(path, walk.ends[part], walk.head.sequence + 1, "the line is too long")
    if start:
        walk.tear(part, "an unfinished record")


def _ends_its_page_in_zeros(lines: BinaryIO, offset: int, line: bytes) -> bool:
    """Whether the first zero of this line goes on to the end of its page: it was not on disk when the power went."""
    at = line.find(b"\0")
    if at < 0:
        return False
    here = lines.tell()
    lines.seek(offset + at)
    rest = lines.read(_PAGE - (offset + at) % _PAGE)
    lines.seek(here)
    return not rest.strip(b"\0")


def _only_zeros(file: BinaryIO) -> bool:
    while piece := file.read(2**20):
        if piece.strip(b"\0"):
            return False
    return True


def _follow_body(walk: _Walk, bodies: BinaryIO, expected: str, *, is_open: bool) -> bool:
    """Whether the next body is there; raises Damaged when another one is."""
    head = bodies.read(FRAME_BYTES)
    sequence, length = int.from_bytes(head[:8], "big"), int.from_bytes(head[8:], "big")
    wanted = walk.head.sequence + 1
    if len(head) < FRAME_BYTES or (sequence == 0 and length == 0):
        return False
    at = walk.ends["bodies"]
    if sequence != wanted or not 0 < length <= MAX_BODY_BYTES:
        if is_open and _is_lost(bodies, at):
            return False
        raise Damaged(Path(bodies.name), at, wanted, "the body's frame is another's")
    cipher = bodies.read(length)
    if len(cipher) < length:
        return False
    if hashlib.sha256(cipher).hexdigest() != expected:
        if is_open and _is_lost(bodies, at):
            return False
        raise Damaged(Path(bodies.name), at, wanted, "the body is not the one that was written")
    walk.ends["bodies"] = at + FRAME_BYTES + length
    return True


def _is_lost(bodies: BinaryIO, at: int) -> bool:
    """Whether the frame here is in a page that ends in zeros: it was not on disk when the power went."""
    size = os.fstat(bodies.fileno()).st_size
    bodies.seek(at)
    length = int.from_bytes(bodies.read(FRAME_BYTES)[8:], "big")
    end = min(at + FRAME_BYTES + min(length, MAX_BODY_BYTES), size)
    for page in range(at // _PAGE, (max(end, at + 1) - 1) // _PAGE + 1):
        page_end = min((page + 1) * _PAGE, size)
        start = max(page_end - _FEWEST_ZEROS, at)
        bodies.seek(start)
        if start < page_end and not bodies.read(page_end - start).strip(b"\0"):
            return True
    return False


def _nothing_follows(walk: _Walk, sequence: int, lines: BinaryIO, bodies: BinaryIO) -> None:
    """A torn body ends its file. Where the next record's frame follows, a length was changed: that is no tear."""
    bodies.seek(walk.ends["bodies"] + FRAME_BYTES)
    rest = bodies.read(MAX_BODY_BYTES)
    for line in lines:
        sequence += 1
        if b'"body_sha256":"' not in line:
            continue
        if sequence.to_bytes(8, "big") not in rest:
            return
        raise Damaged(Path(bodies.name), walk.ends["bodies"], walk.head.sequence + 1, "the body's length is wrong")


def _walk_keys(walk: _Walk, part: str, path: Path, sequence: int) -> None:
    walk.ends[part] = 0
    with path.open("rb") as file:
        while line := file.readline(MAX_KEY_LINE_BYTES):
            if not line.endswith(b"\n") or (part == "keys" and b"\0" in line):
                return walk.tear(part, "an unfinished key")
            try:
                msgspec.json.decode(line, type=KeyLine)
            except msgspec.DecodeError as error:
                raise Damaged(path, walk.ends[part], sequence, "a wrapped key is malformed") from error
            walk.ends[part] += len(line)
    return None
