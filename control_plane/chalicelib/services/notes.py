"""The Records that go with changes: columns of `tables.RECORDS`, nothing empty, never an exact text or value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from twokeys.digest import Json, canonical
from twokeys.messages import OpenRequest
from twokeys.record import MAX_LINE_BYTES, MAX_STATEMENT_CHARACTERS, RecordType

from ..ports.records import Note
from ..ports.requests import Asked

ROOM_FOR_OWN_FIELDS: Final = 1024
"""Bytes of a line left to what the store adds."""

SHORTENED_TEXT: Final = 512
SHORTENED_LIST: Final = 16
"""What is left of texts and lists of a header that was too long; the digests cover the whole."""


def note(kind: RecordType, /, **fields: Json | None) -> Note:
    """A Record's header; fields that are empty are left out."""
    header: dict[str, Json] = {"type": kind.value}
    header |= {name: value for name, value in fields.items() if value not in ("", None, [], ())}
    if len(canonical(header)) > MAX_LINE_BYTES - ROOM_FOR_OWN_FIELDS:
        header = {name: _shorter(value) for name, value in header.items()}
    return header


def about(kind: RecordType, asked: Asked, /, **fields: Json | None) -> Note:
    """A Record about a Request."""
    opened: OpenRequest = asked.opened
    whole: dict[str, Json | None] = {
        "session": opened.session,
        "target": opened.target,
        "database": opened.database,
        "caller": opened.caller,
        "caller_kind": opened.caller_kind,
        "sponsor": opened.sponsor,
        "client": opened.client,
        "request": opened.id,
        "kind": opened.kind,
        "effect": asked.effect.word,
        "objects": opened.accesses,
        "statement": opened.statement[:MAX_STATEMENT_CHARACTERS],
        "command_digest": opened.command_digest,
        "policies": asked.policies,
        "policy_revision": asked.policy_revision,
        "bundle": opened.bundle,
        "in_transaction": opened.in_transaction,
        **fields,
    }
    return note(kind, **whole)


def read_by(asked: Asked, person_id: str) -> Note:
    """Somebody was shown the exact text and values of a Request."""
    return about(RecordType.BODY_READ, asked, person=person_id)


def _shorter(value: Json) -> Json:
    if isinstance(value, str):
        return value if len(value) <= SHORTENED_TEXT else value[:SHORTENED_TEXT] + " …"
    if isinstance(value, Sequence):
        kept: list[Json] = [str(item)[:SHORTENED_TEXT] for item in value[:SHORTENED_LIST]]
        return kept if len(value) <= SHORTENED_LIST else [*kept, f"… and {len(value) - SHORTENED_LIST} more"]
    return value
