"""Writes and their outcomes in and out of transactions, at a real server."""

from __future__ import annotations

import psycopg
import pytest

from edge_agent.protocols.postgres.events import Allowed, Ending, Held, Outcome
from tests.edge_agent.protocols.postgres.doors import SENSITIVE
from tests.edge_agent.protocols.postgres.live import shell
from tests.edge_agent.protocols.postgres.test_session_live import endings, total
from tests.support.postgres import RealPostgres


@pytest.mark.parametrize("parameters", [None, [13]], ids=["simple", "extended"])
def test_an_error_at_commit_is_the_statements_error(any_postgres: RealPostgres, parameters: list[int] | None) -> None:
    sql = "UPDATE orders SET customer_id = 99999 WHERE id = " + ("%s" if parameters else "13")
    with shell(any_postgres) as running, psycopg.connect(running.dsn, autocommit=True) as client:
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            client.execute(sql, parameters)
        assert client.info.transaction_status.name == "IDLE"
        assert client.execute("SELECT 1").fetchone() == (1,)
        (outcome,) = running.of(Outcome)
        assert isinstance(outcome, Outcome)
        assert (outcome.ending, outcome.sqlstate) == (Ending.FAILED, "23503")
        client.execute("BEGIN")
        client.execute(sql, parameters)
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            client.execute("COMMIT")
        assert endings(running) == [Ending.FAILED, Ending.FAILED]


def test_a_statements_own_error_is_told(any_postgres: RealPostgres) -> None:
    with shell(any_postgres) as running, psycopg.connect(running.dsn, autocommit=True) as client:
        for parameters in (None, [14]):
            with pytest.raises(psycopg.errors.CheckViolation):
                client.execute("UPDATE orders SET total = -1 WHERE id = " + ("%s" if parameters else "14"), parameters)
            assert client.info.transaction_status.name == "IDLE"
        assert [effect.sqlstate for effect in running.of(Outcome) if isinstance(effect, Outcome)] == ["23514"] * 2


def test_two_reads_a_write_and_a_rollback_leave_nothing(any_postgres: RealPostgres) -> None:
    before = total(any_postgres, 15)
    with shell(any_postgres) as running, psycopg.connect(running.dsn) as client:
        assert client.execute("SELECT total FROM orders WHERE id = 15").fetchone() is not None
        client.execute("UPDATE orders SET total = 1 WHERE id = %s", [15])
        assert str((client.execute("SELECT total FROM orders WHERE id = 15").fetchone() or [0])[0]) == "1.00"
        client.rollback()
        assert total(any_postgres, 15) == before
        assert endings(running) == [Ending.ROLLED_BACK]
        (held,) = running.of(Held)
        assert isinstance(held, Held) and held.in_transaction


def test_rolling_back_to_a_savepoint_ends_the_writes_after_it(any_postgres: RealPostgres) -> None:
    with shell(any_postgres) as running, psycopg.connect(running.dsn, autocommit=True) as client:
        client.execute("BEGIN")
        client.execute("UPDATE orders SET total = 41 WHERE id = 16")
        client.execute("SAVEPOINT a")
        client.execute("UPDATE orders SET total = 42 WHERE id = 17")
        with pytest.raises(psycopg.errors.DivisionByZero):
            client.execute("SELECT 1/0")
        client.execute("ROLLBACK TO a")
        client.execute("UPDATE orders SET total = 43 WHERE id = 18")
        client.execute("RELEASE a")
        client.execute("COMMIT")
        assert endings(running) == [Ending.ROLLED_BACK, Ending.COMMITTED, Ending.COMMITTED]
    assert [total(any_postgres, order) for order in (16, 18)] == ["41.00", "43.00"]
    assert total(any_postgres, 17) != "42.00"


def test_a_failed_transaction_ends_in_rollback(any_postgres: RealPostgres) -> None:
    with shell(any_postgres) as running, psycopg.connect(running.dsn, autocommit=True) as client:
        client.execute("BEGIN")
        client.execute("UPDATE orders SET total = 44 WHERE id = 19")
        with pytest.raises(psycopg.errors.DivisionByZero):
            client.execute("SELECT 1/0")
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            client.execute("UPDATE orders SET total = 45 WHERE id = 19")
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            client.execute("SELECT %s::int", [1])
        assert client.execute("COMMIT").statusmessage == "ROLLBACK"
        assert endings(running) == [Ending.ROLLED_BACK]
        assert len(running.of(Held)) == 1


def test_a_write_in_a_read_only_transaction_is_refused_unasked(any_postgres: RealPostgres) -> None:
    with shell(any_postgres) as running, psycopg.connect(running.dsn, autocommit=True) as client:
        for begin in (["BEGIN READ ONLY"], ["BEGIN", "SET TRANSACTION READ ONLY"]):
            for text in begin:
                client.execute(text)
            assert client.execute("SELECT 1").fetchone() == (1,)
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                client.execute("UPDATE orders SET total = 1 WHERE id = 1")
            client.execute("ROLLBACK")
        assert running.of(Held) == []


def test_isolation_levels_are_kept(any_postgres: RealPostgres) -> None:
    with shell(any_postgres) as running, psycopg.connect(running.dsn) as client:
        client.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
        assert client.execute("SHOW transaction_isolation").fetchone() == ("serializable",)
        assert client.execute("UPDATE orders SET total = total WHERE id = 1").rowcount == 1
        client.commit()
        client.isolation_level = None
        client.autocommit = True
        client.execute("BEGIN")
        client.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        assert client.execute("SHOW transaction_isolation").fetchone() == ("repeatable read",)
        client.execute("COMMIT")


def test_returning_streams_rows(any_postgres: RealPostgres) -> None:
    with shell(any_postgres) as running, psycopg.connect(running.dsn, autocommit=True) as client:
        for parameters in (None, [30]):
            sql = "UPDATE orders SET total = total WHERE id <= " + ("%s" if parameters else "30") + " RETURNING id"
            assert len(client.execute(sql, parameters).fetchall()) == 30
        assert running.of(Outcome) and endings(running) == [Ending.COMMITTED] * 2


def test_sensitive_reads_wait_for_their_record(any_postgres: RealPostgres) -> None:
    with shell(any_postgres, policies=SENSITIVE) as running, psycopg.connect(running.dsn, autocommit=True) as client:
        assert client.execute("SELECT count(*) FROM orders").fetchone() == (200,)
        assert client.execute("SELECT %s::int", [4]).fetchone() == (4,)
        assert len(running.of(Allowed)) == 2
