"""Whole Commands in S3: `commands/<sha256>` of the incoming bucket."""

from __future__ import annotations

from typing import Final

from twokeys.digest import sha256
from twokeys.errors import InvalidInput, Unavailable

from ...ports.blobs import MAX_BLOB_BYTES
from .clients import Clients
from .objects import Bucket, name_of_hash

FOLDER: Final = "commands/"


class S3Blobs:
    """Implements `ports.blobs.Blobs`."""

    def __init__(self, clients: Clients, bucket: str) -> None:
        """Args: clients: of AWS; bucket: for what is uploaded."""
        self._bucket = Bucket(clients, bucket)

    def put(self, data: bytes) -> str:
        if len(data) > MAX_BLOB_BYTES:
            raise InvalidInput(f"A command is over {MAX_BLOB_BYTES} bytes.", not_done="It was not stored.",
                               code="too_large")  # fmt: skip
        name = sha256(data)
        if not self._bucket.create(blob_key(name), data):
            # S3 checked the checksum of what is there when it was stored; under this name no other has a ticket.
            found = self._bucket.find(blob_key(name))
            if found is None or found.sha256 != name:
                raise _damaged("It was not stored.")
        return name

    def get(self, name: str) -> bytes | None:
        key = blob_key(name)
        found = self._bucket.find(key)
        if found is None:
            return None
        if found.length > MAX_BLOB_BYTES or found.sha256 != name:
            raise _damaged("It was not used.")
        data = self._bucket.mapped(key)
        if data is None:
            return None
        plain = bytes(data)
        if sha256(plain) != name:
            raise _damaged("It was not used.")
        return plain

    def has(self, name: str) -> bool:
        return self._bucket.find(blob_key(name)) is not None


def blob_key(name: str) -> str:
    """Where a blob lies. Raises InvalidInput unless `name` is a SHA-256."""
    return FOLDER + name_of_hash(name)


def _damaged(not_done: str) -> Unavailable:
    return Unavailable("A stored command is not the one its name says.", not_done=not_done,
                       advice="The store was changed from outside.", code="store_damaged")  # fmt: skip
