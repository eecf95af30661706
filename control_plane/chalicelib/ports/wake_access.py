"""Where an Edge may wait for its wake-ups without us: a queue of its own, and credentials for that queue alone."""

from __future__ import annotations

from typing import Protocol

import msgspec


class WakeCredentials(msgspec.Struct, frozen=True, kw_only=True):
    """What an Edge polls with; `expires_at` in milliseconds since the epoch."""

    queue_url: str
    region: str
    access_key: str
    secret: str
    token: str
    expires_at: int

    def __repr__(self) -> str:
        """Without what must not stand in a log."""
        return f"WakeCredentials({self.queue_url!r}, expires_at={self.expires_at})"


class WakeAccess(Protocol):
    """Hands credentials out. A backend without such queues has none."""

    def credentials(self, edge_id: str) -> WakeCredentials:
        """Credentials for this Edge's queue; who asks must have been verified to be this Edge.

        Raises:
            Unavailable: when they can't be had now; the Edge polls us then.
        """

    def forget(self, edge_id: str) -> None:
        """This Edge was revoked: its queue goes, with what it could still read by credentials it has. Idempotent.

        Raises:
            Unavailable: when it can't be removed now.
        """
