"""A held Request as a reviewer's terminal gets it, checked against the digests before it is shown.

The control plane could be shown one thing and sign another only if the digest we send back were not of the text we
showed; so the text is hashed here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from twokeys.command import PostgresCommand, Setting, command_digest
from twokeys.digest import canonical, from_base64, sha256
from twokeys.errors import InvalidInput, Refused, TwokeysError
from twokeys.grant import read_terms
from twokeys_cli.api import Api

MAX_COMMAND_BYTES: Final = 64 * 1024 * 1024
"""Longest command shown."""

_SHOWN: Final = (
    "state", "caller", "caller_kind", "sponsor", "client", "target", "database", "kind", "effect", "accesses",
    "reasons", "policies", "in_transaction", "locks", "seconds_left", "approvals", "votes", "reason", "decided_by",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Held:
    """A Request: its id, what an approval of it binds, and the rest as the control plane tells it."""

    id: str
    digest: str
    command_sha256: str
    fields: Mapping[str, Any]

    @classmethod
    def read(cls, value: Mapping[str, Any], request_id: str) -> Held:
        """Read the control plane's answer. Raises InvalidInput unless it is the request asked for."""
        try:
            held = cls(str(value["id"]), str(value["command_digest"]), str(value["command_sha256"]), value)
        except KeyError as error:
            raise InvalidInput(f"The control plane's answer lacks {error}.", not_done="Nothing was decided.") from error
        if held.id != request_id:
            raise InvalidInput("The control plane answered another request.", not_done="Nothing was decided.")
        return held

    def facts(self) -> dict[str, Any]:
        """What to print above the statement."""
        return {"request": self.id, **{name: self.fields[name] for name in _SHOWN if name in self.fields}}

    def types(self) -> list[str]:
        """The names of the parameters' types, as far as the server resolved them."""
        found = self.fields.get("types", [])
        return [str(name) for name in found] if isinstance(found, list) else []


def whole_command(api: Api, held: Held) -> bytes:
    """The Command's canonical JSON, read page by page to its end."""
    data = b""
    while len(data) <= MAX_COMMAND_BYTES:
        page = api.get(f"/v1/requests/{quote(held.id, safe='')}/body?offset={len(data)}")
        piece = from_base64(str(page.get("data", "")))
        data += piece
        if not piece or len(data) >= int(page.get("total", 0)):
            return data
    raise InvalidInput(f"The command is over {MAX_COMMAND_BYTES} bytes.", not_done="Nothing was decided.")


def read_command(held: Held, data: bytes) -> dict[str, Any]:
    """The Command, when it is the one that the request's digests name.

    Raises:
        Refused: when the bytes are of another Command.
    """
    if sha256(data) != held.command_sha256:
        raise _other()
    try:
        value: dict[str, Any] = json.loads(data)
        if canonical(value) != data:
            raise _other()
        if value.get("kind") == "grant":
            if read_terms(value).digest != held.digest:
                raise _other()
            return value
        command = PostgresCommand.from_json(value)
        if canonical(command.to_json()) != data:
            raise _other()
        if fingerprint := str(held.fields.get("fingerprint", "")):
            setting = Setting(held.fields["target"], held.fields["database"], held.fields["caller"], fingerprint)
            if command_digest(command, setting) != held.digest:
                raise _other()
    except TwokeysError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidInput("The command can't be read.", not_done="Nothing was decided.") from error
    return value


def _other() -> Refused:
    return Refused(
        "The command sent is not the one that the request's digest is of.",
        not_done="Nothing was decided.",
        advice="Don't approve it. Tell who runs the control plane.",
        code="digest_mismatch",
    )
