"""Wrapped session keys in DynamoDB. Erasing removes the key and leaves the item, so that it can't be put back.

A backup of the table, or its point-in-time recovery, still has an erased key until the backup ends (docs/adr/0010).
"""

from __future__ import annotations

import hmac
from typing import Final

from twokeys.errors import Conflict

from ...ports.clock import Clock
from ...ports.records import Note
from ...ports.session_keys import Erasure, KeptKey
from .records import outbox
from .table import ConditionFailed, Item, Key, Put, Table, Update

MAX_SESSION_BYTES: Final = 900
"""Longest id of a session that is looked up; what is longer has no key."""


class DynamoSessionKeys:
    """Implements `ports.session_keys.SessionKeys`."""

    def __init__(self, table: Table, clock: Clock) -> None:
        """Args: table, clock: the deployment's."""
        self._table, self._clock = table, clock

    def put(self, key: KeptKey) -> None:
        kept = self._table.get(_key(key.session))
        if kept is None:
            try:
                self._table.write(_put(key))
                return
            except ConditionFailed:
                kept = self._table.get(_key(key.session))
        if kept is None or not _same(kept, key):
            raise Conflict("The session has another key, or its key was erased.", not_done="It was not kept.",
                           code="session_taken")  # fmt: skip

    def get(self, session: str) -> KeptKey | None:
        item = self._table.get(_key(session)) if _can_be_asked(session) else None
        if item is None or "wrapped" not in item:
            return None
        return KeptKey(
            edge_id=item["edge_id"],
            session=session,
            wrapping_key_id=item["wrapping_key_id"],
            wrapped=item["wrapped"],
        )

    def erase(self, session: str, by: str, note: Note) -> bool:
        if not _can_be_asked(session):
            return False
        now = self._clock.now()
        erase = Update(
            _key(session), "REMOVE #wrapped SET erased_by = :by, erased_at = :at", "attribute_exists(#wrapped)",
            {":by": by, ":at": now}, {"#wrapped": "wrapped"},
        )  # fmt: skip
        try:
            self._table.write(erase, outbox(note, now))
        except ConditionFailed:
            # The one condition there is: no key, or erased before.
            return False
        return True

    def erased(self, session: str) -> Erasure | None:
        item = self._table.get(_key(session)) if _can_be_asked(session) else None
        if item is None or "erased_at" not in item:
            return None
        return Erasure(edge_id=item["edge_id"], by=item["erased_by"], at=item["erased_at"])


def _put(key: KeptKey) -> Put:
    where = _key(key.session)
    item = {
        "pk": where.pk, "sk": where.sk, "edge_id": key.edge_id, "wrapping_key_id": key.wrapping_key_id,
        "wrapped": key.wrapped,
    }  # fmt: skip
    return Put(item, "attribute_not_exists(pk)")


def _same(kept: Item, key: KeptKey) -> bool:
    whose = (kept["edge_id"], kept["wrapping_key_id"]) == (key.edge_id, key.wrapping_key_id)
    return whose and hmac.compare_digest(kept.get("wrapped", b""), key.wrapped)


def _can_be_asked(session: str) -> bool:
    """Whether it can be a key: DynamoDB refuses some texts."""
    return session.isprintable() and 0 < len(session.encode()) <= MAX_SESSION_BYTES


def _key(session: str) -> Key:
    return Key(f"SESSION#{session}", "KEY")
