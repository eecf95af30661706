"""How a Segment's two files look as stored bytes; both have one spelling, and both are read with limits.

    lines   one gzip member (RFC 1952) without name, comment, extra field or time; in it each record's canonical
            line followed by a newline
    bodies  frames one after the other, in the order of their records:
            8 bytes sequence, 4 bytes length (both big endian), then that many bytes of ciphertext

The digests in a Seal are of the uncompressed lines and of the bodies file as stored.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from twokeys.errors import InvalidInput
from twokeys.record import MAX_LINE_BYTES

MAX_LINES_BYTES: Final = 256 * 1024 * 1024
"""Most uncompressed bytes of lines in one Segment: a small file that unpacks to more is a bomb, and is refused."""

MAX_BODIES_BYTES: Final = 2**31
"""Longest bodies file of one Segment."""

MAX_BODY_BYTES: Final = 64 * 1024 * 1024
"""Longest ciphertext of one record."""

_FRAME: Final = struct.Struct(">QI")
FRAME_BYTES: Final = _FRAME.size
"""Of a body's frame, what stands before its ciphertext."""

_GZIP_START: Final = bytes.fromhex("1f8b080000000000")
_GZIP_HEADER: Final = _GZIP_START + b"\x00\xff"
_CHUNK: Final = 64 * 1024

_LEVEL: Final = 3
"""How hard lines are compressed (zlib: 1 to 9): half the time of 6, for a fifth more bytes, on the Edge's own CPU."""


class Malformed(InvalidInput):
    """A stored file is not in its one spelling.

    Args:
        offset: Byte of the file (of the uncompressed lines, for a lines file) where reading stopped.
        happened: What is wrong there.
    """

    def __init__(self, offset: int, happened: str) -> None:
        super().__init__(happened, not_done="The rest was not read.", code="malformed_segment")
        self.offset = offset


@dataclass(frozen=True, slots=True)
class Frame:
    """One body: where its frame starts in the file, whose it is, and the ciphertext."""

    offset: int
    sequence: int
    ciphertext: bytes


def pack_lines(lines: bytes) -> bytes:
    """Compress a lines file; the same bytes give the same file on one machine."""
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    trailer = struct.pack("<II", zlib.crc32(lines), len(lines) & 0xFFFFFFFF)
    return _GZIP_HEADER + packer.compress(lines) + packer.flush() + trailer


def unpack_lines(data: bytes | memoryview, limit: int = MAX_LINES_BYTES) -> Iterator[bytes]:
    """Yield the uncompressed bytes in pieces.

    Raises:
        Malformed: for anything but one plain gzip member of at most `limit` bytes.
    """
    if bytes(data[:8]) != _GZIP_START:
        raise Malformed(0, "The lines file does not begin as a plain gzip member.")
    unpacker = zlib.decompressobj(16 + zlib.MAX_WBITS)
    done, rest = 0, memoryview(data)
    try:
        while not unpacker.eof:
            fed = unpacker.unconsumed_tail or bytes(rest[:_CHUNK])
            if not unpacker.unconsumed_tail:
                rest = rest[_CHUNK:]
            if not fed:
                raise Malformed(done, "The lines file ends too early.")
            piece = unpacker.decompress(fed, _CHUNK)
            done += len(piece)
            if done > limit:
                raise Malformed(limit, f"The lines file unpacks to over {limit} bytes.")
            if piece:
                yield piece
    except zlib.error as error:
        raise Malformed(done, f"The lines file does not unpack ({error}).") from error
    if unpacker.unused_data or rest:
        raise Malformed(done, "Something follows the end of the lines file.")


def split_lines(pieces: Iterator[bytes]) -> Iterator[tuple[int, bytes]]:
    """Yield (offset, line without newline) of uncompressed lines that come in pieces.

    Raises:
        Malformed: for a line over `MAX_LINE_BYTES`, or a last one without a newline.
    """
    offset, open_line = 0, b""
    for piece in pieces:
        *whole, open_line = (open_line + piece).split(b"\n")
        for one in whole:
            if len(one) > MAX_LINE_BYTES:
                raise Malformed(offset, f"A record's line is over {MAX_LINE_BYTES} bytes.")
            yield offset, one
            offset += len(one) + 1
        if len(open_line) > MAX_LINE_BYTES:
            raise Malformed(offset, f"A record's line is over {MAX_LINE_BYTES} bytes.")
    if open_line:
        raise Malformed(offset, "The last record's line has no end.")


def pack_body(sequence: int, ciphertext: bytes) -> bytes:
    """The frame of one record's body.

    Raises:
        InvalidInput: for a ciphertext that is empty or over `MAX_BODY_BYTES`.
    """
    if not 0 < len(ciphertext) <= MAX_BODY_BYTES:
        raise InvalidInput(f"A body has no bytes, or over {MAX_BODY_BYTES}.", not_done="It was not written.")
    return _FRAME.pack(sequence, len(ciphertext)) + ciphertext


def split_bodies(data: bytes | memoryview) -> Iterator[Frame]:
    """Yield the frames of a bodies file, in order.

    Raises:
        Malformed: for a frame that is cut short, empty, oversize, or not after the one before.
    """
    view, offset, last = memoryview(data), 0, 0
    if len(view) > MAX_BODIES_BYTES:
        raise Malformed(0, f"The bodies file is over {MAX_BODIES_BYTES} bytes.")
    while offset < len(view):
        start = offset + _FRAME.size
        if start > len(view):
            raise Malformed(offset, "The bodies file ends inside a frame.")
        sequence, length = _FRAME.unpack(view[offset:start])
        if not 0 < length <= MAX_BODY_BYTES or sequence <= last:
            raise Malformed(offset, "A frame of the bodies file is malformed or out of order.")
        if start + length > len(view):
            raise Malformed(offset, "The bodies file ends inside a body.")
        yield Frame(offset, sequence, bytes(view[start : start + length]))
        offset, last = start + length, sequence
