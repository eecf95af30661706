"""The control plane's own chain on DynamoDB: noted with each change, chained when it is read to be sealed.

    change + Note ──one transaction──▶ NOTES#<shard> ──after(): in order of time──▶ CHAIN, numbered and hashed

Chaining in the transaction itself would make the chain's head the one item that every change in the deployment
waits for. A Note is as durable and as bound to its change; it gets its number a few seconds later, from one writer.
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import Final

from twokeys.digest import Json, canonical
from twokeys.errors import InvalidInput
from twokeys.record import MAX_LINE_BYTES

from ...ports.records import SOURCE, Note
from .table import Put

SHARDS: Final = 8
"""Partitions that Notes are spread over."""

_NUMBER_BYTES: Final = 32
"""Room for the sequence number that a line gets later."""


def outbox(note: Note, now: int) -> Put:
    """The action that keeps a Note in the transaction of its change; `now` in milliseconds, the table's clock.

    Raises:
        InvalidInput: when its line would be too long; the caller shortens (`services.notes`), so this is a fault.
    """
    header: dict[str, Json] = {**note, "source": SOURCE, "time": iso(now)}
    data = canonical(header)
    if len(data) + _NUMBER_BYTES > MAX_LINE_BYTES:
        raise InvalidInput("A record's header is too long.", not_done="Nothing was changed.", code="bad_header")
    unique = secrets.token_hex(10)
    shard = int(unique[0], 16) % SHARDS
    return Put({"pk": f"NOTES#{shard}", "sk": f"{now:015d}#{unique}", "note": data}, "attribute_not_exists(pk)")


def iso(milliseconds: int) -> str:
    """ISO 8601 in UTC with milliseconds and ``Z``."""
    text = datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds")
    return text.removesuffix("+00:00") + "Z"
