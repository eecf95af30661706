"""The second witness: what the server stops under the guard, and what would undo it."""

from __future__ import annotations

import psycopg
import pytest

from edge_agent.protocols.postgres.events import Allowed, Deny, Ending, Held, Rewound, Terminate
from tests.edge_agent.protocols.postgres.doors import READS_ONLY, SENSITIVE
from tests.edge_agent.protocols.postgres.live import DENIED, shell
from tests.edge_agent.protocols.postgres.test_session_live import endings
from tests.support.postgres import RealPostgres
from twokeys_cli.postgres import SUPERUSER


def rows(postgres: RealPostgres) -> str:
    return postgres.admin("SELECT count(*) FROM shop.trapped").strip()


@pytest.mark.parametrize("prepare", [None, True], ids=["simple", "prepared"])
def test_a_view_that_writes_is_stopped_inside_and_outside_of_transactions(
    trapped: RealPostgres, prepare: bool | None
) -> None:
    parameters = [1] if prepare else None
    sql = "SELECT * FROM trap WHERE n = %s" if prepare else "SELECT * FROM trap"
    stopped = psycopg.errors.InsufficientPrivilege

    def answer(held: Held) -> Deny | None:
        return DENIED if b"trap" in held.command.text else None

    with shell(trapped, answer=answer) as running, psycopg.connect(running.dsn, autocommit=True) as client:
        with pytest.raises(stopped):
            client.execute(sql, parameters, prepare=prepare)
        with pytest.raises(stopped), client.transaction():
            client.execute("SELECT 1")
            client.execute(sql, parameters, prepare=prepare)
        with client.transaction():
            with pytest.raises(stopped), client.transaction():
                client.execute(sql, parameters, prepare=prepare)
            assert client.execute("UPDATE orders SET total = total WHERE id = 1").rowcount == 1
    assert rows(trapped) == "0"
    assert endings(running) == [Ending.COMMITTED]
    assert len(running.of(Rewound)) == 1
    assert len(running.of(Held)) == 4


def test_g1_a_cursor_declared_under_the_guard_is_fetched_under_it(trapped: RealPostgres) -> None:
    with shell(trapped) as running, psycopg.connect(running.dsn, autocommit=True) as client:
        client.execute("BEGIN")
        client.execute("DECLARE c CURSOR FOR SELECT * FROM trap")
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            client.execute("FETCH ALL FROM c")
        client.execute("ROLLBACK")
    assert rows(trapped) == "0"


@pytest.mark.parametrize("savepoints", [(), ("a",), ("a", "a")])
@pytest.mark.parametrize("prepare", [False, True])
@pytest.mark.parametrize("written", [False, True])
def test_g2_a_holding_cursor_cannot_write_at_commit(
    trapped: RealPostgres, written: bool, prepare: bool, savepoints: tuple[str, ...]
) -> None:
    with shell(trapped) as running, psycopg.connect(running.dsn, autocommit=True) as client:
        client.execute("BEGIN", prepare=prepare)
        if written:
            client.execute("UPDATE orders SET total = total + 1 WHERE id = 1")
        for name in savepoints:
            client.execute(f"SAVEPOINT {name}".encode())
        client.execute("DECLARE c CURSOR WITH HOLD FOR SELECT * FROM trap", prepare=prepare)
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            client.execute("COMMIT", prepare=prepare)
        assert client.info.transaction_status.name == "IDLE"
        assert client.execute("SELECT 1").fetchall() == [(1,)]
    assert rows(trapped) == "0"
    assert len(running.of(Held)) == written


ASKING = SENSITIVE + '@id("ask") permit(principal, action == Action::"requestWrite", resource);'


@pytest.mark.parametrize("prepare", [False, True])
def test_g2_a_holding_cursor_that_waited_cannot_write_at_commit(trapped: RealPostgres, prepare: bool) -> None:
    with (
        shell(trapped, policies=ASKING) as running,
        psycopg.connect(running.dsn, autocommit=True) as client,
    ):
        client.execute("BEGIN")
        client.execute("UPDATE orders SET total = total + 1 WHERE id = 1")
        client.execute("DECLARE c CURSOR WITH HOLD FOR SELECT * FROM trap", prepare=prepare)
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            client.execute("COMMIT")
    assert rows(trapped) == "0"
    assert len(running.of(Held)) == 1 and running.of(Allowed)


