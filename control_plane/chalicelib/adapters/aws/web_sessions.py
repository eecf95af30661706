"""Web sessions in DynamoDB.

    WEB#<hash> / WEB, SHOWN#<request>#<digest>#<part>       WEBS#<person> / <created>#<added>#<hash>

The second kind of item finds a person's sessions consistently, and by the index all that are older than a time.
DynamoDB drops what is past its `ttl` days late: it is not found all the same. Younger ages are the caller's to judge.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Final

from ...ports.clock import Clock
from ...ports.web_sessions import WebSession
from .table import MAX_ACTIONS, TTL, Action, Check, ConditionFailed, Delete, Item, Key, Put, Table, Update

KEPT_SECONDS: Final = 24 * 3600
"""After which DynamoDB may drop a session; more than one lasts."""

MICROSECONDS: Final = 1_000_000
"""Times are kept to the microsecond."""

MAX_REMOVED: Final = 1000
"""Most old sessions removed at one sign-in; the rest at the next."""

_LISTING: Final = "WEBS"


class DynamoWebSessions:
    """Implements `ports.web_sessions.WebSessions`."""

    def __init__(self, table: Table, clock: Clock) -> None:
        self._table, self._clock = table, clock

    def add(self, session: WebSession, most: int) -> None:
        created, ttl = _kept_time(session.created_at), int(session.created_at) + KEPT_SECONDS
        # Of sessions that began at once the one added first is the oldest.
        of_person, sort = f"WEBS#{session.person_id}", f"{created:016d}#{time.time_ns():020d}#{session.id_hash}"
        web = _web_key(session.id_hash)
        self._table.write(
            Put(
                {
                    "pk": web.pk, "sk": web.sk, "person_id": session.person_id, "auth_time": session.auth_time,
                    "created_us": created, "seen_us": _kept_time(session.seen_at), "listed": sort, TTL: ttl,
                },
                "attribute_not_exists(pk)",
            ),
            Put({"pk": of_person, "sk": sort, "list_pk": _LISTING, "list_sk": sort, TTL: ttl}),
        )  # fmt: skip
        newest_first = [item["sk"].rpartition("#")[2] for item in self._table.query(of_person, newest_first=True)]
        for id_hash in newest_first[most:]:
            self._remove(id_hash, f"WEBS#{session.person_id}")

    def find(self, id_hash: str) -> WebSession | None:
        item = self._table.get(_web_key(id_hash))
        return _session(id_hash, item) if item and item[TTL] > self._clock.now() // 1000 else None

    def touch(self, id_hash: str, seen_at: float) -> None:
        self._if_there(
            Update(
                _web_key(id_hash), "SET seen_us = :seen", "attribute_exists(pk) AND seen_us < :seen",
                {":seen": _kept_time(seen_at)},
            )
        )  # fmt: skip

    def remove(self, id_hash: str) -> None:
        self._remove(id_hash, "")

    def remove_created_before(self, created_at: float) -> None:
        before = f"{_kept_time(created_at):016d}"
        for item in self._table.query(_LISTING, between=("0", before), index=True, most=MAX_REMOVED):
            self._remove(item["sk"].rpartition("#")[2], item["pk"])

    def mark_shown(self, id_hash: str, request_id: str, command_digest: str, part: int) -> None:
        web = self._table.get(_web_key(id_hash))
        if web is None:
            return
        shown = Key(f"WEB#{id_hash}", f"{_shown(request_id, command_digest)}{part:09d}")
        self._if_there(
            Check(_web_key(id_hash), "attribute_exists(pk)"),
            Put({"pk": shown.pk, "sk": shown.sk, "part": part, TTL: web[TTL]}),
        )

    def shown(self, id_hash: str, request_id: str, command_digest: str) -> frozenset[int]:
        if self._table.get(_web_key(id_hash)) is None:
            return frozenset()
        items = self._table.query(f"WEB#{id_hash}", _shown(request_id, command_digest))
        return frozenset(item["part"] for item in items)

    def _remove(self, id_hash: str, of_person: str) -> None:
        """Remove a session first, what it was shown after: nothing is added to one that is gone."""
        item = self._table.get(_web_key(id_hash))
        if item is not None:
            listed = Key(f"WEBS#{item['person_id']}", item["listed"])
            self._table.write(Delete(_web_key(id_hash)), Delete(listed))
        elif of_person:
            self._delete(
                Key(one["pk"], one["sk"]) for one in self._table.query(of_person) if one["sk"].endswith(f"#{id_hash}")
            )
        self._delete(Key(one["pk"], one["sk"]) for one in self._table.query(f"WEB#{id_hash}", "SHOWN#"))

    def _delete(self, keys: Iterable[Key]) -> None:
        actions: list[Action] = [Delete(key) for key in keys]
        for start in range(0, len(actions), MAX_ACTIONS):
            self._table.write(*actions[start : start + MAX_ACTIONS])

    def _if_there(self, *actions: Action) -> None:
        """Write; nothing happens when the session is gone, or is newer already."""
        try:
            self._table.write(*actions)
        except ConditionFailed:
            return


def _web_key(id_hash: str) -> Key:
    return Key(f"WEB#{id_hash}", "WEB")


def _shown(request_id: str, command_digest: str) -> str:
    return f"SHOWN#{request_id}#{command_digest}#"


def _kept_time(seconds: float) -> int:
    return round(seconds * MICROSECONDS)


def _session(id_hash: str, item: Item) -> WebSession:
    return WebSession(
        id_hash,
        item["person_id"],
        item["auth_time"],
        item["created_us"] / MICROSECONDS,
        item["seen_us"] / MICROSECONDS,
    )
