"""Permissions to upload one object: an address that says what, how long and until when, authenticated by a MAC.

What S3's presigned addresses are on AWS. The key lives as long as the process: after a restart an Edge asks again.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from twokeys.errors import Refused
from twokeys.messages import UploadRequest

from ...ports.clock import Clock

PREFIX: Final = "/uploads/"
"""Where uploads go; nothing else may be longer than `twokeys.messages.MAX_BODY_BYTES`."""

TICKET_MILLISECONDS: Final = 15 * 60 * 1000
"""How long a permission lasts."""

_FIELDS: Final = ("kind", "name", "sha256", "length", "until")


@dataclass(frozen=True, slots=True)
class Ticket:
    """A permission that holds."""

    kind: str
    name: str
    sha256: str
    length: int


class Tickets:
    """Makes and checks them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._key = secrets.token_bytes(32)

    def url(self, request: UploadRequest) -> str:
        """The address for one upload, below the control plane's own."""
        fields = {
            "kind": request.kind,
            "name": request.name,
            "sha256": request.sha256,
            "length": str(request.length),
            "until": str(self._clock.now() + TICKET_MILLISECONDS),
        }
        return f"{PREFIX}{request.kind}?{urlencode({**fields, 'mac': self._mac(fields)})}"

    def check(self, uri: str) -> Ticket:
        """Read an address back.

        Raises:
            Refused: unless it was made here, is unchanged and has not expired.
        """
        fields = dict(parse_qsl(urlsplit(uri).query)) if len(uri) <= 1024 else {}
        mac = fields.pop("mac", "")
        if (
            set(fields) == set(_FIELDS)
            and hmac.compare_digest(mac.encode(), self._mac(fields).encode())
            and int(fields["until"]) > self._clock.now()
        ):
            return Ticket(fields["kind"], fields["name"], fields["sha256"], int(fields["length"]))
        raise Refused("The upload's address is not valid, or not any more.", not_done="Nothing was stored.",
                      advice="Ask for a new one.", code="bad_ticket")  # fmt: skip

    def _mac(self, fields: dict[str, str]) -> str:
        message = "\n".join(f"{name}={fields[name]}" for name in _FIELDS)
        return hmac.new(self._key, b"twokeys/upload/v1\n" + message.encode(), hashlib.sha256).hexdigest()
