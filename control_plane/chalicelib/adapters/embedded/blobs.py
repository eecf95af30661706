"""Whole Commands as files named by their hash."""

from __future__ import annotations

import os
from pathlib import Path

from twokeys.digest import sha256
from twokeys.errors import InvalidInput, Unavailable

from ...ports.blobs import MAX_BLOB_BYTES
from .files import create


class FileBlobs:
    """Implements `ports.blobs.Blobs`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, name: str) -> Path:
        """Where a blob lies; `name` is 64 hexadecimal digits."""
        return self._folder / name[:2] / name

    def put(self, data: bytes) -> str:
        if len(data) > MAX_BLOB_BYTES:
            raise InvalidInput(f"A command is over {MAX_BLOB_BYTES} bytes.", not_done="It was not stored.",
                               code="too_large")  # fmt: skip
        name = sha256(data)
        try:
            try:
                # Who stores it again needs it again: pruning leaves what was touched lately.
                os.utime(self.path(name))
            except FileNotFoundError:
                create(self.path(name), [data])
        except OSError as error:
            raise Unavailable(
                f"A command can't be stored ({error.strerror}).",
                not_done="It was not stored.",
                advice="Look after the control plane's disk.",
                code="store_failed",
            ) from error
        return name

    def get(self, name: str) -> bytes | None:
        try:
            data = self.path(name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Unavailable(f"A command can't be read ({error.strerror}).", code="store_failed") from error
        if sha256(data) != name:
            raise Unavailable("A stored command is not the one its name says.", not_done="It was not used.",
                              advice="The store was changed from outside.", code="store_damaged")  # fmt: skip
        return data

    def has(self, name: str) -> bool:
        return self.path(name).exists()
