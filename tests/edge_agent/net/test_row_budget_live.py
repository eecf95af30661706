"""Small writes pass under a budget of rows that policy gives; a big one can't be split. On a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from edge_agent.gate import World
from tests.edge_agent.net.edge_in_process import InProcessEdge, edge_in_process
from tests.support.callers import WaitingCaller
from tests.support.postgres import RealPostgres
from twokeys.policy import STARTER_TEXT, Policies

BUDGET = """
@id("small-writes") @rows("10") @minutes("60")
permit (principal, action == Action::"requestWrite", resource);
"""
DENIED = "the reviewer said no"


@pytest.fixture
def edge(tmp_path: Path, any_postgres: RealPostgres) -> Iterator[InProcessEdge]:
    """People deny whatever they are asked: what is applied was not asked."""
    any_postgres.admin("UPDATE shop.orders SET total = 5")
    with edge_in_process(tmp_path, any_postgres) as running:
        enter(running, STARTER_TEXT + BUDGET)
        running.control.verdict, running.control.reason = "denied", DENIED
        yield running


def enter(edge: InProcessEdge, text: str, revision: int = 2) -> None:
    """Put a policy in force."""
    keys = edge.gate._world.keys if edge.gate._world else {}
    edge.gate.enter(World("edge-1", revision, Policies(text, revision), keys))


def changed(edge: InProcessEdge) -> int:
    return int(edge.postgres.admin("SELECT count(*) FROM shop.orders WHERE total <> 5"))


UPDATE = "UPDATE orders SET total = total + 1 WHERE id BETWEEN %s AND %s"


@pytest.mark.parametrize("simple", [True, False])
@pytest.mark.parametrize("autocommit", [True, False])
def test_a_small_write_passes_and_a_bigger_one_is_asked_about(
    edge: InProcessEdge, simple: bool, autocommit: bool
) -> None:
    with psycopg.connect(edge.dsn, autocommit=autocommit) as caller:
        sql, values = (UPDATE % (1, 4), None) if simple else (UPDATE, (1, 4))
        assert caller.execute(sql, values).rowcount == 4
        if not autocommit:
            caller.commit()
        assert changed(edge) == 4 and edge.control.opened == []
        sql, values = (UPDATE % (11, 20), None) if simple else (UPDATE, (11, 20))
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match=DENIED):
            caller.execute(sql, values)
        caller.rollback()
        assert changed(edge) == 4 and len(edge.control.opened) == 1
        assert caller.execute("SELECT count(*) FROM orders WHERE total <> 5").fetchone() == (4,)


@pytest.mark.parametrize("simple", [True, False])
def test_an_approved_one_over_its_budget_runs_once(edge: InProcessEdge, simple: bool) -> None:
    edge.control.verdict = "approved"
    with psycopg.connect(edge.dsn, autocommit=True) as caller:
        sql, values = (UPDATE % (1, 20), None) if simple else (UPDATE, (1, 20))
        assert caller.execute(sql, values).rowcount == 20
        sql = "UPDATE orders SET total = 7 WHERE id < 13 RETURNING id"
        assert len(caller.execute(sql, None if simple else ()).fetchall()) == 12
    assert changed(edge) == 20
    assert int(edge.postgres.admin("SELECT max(total)::int FROM shop.orders")) == 7
    assert len(edge.control.opened) == 2


def test_rows_of_returning_come_for_a_small_write_and_not_at_all_for_one_that_was_undone(edge: InProcessEdge) -> None:
    with psycopg.connect(edge.dsn, autocommit=True) as caller:
        sql = "UPDATE orders SET total = 6 WHERE id <= %s RETURNING id, total"
        assert len(caller.execute(sql, (3,)).fetchall()) == 3
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match=DENIED):
            caller.execute(sql, (150,))
    assert changed(edge) == 3


def test_a7_a_big_write_can_not_be_split_over_statements_transactions_or_connections(edge: InProcessEdge) -> None:
    with psycopg.connect(edge.dsn) as caller:
        caller.execute(UPDATE, (1, 3))
        caller.execute(UPDATE, (4, 6))
        caller.commit()
    with psycopg.connect(edge.dsn) as other:
        other.execute(UPDATE, (7, 9))
        other.commit()
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match=DENIED):
            other.execute(UPDATE, (10, 11))
        other.rollback()
        other.execute(UPDATE, (10, 10))
        other.commit()
    with (
        psycopg.connect(edge.dsn, autocommit=True) as third,
        pytest.raises(psycopg.errors.InsufficientPrivilege, match=DENIED),
    ):
        third.execute(UPDATE, (11, 11))
    assert changed(edge) == 10


def test_a7_statements_at_once_do_not_share_what_is_left(edge: InProcessEdge) -> None:
    callers = [WaitingCaller(edge.dsn, UPDATE, (at * 6 + 1, at * 6 + 6)) for at in range(6)]
    passed = [one for one in (caller.done() for caller in callers) if one.error is None]
    assert len(passed) <= 1
    assert changed(edge) == 6 * len(passed)


def test_a7_a_pipeline_is_counted_statement_by_statement(edge: InProcessEdge) -> None:
    with psycopg.connect(edge.dsn, autocommit=True) as caller:
        with pytest.raises(psycopg.Error, match=DENIED), caller.pipeline():
            caller.execute(UPDATE, (1, 5))
            caller.execute(UPDATE, (6, 9))
            caller.execute(UPDATE, (10, 30))
        assert changed(edge) in (0, 9)


@pytest.mark.parametrize(
    "sql",
    [
        "WITH gone AS (DELETE FROM order_lines RETURNING 1) UPDATE orders SET total = 6 WHERE id = 1",
        "WITH more AS (UPDATE orders SET total = 6 WHERE id > 1 RETURNING 1) SELECT count(*) FROM more",
        "INSERT INTO order_lines SELECT id + 1000 FROM orders",
        "TRUNCATE orders CASCADE",
        "UPDATE orders SET total = 6 WHERE id = 1; UPDATE orders SET total = 6 WHERE id = 2",
        "DO $$ BEGIN UPDATE shop.orders SET total = 6; END $$",
        "CREATE TABLE shop.copied AS SELECT * FROM orders",
    ],
)
def test_a7_what_changes_more_than_its_tag_says_or_is_not_counted_is_asked_about(edge: InProcessEdge, sql: str) -> None:
    tables = {"order_lines": "CREATE TABLE IF NOT EXISTS shop.order_lines AS SELECT id FROM shop.orders"}
    edge.postgres.admin(tables["order_lines"])
    edge.postgres.admin("GRANT ALL ON shop.order_lines TO PUBLIC")
    try:
        with psycopg.connect(edge.dsn, autocommit=True) as caller, pytest.raises(psycopg.Error, match=DENIED):
            caller.execute(sql)
        assert changed(edge) == 0 and len(edge.control.opened) == 1
        assert int(edge.postgres.admin("SELECT count(*) FROM shop.order_lines")) == 200
    finally:
        edge.postgres.admin("DROP TABLE shop.order_lines")


def test_a7_rows_of_triggers_count(edge: InProcessEdge) -> None:
    edge.postgres.admin(
        "CREATE TABLE shop.trail (id int); GRANT ALL ON shop.trail TO PUBLIC;"
        "CREATE FUNCTION shop.note_change() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN INSERT INTO shop.trail SELECT generate_series(1, 50); RETURN NULL; END $$;"
        "CREATE TRIGGER tell AFTER UPDATE ON shop.orders FOR EACH STATEMENT EXECUTE FUNCTION shop.note_change();"
    )
    try:
        with (
            psycopg.connect(edge.dsn, autocommit=True) as caller,
            pytest.raises(psycopg.errors.InsufficientPrivilege, match=DENIED),
        ):
            caller.execute(UPDATE, (1, 1))
        assert changed(edge) == 0
    finally:
        edge.postgres.admin("DROP TRIGGER tell ON shop.orders; DROP FUNCTION shop.note_change(); DROP TABLE shop.trail")


def test_g3_rows_of_triggers_that_wait_for_the_commit_count(edge: InProcessEdge) -> None:
    edge.postgres.admin(
        "CREATE TABLE shop.trail (id int); GRANT ALL ON shop.trail TO PUBLIC;"
        "CREATE FUNCTION shop.note_change() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN INSERT INTO shop.trail SELECT generate_series(1, 4); RETURN NULL; END $$;"
        "CREATE CONSTRAINT TRIGGER tell AFTER UPDATE ON shop.orders DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION shop.note_change();"
    )
    try:
        for autocommit in (True, False):
            with psycopg.connect(edge.dsn, autocommit=autocommit) as caller:
                with pytest.raises(psycopg.errors.InsufficientPrivilege, match=DENIED):
                    caller.execute(UPDATE, (1, 3))
                caller.rollback()
        with psycopg.connect(edge.dsn) as caller:
            caller.execute(UPDATE, (1, 1))
            caller.commit()
        assert changed(edge) == 1
        assert int(edge.postgres.admin("SELECT count(*) FROM shop.trail")) == 4
    finally:
        edge.postgres.admin("DROP TRIGGER tell ON shop.orders; DROP FUNCTION shop.note_change(); DROP TABLE shop.trail")


def test_what_the_caller_rolled_back_is_given_back(edge: InProcessEdge) -> None:
    with psycopg.connect(edge.dsn) as caller:
        for _ in range(3):
            caller.execute(UPDATE, (1, 10))
            caller.rollback()
        caller.execute(UPDATE, (1, 10))
        caller.commit()
    assert changed(edge) == 10 and edge.control.opened == []


def test_an_error_of_a_tried_write_is_its_answer(edge: InProcessEdge) -> None:
    with psycopg.connect(edge.dsn, autocommit=True) as caller:
        with pytest.raises(psycopg.errors.DivisionByZero):
            caller.execute("UPDATE orders SET total = 1 / (id - id) WHERE id = 1")
        assert caller.execute(UPDATE, (1, 10)).rowcount == 10
    assert edge.control.opened == []


def test_a_forbid_on_writes_leaves_them_to_people(edge: InProcessEdge) -> None:
    enter(edge, STARTER_TEXT + BUDGET + '@id("never") forbid (principal, action == Action::"write", resource);', 3)
    with psycopg.connect(edge.dsn, autocommit=True) as caller, pytest.raises(psycopg.Error, match=DENIED):
        caller.execute(UPDATE, (1, 1))
    assert changed(edge) == 0
