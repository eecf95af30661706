"""Where sessions of signed-in people are kept, and what each of them was shown.

One row per session, keyed by the hash of its secret id; rows of what was shown go with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class WebSession:
    """One person's session in one browser.

    Args:
        id_hash: SHA-256 of the cookie's secret, hexadecimal; the secret itself is never kept.
        person_id: Who signed in.
        auth_time: When they proved who they are, seconds since the epoch, as the issuer told.
        created_at: When the session began.
        seen_at: When it was last used.
    """

    id_hash: str
    person_id: str
    auth_time: int
    created_at: float
    seen_at: float


class WebSessions(Protocol):
    """The store of sessions."""

    def add(self, session: WebSession, most: int) -> None:
        """Keep a new session; of more than `most` of that person the oldest go."""

    def find(self, id_hash: str) -> WebSession | None:
        """The session, or None. Its age is the caller's to judge."""

    def touch(self, id_hash: str, seen_at: float) -> None:
        """Note that it was used. Nothing happens when it is gone: a removed session never comes back."""

    def remove(self, id_hash: str) -> None:
        """Forget it, and what it was shown. Idempotent."""

    def remove_created_before(self, created_at: float) -> None:
        """Forget all that are older."""

    def mark_shown(self, id_hash: str, request_id: str, command_digest: str, part: int) -> None:
        """Note that one part of one Command was shown. Idempotent; nothing happens when the session is gone."""

    def shown(self, id_hash: str, request_id: str, command_digest: str) -> frozenset[int]:
        """The parts of that Command that this session was shown."""
