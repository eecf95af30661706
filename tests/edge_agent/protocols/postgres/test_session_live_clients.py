"""psql, pgbench and the features of psycopg, through the session core."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path

import psycopg
import pytest

from edge_agent.protocols.postgres.events import Allowed, Ending, Held, Outcome, Terminate, Withdrawn
from tests.edge_agent.protocols.postgres.doors import ALLOW_ALL
from tests.edge_agent.protocols.postgres.live import shell
from tests.edge_agent.protocols.postgres.test_session_live import endings, total
from tests.support.callers import break_line
from tests.support.postgres import RealPostgres


def test_prepared_statements_survive_holds(any_postgres: RealPostgres) -> None:
    with shell(any_postgres) as running, psycopg.connect(running.dsn, autocommit=True) as client:
        for value in range(3):
            assert client.execute("SELECT %s::int", [value], prepare=True).fetchone() == (value,)
            client.execute("UPDATE orders SET total = %s WHERE id = 20", [value], prepare=True)
        with client.transaction():
            for value in range(3):
                assert client.execute("SELECT %s::int", [value], prepare=True).fetchone() == (value,)
                client.execute("UPDATE orders SET total = %s WHERE id = 20", [value + 5], prepare=True)
        assert endings(running) == [Ending.COMMITTED] * 6
        held = [effect for effect in running.of(Held) if isinstance(effect, Held)]
        assert {len(effect.types or effect.command.parameter_types) for effect in held} == {1}
    assert total(any_postgres, 20) == "7.00"


def test_server_cursors_and_copy_out(any_postgres: RealPostgres) -> None:
    with shell(any_postgres) as running, psycopg.connect(running.dsn) as client:
        with client.cursor("big") as big:
            big.itersize = 50
            big.execute("SELECT id FROM orders ORDER BY id")
            assert len(big.fetchall()) == 200
        with client.cursor() as cursor, cursor.copy("COPY orders TO STDOUT") as copy:
            assert sum(bytes(chunk).count(b"\n") for chunk in copy) == 200
        client.commit()
        assert running.of(Held) == []


def test_pipelines(any_postgres: RealPostgres) -> None:
    with shell(any_postgres) as running, psycopg.connect(running.dsn, autocommit=True) as client:
        with client.pipeline():
            first = client.execute("SELECT %s::int", [1])
            client.execute("UPDATE orders SET total = 51 WHERE id = %s", [21])
            between = client.execute("SELECT total::text FROM orders WHERE id = %s", [21])
            client.execute("UPDATE orders SET total = 52 WHERE id = %s", [22])
            last = client.execute("SELECT %s::int", [3])
        assert (first.fetchone(), between.fetchone(), last.fetchone()) == ((1,), ("51.00",), (3,))
        assert endings(running) == [Ending.COMMITTED] * 2
        with pytest.raises(psycopg.errors.DivisionByZero), client.pipeline():
            client.execute("UPDATE orders SET total = 53 WHERE id = %s", [21])
            client.execute("SELECT 1/%s::int", [0])
        assert endings(running)[2:] == [Ending.ROLLED_BACK]
        assert client.execute("SELECT 9").fetchone() == (9,)
    assert total(any_postgres, 21) == "51.00"
    with shell(any_postgres) as running, psycopg.connect(running.dsn) as client:
        with client.pipeline():
            client.execute("SELECT %s::int", [1])
            client.execute("UPDATE orders SET total = 54 WHERE id = %s", [21])
            client.commit()
            client.execute("SELECT %s::int", [2])
        client.commit()
        assert endings(running) == [Ending.COMMITTED]
    assert total(any_postgres, 21) == "54.00"


def test_locking_reads_are_held_and_run(any_postgres: RealPostgres) -> None:
    with shell(any_postgres) as running, psycopg.connect(running.dsn) as client:
        assert client.execute("SELECT id FROM orders WHERE id = %s FOR UPDATE", [3]).fetchone() == (3,)
        client.commit()
        client.autocommit = True
        assert client.execute("SELECT id FROM orders WHERE id = %s FOR UPDATE", [3]).fetchone() == (3,)
        assert endings(running) == [Ending.COMMITTED] * 2


def test_discard_all_and_deallocate_leave_the_session_whole(any_postgres: RealPostgres) -> None:
    with shell(any_postgres) as running, psycopg.connect(running.dsn, autocommit=True) as client:
        for reset in ("DISCARD ALL", "DEALLOCATE ALL", "RESET ALL"):
            client.execute("UPDATE orders SET total = total WHERE id = 1")
            client.execute(reset)
            assert client.execute("SHOW default_transaction_read_only").fetchone() == ("on",)
            with client.transaction():
                client.execute("SELECT 1")
                client.execute("UPDATE orders SET total = total WHERE id = 1")
                if reset != "DISCARD ALL":
                    client.execute(reset)
                client.execute("SELECT 2")
        assert endings(running) == [Ending.COMMITTED] * 6


@pytest.mark.parametrize("parameters", [None, [1]], ids=["simple", "extended"])
@pytest.mark.parametrize("in_transaction", [False, True])
def test_a_cancel_withdraws_what_is_held(
    any_postgres: RealPostgres, parameters: list[int] | None, in_transaction: bool
) -> None:
    with shell(any_postgres, waits=True) as running, psycopg.connect(running.dsn, autocommit=True) as client:
        if in_transaction:
            client.execute("BEGIN")

        def cancel() -> None:
            running.wait_for(Held)
            client.cancel_safe()

        helper = threading.Thread(target=cancel)
        helper.start()
        with pytest.raises(psycopg.errors.QueryCanceled):
            client.execute("DELETE FROM orders WHERE id = " + ("%s" if parameters else "1"), parameters)
        helper.join()
        assert client.info.transaction_status.name == ("INERROR" if in_transaction else "IDLE")
        client.execute("ROLLBACK")
        assert client.execute("SELECT 1").fetchone() == (1,)
        assert running.of(Outcome) == [] and len(running.of(Withdrawn)) == 1


def test_a_cancel_of_a_running_read_reaches_the_server(any_postgres: RealPostgres) -> None:
    with shell(any_postgres) as running, psycopg.connect(running.dsn, autocommit=True) as client:
        timer = threading.Timer(0.3, client.cancel_safe)
        timer.start()
        with pytest.raises(psycopg.errors.QueryCanceled):
            client.execute("SELECT pg_sleep(30)")
        timer.join()
        assert client.execute("SELECT 1").fetchone() == (1,)


def test_a_hang_up_withdraws_what_is_held(any_postgres: RealPostgres) -> None:
    with shell(any_postgres, waits=True) as running:
        client = psycopg.connect(running.dsn, autocommit=True)

        def ask() -> None:
            with pytest.raises(psycopg.Error):
                client.execute("DELETE FROM orders")

        asking = threading.Thread(target=ask)
        asking.start()
        running.wait_for(Held)
        break_line(client)
        running.wait_for(Withdrawn)
        running.wait_for(Terminate)
        asking.join()
        assert running.of(Outcome) == []


def test_an_allowed_write_is_told_before_it_runs(any_postgres: RealPostgres) -> None:
    with shell(any_postgres, policies=ALLOW_ALL) as running:
        with psycopg.connect(running.dsn, autocommit=True) as client:
            client.execute("UPDATE orders SET total = 61 WHERE id = %s", [23])
        assert len(running.of(Allowed)) == 1 and endings(running) == [Ending.COMMITTED]
    assert total(any_postgres, 23) == "61.00"


def run(*command: str, text: str = "") -> str:
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_psql_scripts(any_postgres: RealPostgres) -> None:
    psql = str(any_postgres.server.binaries.program("psql"))
    with shell(any_postgres) as running:
        script = r"""
