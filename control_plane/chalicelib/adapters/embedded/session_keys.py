"""Wrapped session keys in SQLite. Erasing leaves a row without a key, so that it can't be put back."""

from __future__ import annotations

import hmac

import msgspec

from twokeys.errors import Conflict, Unavailable

from ...ports.records import Note
from ...ports.session_keys import Erasure, KeptKey
from .database import Database
from .records import append


class SqliteSessionKeys:
    """Implements `ports.session_keys.SessionKeys`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, key: KeptKey) -> None:
        with self._database.write() as connection:
            row = connection.execute(
                "SELECT edge_id, wrapping_key_id, wrapped FROM session_keys WHERE session = ?", (key.session,)
            ).fetchone()
            if row is None:
                connection.execute(
                    "INSERT INTO session_keys VALUES (?, ?, ?, ?)",
                    (key.session, key.edge_id, key.wrapping_key_id, key.wrapped),
                )
            elif row[:2] != (key.edge_id, key.wrapping_key_id) or not hmac.compare_digest(row[2] or b"", key.wrapped):
                raise Conflict("The session has another key, or its key was erased.", not_done="It was not kept.",
                               code="session_taken")  # fmt: skip

    def get(self, session: str) -> KeptKey | None:
        row = (
            self._database.read()
            .execute(
                "SELECT edge_id, session, wrapping_key_id, wrapped FROM session_keys"
                " WHERE session = ? AND wrapped IS NOT NULL",
                (session,),
            )
            .fetchone()
        )
        return KeptKey(edge_id=row[0], session=row[1], wrapping_key_id=row[2], wrapped=row[3]) if row else None

    def erase(self, session: str, by: str, note: Note) -> bool:
        with self._database.write() as connection:
            row = connection.execute(
                "SELECT edge_id FROM session_keys WHERE session = ? AND wrapped IS NOT NULL", (session,)
            ).fetchone()
            if row is not None:
                now = self._database.clock.now()
                entry = msgspec.json.encode(Erasure(edge_id=row[0], by=by, at=now))
                connection.execute("UPDATE session_keys SET wrapped = NULL WHERE session = ?", (session,))
                connection.execute("INSERT INTO erasures VALUES (?, ?)", (session, entry))
                append(connection, note, now)
        # The old page is overwritten (secure_delete); its copy in the write-ahead log must go too.
        (busy, *_) = self._database.read().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise Unavailable("The key is erased, but a copy may be left in the store's log: it is being read.",
                              not_done="The log was not emptied.", advice="Do it again shortly.",
                              code="busy")  # fmt: skip
        return row is not None

    def erased(self, session: str) -> Erasure | None:
        row = self._database.read().execute("SELECT entry FROM erasures WHERE session = ?", (session,)).fetchone()
        return msgspec.json.decode(row[0], type=Erasure) if row else None
