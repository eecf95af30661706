"""Wrapped data keys of sessions. Erasing one makes the session's bodies unreadable; the chain still verifies."""

from __future__ import annotations

from typing import Protocol

import msgspec

from .records import Note


class KeptKey(msgspec.Struct, frozen=True, kw_only=True):
    """A wrapped key, and whose session it is."""

    edge_id: str
    session: str
    wrapping_key_id: str
    wrapped: bytes


class Erasure(msgspec.Struct, frozen=True, kw_only=True):
    """That a key was erased: whose it was, by whom and when (milliseconds)."""

    edge_id: str
    by: str
    at: int


class SessionKeys(Protocol):
    """The store."""

    def put(self, key: KeptKey) -> None:
        """Keep a key, once. Idempotent for the same; Conflict for another one, or after erasure."""

    def get(self, session: str) -> KeptKey | None:
        """A session's key; None when there is none, or it was erased."""

    def erase(self, session: str, by: str, note: Note) -> bool:
        """Erase it for good, in one write with its Note; whether there was one. Without one nothing is noted.

        Raises:
            Unavailable: when it could not be done, or a copy may be left: do it again.
        """

    def erased(self, session: str) -> Erasure | None:
        """Who erased a session's key; None when nobody did."""
