"""Public halves of KMS keys, asked for once per process."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from twokeys.errors import Unavailable

from .clients import Clients
from .errors import told


@dataclass(frozen=True, slots=True)
class KmsKey:
    """What KMS says of a key: its id (the end of its ARN), DER SubjectPublicKeyInfo, and `KeyUsage`."""

    id: str
    der: bytes
    usage: str


class PublicKeys:
    """Fetches and keeps them. A key's public half never changes; what an alias names may, so ids are compared."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._lock = threading.Lock()
        self._known: dict[str, KmsKey] = {}

    def of(self, key: str) -> KmsKey:
        """A key by id, ARN or alias. Raises Unavailable."""
        with self._lock:
            known = self._known.get(key)
        if known is None:
            with told("KMS", "Nothing was signed or unwrapped."):
                said = self._clients.of("kms").get_public_key(KeyId=key)
            known = KmsKey(_id(said["KeyId"]), bytes(said["PublicKey"]), said["KeyUsage"])
            with self._lock:
                self._known[key] = known
        return known

    def check(self, key: str, used: str) -> None:
        """Raise Unavailable when KMS used another key than the one whose public half is kept here."""
        with self._lock:
            known = self._known.get(key)
            if known is not None and known.id == _id(used):
                return
            self._known.pop(key, None)
        raise Unavailable("KMS used another key than before.", not_done="Its answer was thrown away.",
                          advice="An alias was moved: name keys by their ARN. Try again.",
                          code="key_changed")  # fmt: skip


def _id(arn: str) -> str:
    return arn.rpartition("/")[2]
