"""The Edge's own commands in the client's session.

Each is Close, Close, Parse, Bind, Execute under a name of our own: the client's unnamed statement and portal stay as
they are, which a simple Query would destroy, and nothing need be remembered over DISCARD ALL. A flight ends in Sync:
unsynced messages followed by a Query leave the transaction open on PostgreSQL 18.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from edge_agent.classify.limits import RESERVED_PREFIX
from edge_agent.protocols.postgres import encode
from edge_agent.protocols.postgres.fingerprint import ASSIGNED_XID_SQL, FINGERPRINT_SQL, XID_AND_PATH_SQL, XID_SQL
from edge_agent.protocols.postgres.locks import LOCKS_SQL
from edge_agent.protocols.postgres.type_names import types_sql
from twokeys.errors import InvalidInput

CHANGED_SQL: Final = (
    b"SELECT pg_catalog.current_setting('track_counts'), COALESCE(pg_catalog.sum(n_tup_ins OPERATOR(pg_catalog.+)"
    b" n_tup_upd OPERATOR(pg_catalog.+) n_tup_del), 0) FROM pg_catalog.pg_stat_xact_all_tables"
    b" WHERE NOT pg_catalog.starts_with(schemaname::pg_catalog.text, 'pg_toast')"
)
"""Rows that the server itself counted in this transaction, in all tables: triggers' and cascades' too, rolled back ones
too. https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-STATS-VIEWS"""

_NAME: Final = re.compile(r"[a-z0-9_]{8,40}")


def command(name: bytes, sql: bytes) -> bytes:
    """One command under `name`; its answers are 3 3 1 2, rows, and CommandComplete."""
    return b"".join(
        (
            encode.close(b"S", name),
            encode.close(b"P", name),
            encode.parse(name, sql),
            encode.bind(name, name),
            encode.execute(name),
        )
    )


@dataclass(frozen=True, slots=True)
class Hidden:
    """All hidden commands of one session; short ones are encoded once.

    Args:
        guard: Name of the guard's savepoint: unguessable, chosen by the shell for this session, with the prefix that
            clients may not use.
    """

    guard: str
    guard_open: bytes = field(init=False)
    guard_close: bytes = field(init=False)
    guard_undo: bytes = field(init=False)
    lift: bytes = field(init=False)
    begin: bytes = field(init=False)
    commit: bytes = field(init=False)
    rollback: bytes = field(init=False)
    fail: bytes = field(init=False)
    bracket_open: bytes = field(init=False)
    bracket_close: bytes = field(init=False)
    release: bytes = field(init=False)
    lift_and_guard: tuple[bytes, ...] = field(init=False)
    """Statements, not messages, as `release`: for `control`."""

    def __post_init__(self) -> None:
        if not self.guard.startswith(RESERVED_PREFIX) or not _NAME.fullmatch(self.guard):
            raise InvalidInput("A guard's name is not legal.", not_done="The session was not begun.")
        name = f"{self.guard}q".encode()
        guard = self.guard.encode()

        def own(attribute: str, *texts: bytes) -> None:
            object.__setattr__(self, attribute, b"".join(command(name, text) for text in texts))

        own("guard_open", b"SAVEPOINT " + guard, b"SET LOCAL transaction_read_only = on")
        own("guard_close", b"RELEASE SAVEPOINT " + guard)
        own("guard_undo", b"ROLLBACK TO SAVEPOINT " + guard, b"RELEASE SAVEPOINT " + guard)
        own("lift", b"SET transaction_read_only = off")
        own("begin", b"BEGIN")
        own("commit", b"COMMIT")
        own("rollback", b"ROLLBACK")
        # No such savepoint: an error that takes no snapshot and calls nothing.
        own("fail", b"RELEASE SAVEPOINT " + guard + b"_none")
        own("bracket_open", b"SET default_transaction_read_only = off")
        own("bracket_close", b"SET default_transaction_read_only = on")
        opened = (b"SAVEPOINT " + guard, b"SET LOCAL transaction_read_only = on")
        object.__setattr__(self, "release", b"RELEASE SAVEPOINT " + guard)
        object.__setattr__(self, "lift_and_guard", (b"SET transaction_read_only = off", *opened))

    @property
    def fingerprint(self) -> bytes:
        """Ask what the session means. Long and asked for a write alone: built then, not kept for each session."""
        return command(f"{self.guard}q".encode(), FINGERPRINT_SQL)

    @property
    def fingerprint_and_locks(self) -> bytes:
        """The same, and what the open transaction keeps locked."""
        return command(f"{self.guard}q".encode(), FINGERPRINT_SQL + b", " + LOCKS_SQL)

    @property
    def xid(self) -> bytes:
        """Ask for the transaction's id."""
        return command(f"{self.guard}q".encode(), XID_SQL)

    @property
    def xid_and_path(self) -> bytes:
        """Ask for the transaction's id, and for the search_path."""
        return command(f"{self.guard}q".encode(), XID_AND_PATH_SQL)

    @property
    def assigned_xid(self) -> bytes:
        """Ask for the transaction's id, NULL where it has none."""
        return command(f"{self.guard}q".encode(), ASSIGNED_XID_SQL)

    @property
    def name(self) -> bytes:
        """Name of the statements and portals of our own questions."""
        return f"{self.guard}q".encode()

    def question(self, sql: bytes) -> bytes:
        """Ask something that is not always the same."""
        return command(f"{self.guard}q".encode(), sql)

    @property
    def try_begin(self) -> bytes:
        """Two commands: a savepoint of ours, and what was changed before it."""
        return command(f"{self.guard}q".encode(), f"SAVEPOINT {self.guard}p".encode()) + self.try_count

    @property
    def try_count(self) -> bytes:
        """Ask what the transaction has changed so far; see `probation`."""
        return command(f"{self.guard}q".encode(), CHANGED_SQL)

    @property
    def try_all(self) -> bytes:
        """Five commands: `try_count` with what is deferred to the end of the transaction, which stays deferred."""
        name, probe = f"{self.guard}q".encode(), f"{self.guard}c".encode()
        return b"".join((
            command(name, b"SAVEPOINT " + probe),
            command(name, b"SET CONSTRAINTS ALL IMMEDIATE"),
            self.try_count,
            command(name, b"ROLLBACK TO SAVEPOINT " + probe),
            command(name, b"RELEASE SAVEPOINT " + probe),
        ))  # fmt: skip

    @property
    def try_keep(self) -> bytes:
        """One command: what was tried stays."""
        return command(f"{self.guard}q".encode(), f"RELEASE SAVEPOINT {self.guard}p".encode())

    @property
    def try_undo(self) -> bytes:
        """Two commands: nothing of what was tried is left."""
        name, savepoint = f"{self.guard}q".encode(), f"{self.guard}p".encode()
        return command(name, b"ROLLBACK TO SAVEPOINT " + savepoint) + self.try_keep

    def type_names(self, types: Sequence[int]) -> bytes:
        """Ask for the names of these types; see `type_names`."""
        return command(f"{self.guard}q".encode(), types_sql(types))
