"""A file that grows by appends, written through mapped memory: what was appended survives this process without a call.

The kernel has the bytes as soon as they are in a shared mapping, as it would after write(2); `sync` brings both to disk
(fsync(2) writes what was changed through a mapping as well). Room is reserved on the disk before it is mapped
(posix_fallocate(3)), so that a full disk is an error here and not a signal there, and written with zeros at once: the
first write to a page that was only reserved is a fault of its own, several times as dear as the bytes. What is reserved
and not used reads as zeros, which no line has at its end and no frame begins with: `scan` cuts it off after a kill,
`finish` before.

Where room can't be reserved or mapped (macOS, some file systems) it is write(2).
"""

from __future__ import annotations

import errno
import mmap
import os
from pathlib import Path
from typing import Final

from edge_agent.durable import FILE_MODE

RESERVED_BYTES: Final = 256 * 1024
"""Room that is reserved at a time, a multiple of each page size; all of a file that nothing is appended to."""

_UNABLE: Final = frozenset((errno.EOPNOTSUPP, errno.EINVAL, errno.ENODEV, errno.ENOSYS))


class GrowingFile:
    """One new file. Every append is whole or raises OSError. `sync` may run in another thread than `append`."""

    __slots__ = ("_descriptor", "_start", "at", "room", "size")

    def __init__(self, path: Path) -> None:
        """Create it; raises OSError when it exists."""
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        self._descriptor = os.open(path, flags, FILE_MODE)
        self.size = 0
        """Bytes appended."""
        self._start = 0
        self.room: mmap.mmap | None = None
        """The part that is mapped; None where it can't be."""
        self.at = 0
        """Where in it the next byte goes."""
        try:
            self.room = self._reserved(0)
        except OSError:
            os.close(self._descriptor)
            raise

    def append(self, data: bytes) -> None:
        """Append; the bytes survive the death of this process when this returns."""
        room, at, size = self.room, self.at, len(data)
        if room is not None and at + size <= RESERVED_BYTES:
            room[at : at + size] = data
            self.at = at + size
        else:
            self._append_more(data)
        self.size += size

    def wrote(self, size: int) -> None:
        """So many bytes were put into `room` from `at` on."""
        self.at += size
        self.size += size

    def sync(self) -> None:
        """Bring what was appended to disk."""
        os.fsync(self._descriptor)

    def finish(self) -> None:
        """Give back what was reserved and not used; nothing can be appended afterwards. `sync` once more."""
        if self.room is not None:
            self.room.close()
            self.room = None
            os.ftruncate(self._descriptor, self.size)

    def close(self) -> None:
        """Give the descriptor back."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _append_more(self, data: bytes) -> None:
        rest = memoryview(data)
        while self.room is not None and rest:
            piece = rest[: RESERVED_BYTES - self.at]
            self.room[self.at : self.at + len(piece)] = piece
            self.at += len(piece)
            rest = rest[len(piece) :]
            if rest:
                self.room.close()
                self.room = None
                self._start, self.at = self._start + RESERVED_BYTES, 0
                self.room = self._reserved(self._start)
        if rest and (written := os.pwrite(self._descriptor, rest, self._start + self.at)) != len(rest):
            raise OSError(f"only {written} of {len(rest)} bytes were written")
        if rest:
            self.at += len(rest)

    def _reserved(self, start: int) -> mmap.mmap | None:
        if not hasattr(os, "posix_fallocate"):
            return None
        try:
            os.posix_fallocate(self._descriptor, start, RESERVED_BYTES)
            if (zeros := os.pwrite(self._descriptor, bytes(RESERVED_BYTES), start)) != RESERVED_BYTES:
                raise OSError(f"only {zeros} of {RESERVED_BYTES} bytes were reserved")
            return mmap.mmap(self._descriptor, RESERVED_BYTES, mmap.MAP_SHARED, mmap.PROT_WRITE, offset=start)
        except OSError as error:
            if error.errno in _UNABLE:
                # Nobody would cut off the room that was reserved and can't be mapped.
                os.ftruncate(self._descriptor, start)
                return None
            raise
