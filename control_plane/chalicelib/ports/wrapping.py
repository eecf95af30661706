"""The key that session data keys are wrapped to (RSA-OAEP with SHA-256)."""

from __future__ import annotations

from typing import Protocol


class Wrapping(Protocol):
    """Unwraps."""

    @property
    def key_id(self) -> str:
        """Names the key."""

    def public_der(self) -> bytes:
        """DER SubjectPublicKeyInfo of the key to wrap to."""

    def unwrap(self, key_id: str, wrapped: bytes) -> bytes:
        """A data key.

        Raises:
            Refused: when the key is not ours, or the bytes don't unwrap.
        """