@pytest.mark.parametrize("prepare", [False, True])
def test_a_holding_cursor_is_read_after_a_commit_with_writes(trapped: RealPostgres, prepare: bool) -> None:
    before = trapped.admin("SELECT total FROM orders WHERE id = 1")
    with shell(trapped) as running, psycopg.connect(running.dsn, autocommit=True) as client:
        client.execute("BEGIN")
        client.execute("DECLARE c CURSOR WITH HOLD FOR SELECT id FROM orders ORDER BY id")
        client.execute("UPDATE orders SET total = total + 1 WHERE id = 1", prepare=prepare)
        assert client.execute("COMMIT", prepare=prepare).statusmessage == "COMMIT"
        assert client.execute("FETCH 2 FROM c").fetchall() == [(1,), (2,)]
        client.execute("CLOSE c")
    assert float(trapped.admin("SELECT total FROM orders WHERE id = 1")) == float(before) + 1
    assert len(running.of(Held)) == 1


@pytest.mark.parametrize("prepare", [False, True])
def test_what_is_deferred_fails_a_commit_with_a_holding_cursor(trapped: RealPostgres, prepare: bool) -> None:
    trapped.admin(
        "DROP TABLE IF EXISTS late; CREATE TABLE late (n int UNIQUE DEFERRABLE INITIALLY DEFERRED); "
        "GRANT ALL ON late TO PUBLIC"
    )
    with shell(trapped) as running, psycopg.connect(running.dsn, autocommit=True) as client:
        client.execute("BEGIN")
        client.execute("DECLARE c CURSOR WITH HOLD FOR SELECT 1")
        client.execute("INSERT INTO late VALUES (1), (1)")
        with pytest.raises(psycopg.errors.UniqueViolation):
            client.execute("COMMIT", prepare=prepare)
        assert client.info.transaction_status.name == "IDLE"
        client.execute("BEGIN")
        client.execute("DECLARE c CURSOR WITH HOLD FOR SELECT 1")
        client.execute("INSERT INTO late VALUES (1)")
        assert client.execute("COMMIT", prepare=prepare).statusmessage == "COMMIT"
    assert trapped.admin("SELECT count(*) FROM late").strip() == "1"
    trapped.admin("DROP TABLE late")


@pytest.mark.parametrize("waits", [False, True])
def test_g2_a_holding_cursor_cannot_follow_a_write_in_a_pipeline(trapped: RealPostgres, waits: bool) -> None:
    options = {"policies": ASKING} if waits else {}
    with shell(trapped, **options) as running, psycopg.connect(running.dsn, autocommit=True) as client:
        with pytest.raises(psycopg.errors.FeatureNotSupported), client.pipeline():
            client.execute("UPDATE orders SET total = total + 1 WHERE id = 1")
            client.execute("DECLARE c CURSOR WITH HOLD FOR SELECT * FROM trap")
        assert client.execute("SELECT 1").fetchall() == [(1,)]
    assert rows(trapped) == "0"


def test_p7_a_session_whose_default_was_undone_is_ended(trapped: RealPostgres) -> None:
    with shell(trapped) as running, psycopg.connect(running.dsn, autocommit=True) as client:
        with pytest.raises(psycopg.OperationalError, match="may write"):
            client.execute("SELECT * FROM unlocking")
            client.execute("SELECT * FROM trap")
        (ended,) = running.wait_for(Terminate)
        assert isinstance(ended, Terminate) and ended.alarm
    assert rows(trapped) == "0"


def test_p7_a_pipeline_does_not_outrun_the_alarm(trapped: RealPostgres) -> None:
    with (
        shell(trapped) as running,
        psycopg.connect(running.dsn, autocommit=True) as client,
        pytest.raises(psycopg.OperationalError),
        client.pipeline() as pipeline,
    ):
        client.execute("SELECT * FROM unlocking")
        pipeline.sync()
        client.execute("SELECT * FROM trap")
        pipeline.sync()
    assert rows(trapped) == "0"


