"""A classifier that takes everything for a read: what the database alone still stops, and what it does not.

What it does not stop, the classifier alone stands against: it is tried here so that nobody takes the one for the other.
"""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from edge_agent.classify.sql import SqlVerdict
from edge_agent.protocols.postgres.events import Deny, Held, Terminate
from tests.edge_agent.net.read_only_matrix import MATRIX, ROW, SETUP, Try
from tests.edge_agent.net.test_witness_matrix_live import count
from tests.edge_agent.protocols.postgres.doors import FooledDoor, TestDoor
from tests.edge_agent.protocols.postgres.live import DENIED, Shell, shell
from tests.support.postgres import RealPostgres
from twokeys_cli.postgres import SUPERUSER

STOPPED = [one for one in MATRIX if one.outcome in ("25006", "0A000", "25001")]
TEMPORARY = (
    "CREATE TEMP TABLE matrix_own (a int) /* approved */",
    "CREATE FUNCTION pg_temp.late() RETURNS trigger LANGUAGE plpgsql AS "
    f"$$BEGIN {ROW}; RETURN NULL; END$$ /* approved */",
    "CREATE CONSTRAINT TRIGGER late AFTER INSERT ON matrix_own DEFERRABLE INITIALLY DEFERRED "
    "FOR EACH ROW EXECUTE FUNCTION pg_temp.late() /* approved */",
)


class OftenFooled(FooledDoor):
    """Fooled but by what says that it is approved."""

    def _classify(self, text: bytes) -> SqlVerdict:
        return TestDoor._classify(self, text) if b"/* approved */" in text else super()._classify(text)


@pytest.fixture(scope="module")
def edge(any_postgres: RealPostgres) -> Iterator[Shell]:
    any_postgres.admin(SETUP)

    def answer(held: Held) -> Deny | None:
        return None if b"/* approved */" in held.command.text else DENIED

    role = (SUPERUSER, any_postgres.server.superuser_password)
    with shell(any_postgres, user=role, answer=answer, door=OftenFooled) as running:
        yield running
    any_postgres.admin("DROP SCHEMA matrix CASCADE; DROP TABLE shop.matrix; DROP EXTENSION dblink, tablefunc")


@pytest.mark.parametrize("in_transaction", [False, True], ids=["by itself", "in a transaction"])
@pytest.mark.parametrize("extended", [False, True], ids=["simple", "extended"])
@pytest.mark.parametrize("each", STOPPED, ids=lambda each: each.name)
def test_p2_p3_p7_the_server_stops_it_and_people_are_asked(
    edge: Shell, each: Try, extended: bool, in_transaction: bool
) -> None:
    before = count(edge.postgres)
    with psycopg.connect(edge.dsn, autocommit=True) as client:
        if in_transaction and "BEGIN" not in each.messages:
            client.execute("BEGIN")
            client.execute("SELECT 1")
        with pytest.raises(psycopg.Error) as stopped:
            for text in each.messages:
                client.execute(text.encode(), () if extended else None, prepare=extended)
        assert stopped.value.sqlstate
        client.execute("ROLLBACK")
    assert count(edge.postgres) == before


def test_g1_a_cursor_is_fetched_under_the_guard(edge: Shell) -> None:
    before = count(edge.postgres)
    with psycopg.connect(edge.dsn, autocommit=True) as client:
        client.execute("BEGIN")
        client.execute("DECLARE c CURSOR FOR SELECT * FROM matrix.seeing")
        with pytest.raises(psycopg.Error):
            client.execute("FETCH ALL FROM c")
        client.execute("COMMIT")
    assert count(edge.postgres) == before


def test_g2_a_holding_cursor_runs_read_only_at_commit(edge: Shell) -> None:
    before = count(edge.postgres)
    with psycopg.connect(edge.dsn, autocommit=True) as client:
        client.execute("BEGIN")
        client.execute("DECLARE h CURSOR WITH HOLD FOR SELECT * FROM matrix.seeing")
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            client.execute("COMMIT")
    assert count(edge.postgres) == before


@pytest.mark.parametrize("savepoints", [("a",), ("a", "b"), ("a", "a"), ('"A b"',)], ids=",".join)
def test_g2_a_holding_cursor_runs_read_only_at_commit_under_savepoints_of_the_client(
    edge: Shell, savepoints: tuple[str, ...]
) -> None:
    before = count(edge.postgres)
    with psycopg.connect(edge.dsn, autocommit=True) as client:
        client.execute("BEGIN")
        for name in savepoints:
            client.execute(f"SAVEPOINT {name}".encode())
        client.execute("DECLARE h CURSOR WITH HOLD FOR SELECT * FROM matrix.seeing")
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            client.execute("COMMIT")
    assert count(edge.postgres) == before


def test_g3_a_deferred_trigger_of_a_temporary_table_runs_read_only_at_commit(edge: Shell) -> None:
    before = count(edge.postgres)
    with psycopg.connect(edge.dsn, autocommit=True) as client:
        for text in TEMPORARY:
            client.execute(text.encode())
        client.execute("BEGIN")
        client.execute("INSERT INTO matrix_own VALUES (1)")
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            client.execute("COMMIT")
    assert count(edge.postgres) == before


def test_g5_a_statement_that_sql_prepared_is_executed_under_the_guard(edge: Shell) -> None:
    before = count(edge.postgres)
    with psycopg.connect(edge.dsn, autocommit=True) as client:
        client.execute("BEGIN")
        client.execute(f"PREPARE matrix_later AS {ROW}".encode())
        with pytest.raises(psycopg.Error):
            client.execute("EXECUTE matrix_later")
        client.execute("COMMIT")
    assert count(edge.postgres) == before


def test_g6_a_setting_that_survives_the_guard_ends_the_session(edge: Shell) -> None:
    before = count(edge.postgres)
    with psycopg.connect(edge.dsn, autocommit=True) as client:
        with pytest.raises(psycopg.OperationalError):
            client.execute("SELECT set_config('default_transaction_read_only', 'off', false)")
            client.execute(ROW.encode())
        (*_, ended) = edge.wait_for(Terminate)
        assert isinstance(ended, Terminate)
    assert count(edge.postgres) == before


@pytest.mark.parametrize("text", [
    "SELECT pg_advisory_lock(78)", "NOTIFY matrix_a", "COPY shop.matrix TO PROGRAM 'cat > /dev/null'", "CHECKPOINT",
    f"BEGIN READ WRITE; {ROW}; ROLLBACK", "SELECT pg_read_file('PG_VERSION')",
])  # fmt: skip
def test_p1_p5_p6_what_the_classifier_alone_stands_against(edge: Shell, text: str) -> None:
    """Fooled, it passes; `test_witness_matrix_live` shows that the real one stops it."""
    with psycopg.connect(edge.dsn, autocommit=True) as client:
        client.execute(text.encode())
