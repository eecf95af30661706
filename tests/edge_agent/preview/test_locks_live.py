"""The locks that are told are those that a real server takes."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from tests.edge_agent.preview.test_locks import STATEMENTS
from tests.support.postgres import RealPostgres

SETUP = """
DROP SCHEMA IF EXISTS locking CASCADE; CREATE SCHEMA locking; SET search_path = locking;
CREATE TABLE u (id int PRIMARY KEY); CREATE TABLE t (id int PRIMARY KEY, a int);
ALTER TABLE t ADD CONSTRAINT positive CHECK (a > 0) NOT VALID;
CREATE TABLE p (id int) PARTITION BY LIST (id); CREATE TABLE o PARTITION OF p FOR VALUES IN (1);
CREATE TABLE q (id int);
CREATE MATERIALIZED VIEW m AS SELECT id FROM u; CREATE UNIQUE INDEX ON m (id);
"""

HELD = """
SELECT c.relname, l.mode FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE l.pid = pg_backend_pid() AND l.granted AND n.nspname = 'locking'
AND c.relname IN ('t', 'u', 'm', 'v', 'p', 'o', 'q')
"""

STRENGTH = ["AccessShare", "RowShare", "RowExclusive", "ShareUpdateExclusive", "Share", "ShareRowExclusive",
            "Exclusive", "AccessExclusive"]  # fmt: skip


@pytest.fixture
def server(any_postgres: RealPostgres) -> Iterator[psycopg.Connection[tuple[str, str]]]:
    any_postgres.admin(SETUP)
    with psycopg.connect(any_postgres.admin_dsn) as connection:
        connection.execute("SET search_path = locking")
        yield connection
        connection.rollback()
    any_postgres.admin("DROP SCHEMA locking CASCADE")


@pytest.mark.parametrize("text", list(STATEMENTS))
def test_the_server_takes_the_lock_that_is_told(server: psycopg.Connection[tuple[str, str]], text: str) -> None:
    server.execute(text)
    strongest: dict[str, int] = {}
    for name, mode in server.execute(HELD).fetchall():
        before = "t" if name == "v" else name
        strongest[before] = max(strongest.get(before, 0), STRENGTH.index(mode.removesuffix("Lock")))
    for name, mode in STATEMENTS[text].items():
        if text.startswith("drop"):
            # It is gone from the catalogue by now, so that nothing can be looked up.
            continue
        assert STRENGTH[strongest[name]].lower() == mode.replace(" ", "").lower(), strongest
