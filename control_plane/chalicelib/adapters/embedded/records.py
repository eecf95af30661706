"""The control plane's chain in SQLite: appended in the transaction of the change that it tells of."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime

from twokeys.digest import Json
from twokeys.errors import InvalidInput
from twokeys.record import MAX_LINE_BYTES, ChainHead, extend, genesis, line

from ...ports.records import SOURCE, Note, Run
from .database import Database


class SqliteRecords:
    """Implements `ports.records.Records`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def append(self, note: Note) -> None:
        with self._database.write() as connection:
            append(connection, note, self._database.clock.now())

    def head(self) -> ChainHead:
        return _head(self._database.read())

    def after(self, sequence: int, most: int) -> Run:
        rows = (
            self._database.read()
            .execute("SELECT before, line FROM records WHERE seq > ? ORDER BY seq LIMIT ?", (sequence, most))
            .fetchall()
        )
        return Run(ChainHead(sequence, rows[0][0] if rows else ""), tuple(one for _, one in rows))

    def forget(self, up_to: int) -> None:
        with self._database.write() as connection:
            connection.execute("DELETE FROM records WHERE seq <= ?", (up_to,))


def append(connection: sqlite3.Connection, note: Note, now: int) -> ChainHead:
    """Append one Record inside a transaction.

    Raises:
        InvalidInput: when its line is too long; the caller shortens (`services.records`), so this is a fault.
    """
    head = _head(connection)
    header: dict[str, Json] = {**note, "source": SOURCE, "time": iso(now)}
    data = line(head.sequence + 1, header)
    if len(data) > MAX_LINE_BYTES:
        raise InvalidInput("A record's header is too long.", not_done="Nothing was changed.", code="bad_header")
    after = extend(head, data)
    connection.execute("INSERT INTO records VALUES (?, ?, ?)", (after.sequence, head.hash, data))
    connection.execute("INSERT OR REPLACE INTO chain VALUES (1, ?, ?)", (after.sequence, after.hash))
    return after


def iso(milliseconds: int) -> str:
    """ISO 8601 in UTC with milliseconds and ``Z``."""
    text = datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds")
    return text.removesuffix("+00:00") + "Z"


def _head(connection: sqlite3.Connection) -> ChainHead:
    row = connection.execute("SELECT seq, hash FROM chain").fetchone()
    return ChainHead(*row) if row else genesis(SOURCE)
