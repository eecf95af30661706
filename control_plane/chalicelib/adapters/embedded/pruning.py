"""What a deployment on one machine forgets in time. Records, Segments and Seals stay: auditors need nothing of this.

ended Request, 90 days old ──▶ its row, its votes, and its whole Command and Preview if no other Request has the same
enrolment token, a day over ─▶ its row                        edit, longer ago than it counts ──▶ its row
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ...ports.clock import Clock
from .blobs import FileBlobs
from .database import Database

DAY: Final = 24 * 3600 * 1000
"""Milliseconds."""

REQUEST_DAYS: Final = 90
"""How long a Request that is over is listed and shown; one in doubt is not over."""

TOKEN_DAYS: Final = 1
"""How long after its end a token is kept, so that a lost answer to an enrolment can be asked for again."""

EDIT_DAYS: Final = 30
"""How long edits are kept; they count for `Limits.edit_seconds`, a day."""

BLOB_DAYS: Final = 1
"""How long nobody must have stored a Command for it to be removed: a Request with it may be on its way."""

MAX_REQUESTS: Final = 1000
"""Most Requests forgotten at once: the store is locked meanwhile."""

_NAMES: Final = ", ".join(
    f"json_extract(CAST(asked AS TEXT), '$.opened.{field}')" for field in ("command_sha256", "preview_digest")
)
"""Of a Request's blobs: its whole Command, and its Preview where it has one."""

_ENDED: Final = "state NOT IN ('pending', 'approved', 'spending', 'in_doubt') AND moved_at < ?"


class Pruning:
    """Forgets. One caller at a time."""

    def __init__(self, database: Database, blobs: FileBlobs, clock: Clock) -> None:
        self._database, self._blobs, self._clock = database, blobs, clock

    def run(self) -> int:
        """Forget what is old enough, at most `MAX_REQUESTS` Requests; return how many. Raises Unavailable."""
        now = self._clock.now()
        with self._database.write() as connection:
            gone = connection.execute(
                f"SELECT id, {_NAMES} FROM requests"  # noqa: S608
                f" WHERE {_ENDED} ORDER BY moved_at LIMIT ?",
                (now - REQUEST_DAYS * DAY, MAX_REQUESTS),
            ).fetchall()
            connection.executemany("DELETE FROM votes WHERE request_id = ?", [(one,) for one, *_ in gone])
            connection.executemany("DELETE FROM requests WHERE id = ?", [(one,) for one, *_ in gone])
            connection.execute("DELETE FROM tokens WHERE expires_at < ?", (now - TOKEN_DAYS * DAY,))
            connection.execute("DELETE FROM edits WHERE at < ?", (now - EDIT_DAYS * DAY,))
        self._drop_blobs({str(name) for _, *names in gone for name in names if name}, now)
        return len(gone)

    def _drop_blobs(self, names: set[str], now: int) -> None:
        if not names:
            return
        rows = self._database.read().execute(f"SELECT {_NAMES} FROM requests")  # noqa: S608
        for name in names - {str(name) for row in rows for name in row if name}:
            _remove_unless_fresh(self._blobs.path(name), now - BLOB_DAYS * DAY)


def _remove_unless_fresh(path: Path, before: int) -> None:
    """Remove a file that nobody has stored again since; storing touches it."""
    aside = path.with_suffix(".gone")
    try:
        path.replace(aside)
    except FileNotFoundError:
        return
    # Looked at once nobody can touch it any more: whoever stores it now finds none, and stores it anew.
    if aside.stat().st_mtime * 1000 >= before:
        aside.replace(path)
    else:
        aside.unlink()
