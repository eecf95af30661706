"""Wrapped data keys of sessions. Erasing one makes the session's bodies unreadable; the chain still verifies."""

from __future__ import annotations

from typing import Protocol

import msgspec


class KeptKey(msgspec.Struct, frozen=True, kw_only=True):
    """A wrapped key, and whose session it is."""

    edge_id: str
    session: str
    wrapping_key_id: str
    wrapped: bytes


class SessionKeys(Protocol):
    """The store."""

    def put(self, key: KeptKey) -> None:
        """Keep a key, once. Idempotent for the same; Conflict for another one, or after erasure."""

    def get(self, session: str) -> KeptKey | None:
        """A session's key; None when there is none, or it was erased."""

    def erase(self, session: str) -> bool:
        """Erase it for good; whether there was one."""
