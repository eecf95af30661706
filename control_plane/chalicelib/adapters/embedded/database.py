"""One SQLite file: WAL, synchronous=FULL, one writer at a time, a connection for each thread."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from twokeys.errors import Unavailable

from ...ports.clock import Clock
from .schema import MIGRATIONS, SCHEMA, VERSION

BUSY_SECONDS: Final = 10.0
"""How long a writer waits for another process's write; within this process a lock keeps order."""

CACHE_KIBIBYTES: Final = 2048
"""Page cache of one connection; there is one for each thread."""


class Database:
    """The file, and how it is written to."""

    def __init__(self, path: Path, clock: Clock) -> None:
        """Open or create.

        Args:
            path: The file, private to the process's user.
            clock: The store's clock.

        Raises:
            Unavailable: when it is of another version, or can't be used.
        """
        self.clock = clock
        self._path = path
        self._writer = threading.RLock()
        self._local = threading.local()
        self._open: list[sqlite3.Connection] = []
        path.touch(mode=0o600)
        with self._writer:
            connection = self.read()
            connection.execute("PRAGMA journal_mode = WAL")
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version == 0:
                connection.executescript(f"BEGIN IMMEDIATE; {SCHEMA} PRAGMA user_version = {VERSION}; COMMIT;")
            elif 0 < version < VERSION:
                steps = "".join(MIGRATIONS[step] for step in range(version, VERSION))
                connection.executescript(f"BEGIN IMMEDIATE; {steps} PRAGMA user_version = {VERSION}; COMMIT;")
            elif version != VERSION:
                raise Unavailable(f"{path.name} is of version {version}, this program knows {VERSION}.",
                                  not_done="It was not opened.", code="other_version")  # fmt: skip

    def read(self) -> sqlite3.Connection:
        """This thread's connection; outside `write` it sees what is committed."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(
                self._path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False, cached_statements=64
            )
            connection.executescript(
                f"PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA cache_size = -{CACHE_KIBIBYTES};"
                " PRAGMA trusted_schema = OFF; PRAGMA secure_delete = ON;"
            )
            self._local.connection = connection
            with self._writer:
                self._open.append(connection)
        return connection

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """One transaction: on disk when the block ends, undone when it raises.

        Raises:
            Unavailable: when SQLite can't write (disk, lock); nothing was changed then.
        """
        with self._writer:
            connection = self.read()
            try:
                connection.execute("BEGIN IMMEDIATE")
                try:
                    yield connection
                    connection.execute("COMMIT")
                finally:
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
            except sqlite3.OperationalError as error:
                raise Unavailable(
                    f"The store can't be written ({error}).",
                    not_done="Nothing was changed.",
                    advice="Look after the control plane's disk.",
                    code="store_failed",
                ) from error

    def close(self) -> None:
        """Close every thread's connection."""
        with self._writer:
            for connection in self._open:
                connection.close()
            self._open.clear()
            self._local = threading.local()


def raise_bundle_revision(connection: sqlite3.Connection) -> None:
    """What a Bundle holds has changed; call it in the transaction that changes it."""
    connection.execute("UPDATE meta SET value = value + 1 WHERE name = 'bundle_revision'")
