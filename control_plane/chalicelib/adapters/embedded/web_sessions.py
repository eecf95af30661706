"""Web sessions in a SQLite file of their own: losing it signs everybody out and nothing more."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

from ...ports.web_sessions import WebSession

_SCHEMA = """
PRAGMA journal_mode=WAL;
PRAGMA foreign_keys=ON;
CREATE TABLE IF NOT EXISTS sessions (
    id_hash TEXT PRIMARY KEY, person_id TEXT NOT NULL, auth_time INTEGER NOT NULL,
    created_at REAL NOT NULL, seen_at REAL NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS shown (
    id_hash TEXT NOT NULL REFERENCES sessions ON DELETE CASCADE, request_id TEXT NOT NULL,
    command_digest TEXT NOT NULL, part INTEGER NOT NULL,
    PRIMARY KEY (id_hash, request_id, command_digest, part)
) STRICT, WITHOUT ROWID;
"""


class SqliteWebSessions:
    """Implements `ports.web_sessions.WebSessions`."""

    def __init__(self, path: Path) -> None:
        """Open or create the file."""
        self._lock = threading.Lock()
        self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        path.chmod(0o600)
        self._database.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()

    def add(self, session: WebSession, most: int) -> None:
        with self._lock:
            self._database.execute(
                "INSERT INTO sessions VALUES (?, ?, ?, ?, ?)",
                (session.id_hash, session.person_id, session.auth_time, session.created_at, session.seen_at),
            )
            self._database.execute(
                "DELETE FROM sessions WHERE person_id = ?1 AND id_hash NOT IN"
                " (SELECT id_hash FROM sessions WHERE person_id = ?1 ORDER BY created_at DESC, rowid DESC LIMIT ?2)",
                (session.person_id, most),
            )

    def find(self, id_hash: str) -> WebSession | None:
        with self._lock:
            row = self._database.execute(
                "SELECT id_hash, person_id, auth_time, created_at, seen_at FROM sessions WHERE id_hash = ?", (id_hash,)
            ).fetchone()
        return WebSession(*row) if row else None

    def touch(self, id_hash: str, seen_at: float) -> None:
        self._run("UPDATE sessions SET seen_at = max(seen_at, ?) WHERE id_hash = ?", (seen_at, id_hash))

    def remove(self, id_hash: str) -> None:
        self._run("DELETE FROM sessions WHERE id_hash = ?", (id_hash,))

    def remove_created_before(self, created_at: float) -> None:
        self._run("DELETE FROM sessions WHERE created_at < ?", (created_at,))

    def mark_shown(self, id_hash: str, request_id: str, command_digest: str, part: int) -> None:
        self._run(
            "INSERT OR IGNORE INTO shown SELECT id_hash, ?, ?, ? FROM sessions WHERE id_hash = ?",
            (request_id, command_digest, part, id_hash),
        )

    def shown(self, id_hash: str, request_id: str, command_digest: str) -> frozenset[int]:
        with self._lock:
            rows = self._database.execute(
                "SELECT part FROM shown WHERE id_hash = ? AND request_id = ? AND command_digest = ?",
                (id_hash, request_id, command_digest),
            ).fetchall()
        return frozenset(part for (part,) in rows)

    def _run(self, statement: str, values: tuple[object, ...]) -> None:
        with self._lock:
            self._database.execute(statement, values)
