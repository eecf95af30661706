"""Real clients at a real server, with the session core between them."""

from __future__ import annotations

import psycopg
import pytest

from edge_agent.protocols.postgres.events import Ending, Outcome
from tests.edge_agent.protocols.postgres.live import DENIED, Shell, shell
from tests.support.postgres import RealPostgres


def total(postgres: RealPostgres, order: int) -> str:
    return postgres.admin(f"SELECT total FROM shop.orders WHERE id = {order}").strip()


def endings(running: Shell) -> list[Ending]:
    return [effect.ending for effect in running.of(Outcome) if isinstance(effect, Outcome)]


def test_reads_pass_unasked(any_postgres: RealPostgres) -> None:
    with shell(any_postgres) as running, psycopg.connect(running.dsn, autocommit=True) as client:
        assert client.execute("SELECT count(*) FROM orders").fetchone() == (200,)
        assert client.execute("SELECT total FROM orders WHERE id = %s", [3]).fetchone() is not None
        assert running.effects == []
        assert running.records[0].text == b"SELECT count(*) FROM orders"


@pytest.mark.parametrize("parameters", [None, [11]], ids=["simple", "extended"])
def test_an_approved_update_changes_the_row(any_postgres: RealPostgres, parameters: list[int] | None) -> None:
    sql = "UPDATE orders SET total = 7 WHERE id = " + ("%s" if parameters else "10")
    with shell(any_postgres) as running, psycopg.connect(running.dsn, autocommit=True) as client:
        assert client.execute(sql, parameters).rowcount == 1
        assert total(any_postgres, 11 if parameters else 10) == "7.00"
        assert client.execute("SELECT 1").fetchone() == (1,)
        assert endings(running) == [Ending.COMMITTED]
        outcome = running.of(Outcome)[0]
        assert isinstance(outcome, Outcome)
        assert outcome.rows == 1 and outcome.xid.isdigit()


@pytest.mark.parametrize("parameters", [None, [12]], ids=["simple", "extended"])
def test_a_denied_update_changes_nothing_and_the_session_goes_on(
    any_postgres: RealPostgres, parameters: list[int] | None
) -> None:
    before = total(any_postgres, 12)
    sql = "UPDATE orders SET total = 99 WHERE id = " + ("%s" if parameters else "12")
    with shell(any_postgres, answer=lambda held: DENIED) as running:
        with psycopg.connect(running.dsn, autocommit=True) as client:
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="not today"):
                client.execute(sql, parameters)
            assert client.execute("SELECT 2").fetchone() == (2,)
            assert client.info.transaction_status.name == "IDLE"
            with client.transaction():
                client.execute("SELECT 1")
                with pytest.raises(psycopg.errors.InsufficientPrivilege), client.transaction():
                    client.execute(sql, parameters)
                assert client.execute("SELECT 3").fetchone() == (3,)
        assert total(any_postgres, 12) == before
        assert endings(running) == []