\set ON_ERROR_STOP on
SELECT 1;
\d orders
BEGIN; UPDATE orders SET total = 71 WHERE id = 24; SELECT total FROM orders WHERE id = 24; COMMIT;
INSERT INTO orders (id, customer_id, total) VALUES (9001, 1, 5) RETURNING total;
DELETE FROM orders WHERE id = 9001;
\copy orders to /dev/null
SELECT 1 \; SELECT 2;
"""
        out = run(psql, "-X", "-At", running.dsn, text=script)
        assert "71.00" in out and "5.00" in out
        assert endings(running) == [Ending.COMMITTED] * 3
        out = run(psql, "-X", "-At", "--single-transaction", "-c", "SELECT 1", "-c", "SELECT 2", running.dsn)
        assert out.split() == ["BEGIN", "1", "2", "COMMIT"] or out.split() == ["1", "2"]


@pytest.mark.parametrize("mode", ["simple", "extended", "prepared"])
def test_pgbench(any_postgres: RealPostgres, mode: str, tmp_path: Path) -> None:
    pgbench = str(any_postgres.server.binaries.program("pgbench"))
    script = (
        b"\\set a random(1, 200)\nSELECT total FROM orders WHERE id = :a;\nBEGIN;\n"
        b"SELECT total FROM orders WHERE id = :a;\nUPDATE orders SET total = total WHERE id = :a;\nEND;\n"
    )
    with shell(any_postgres) as running:
        file = tmp_path / "script.sql"
        file.write_bytes(script)
        out = run(pgbench, "-n", "-M", mode, "-c", "2", "-t", "10", "-f", str(file), running.dsn)
        assert "20/20" in out
        assert endings(running) == [Ending.COMMITTED] * 20
