"""Content-addressed bytes: whole Commands. Create only."""

from __future__ import annotations

from typing import Final, Protocol

MAX_BLOB_BYTES: Final = 64 * 1024 * 1024
"""Longest Command stored."""


class Blobs(Protocol):
    """The store."""

    def put(self, data: bytes) -> str:
        """Keep bytes, once; return their SHA-256. Raises InvalidInput when they are over `MAX_BLOB_BYTES`."""

    def get(self, name: str) -> bytes | None:
        """The bytes with this SHA-256, checked again; None when there are none.

        Raises:
            Unavailable: when what is stored is something else.
        """

    def has(self, name: str) -> bool:
        """Whether they are there."""
