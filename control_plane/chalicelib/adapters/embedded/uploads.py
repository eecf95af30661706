"""Takes uploads: as many bytes as the ticket says, with the hash it says, under the name it says, once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any, Final

from twokeys.errors import Conflict, InvalidInput, Refused, TwokeysError
from twokeys.record import same_hash

from ...routes.answers import status_of
from .recordings import FileRecordings
from .tickets import Ticket, Tickets

_CHUNK: Final = 256 * 1024

Answer = tuple[int, list[tuple[str, str]], bytes]


class Uploads:
    """The door for uploads."""

    def __init__(self, recordings: FileRecordings, tickets: Tickets) -> None:
        self._recordings, self._tickets = recordings, tickets

    def length(self, uri: str) -> int:
        """How many bytes an address permits; none without a good ticket."""
        try:
            return self._tickets.check(uri).length
        except TwokeysError:
            return 0

    def receive(self, uri: str, stream: Any) -> Answer:
        """Store what comes: 201, or 412 when something is there already."""
        try:
            ticket = self._tickets.check(uri)
            if not self._recordings.receive(ticket.kind, ticket.name, _checked(ticket, stream)):
                raise Conflict("Something is stored there already.", not_done="Nothing was stored.", code="exists")
        except TwokeysError as error:
            body = {"code": error.code, "happened": error.happened, "not_done": error.not_done}
            status = 412 if error.code == "exists" else status_of(error)
            return status, [("Content-Type", "application/json")], json.dumps(body).encode()
        return 201, [("Content-Type", "application/json")], b"{}"


def _checked(ticket: Ticket, stream: Any) -> Iterator[bytes]:
    """The bytes; raises before the file gets its name when they are others than the ticket's."""
    digest, left = hashlib.sha256(), ticket.length
    while left and (piece := stream.read(min(_CHUNK, left))):
        digest.update(piece)
        left -= len(piece)
        yield piece
    if left or stream.read(1):
        raise InvalidInput("The upload has another length than announced.", not_done="Nothing was stored.",
                           code="upload_mismatch")  # fmt: skip
    if not same_hash(digest.hexdigest(), ticket.sha256):
        raise Refused("The upload is not what was announced.", not_done="Nothing was stored.",
                      code="upload_mismatch")  # fmt: skip