@pytest.mark.parametrize("text", [
    "BEGIN; DELETE FROM orders; COMMIT", "COMMIT; UPDATE orders SET total = 0", "COMMIT AND CHAIN",
    "ROLLBACK AND CHAIN", "SELECT 1; COMMIT AND CHAIN", "SELECT 1; PREPARE TRANSACTION 'a'",
    "PREPARE TRANSACTION 'a'", "SET TRANSACTION READ WRITE", "COPY orders FROM STDIN; SELECT 1", "SAVEPOINT _tk_mine",
    "RELEASE SAVEPOINT _tk0",
])  # fmt: skip
def test_p1_g4_what_cannot_be_tracked_is_refused_with_advice(any_postgres: RealPostgres, text: str) -> None:
    with shell(any_postgres) as running, psycopg.connect(running.dsn, autocommit=True) as client:
        with pytest.raises(psycopg.Error) as caught:
            client.execute(text)
        assert caught.value.sqlstate in ("0A000", "25006", "42939")
        assert client.execute("SELECT 5").fetchone() == (5,)
        client.execute("BEGIN")
        if text != "SET TRANSACTION READ WRITE":
            with pytest.raises(psycopg.Error):
                client.execute(text)
            assert client.info.transaction_status.name == "INERROR"
        client.execute("ROLLBACK")
        assert client.execute("SELECT 6").fetchone() == (6,)
        assert running.of(Held) == []


def superuser(postgres: RealPostgres) -> tuple[str, str]:
    return SUPERUSER, postgres.server.superuser_password


def test_what_cannot_run_in_a_transaction_is_bracketed(trapped: RealPostgres) -> None:
    with shell(trapped, user=superuser(trapped)) as running, psycopg.connect(running.dsn, autocommit=True) as client:
        client.execute("VACUUM orders")
        client.execute("CREATE INDEX CONCURRENTLY aside ON orders (total)")
        client.execute("DROP INDEX CONCURRENTLY aside", prepare=True)
        client.execute("CALL committing()")
        with pytest.raises(psycopg.errors.UndefinedTable):
            client.execute("VACUUM nothing")
        with pytest.raises(psycopg.errors.UndefinedTable):
            client.execute("VACUUM nothing", prepare=True)
        assert client.execute("SHOW default_transaction_read_only").fetchone() == ("on",)
        client.execute("BEGIN READ ONLY")
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            client.execute("SELECT * FROM trap")
        client.execute("ROLLBACK")
        assert endings(running) == [Ending.COMMITTED] * 4 + [Ending.FAILED] * 2
        assert running.of(Terminate) == []
    assert rows(trapped) == "2"


def test_an_approved_statement_that_undoes_the_default_ends_the_session(trapped: RealPostgres) -> None:
    with shell(trapped) as running, psycopg.connect(running.dsn, autocommit=True) as client:
        with pytest.raises(psycopg.OperationalError):
            client.execute("SET default_transaction_read_only = off")
            client.execute("SELECT * FROM trap")
        (ended,) = running.wait_for(Terminate)
        assert isinstance(ended, Terminate) and ended.alarm
    assert rows(trapped) == "0"


def test_what_policy_denies_is_told_and_never_lifted(trapped: RealPostgres) -> None:
    with shell(trapped, policies=READS_ONLY, may_write=False) as running:
        with psycopg.connect(running.dsn, autocommit=True) as client:
            for parameters in (None, [1]):
                with pytest.raises(psycopg.errors.InsufficientPrivilege, match="denied by policy"):
                    client.execute("DELETE FROM orders WHERE id = " + ("%s" if parameters else "1"), parameters)
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                client.execute("BEGIN READ WRITE")
            client.execute("BEGIN")
            assert client.execute("SHOW transaction_read_only").fetchone() == ("on",)
            client.execute("SELECT 1")
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                client.execute("SELECT * FROM trap")
            client.execute("ROLLBACK")
        assert running.of(Held, Allowed) == []
