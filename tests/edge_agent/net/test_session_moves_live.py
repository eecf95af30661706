"""What an approved Command leaves behind in its session: it makes nothing else pass."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.edge_agent.net.edge_in_process import InProcessEdge, edge_in_process
from tests.edge_agent.net.test_attacks_live import (
    SYNC,
    RawCaller,
    bind,
    execute,
    parse,
    reset,
    rows,
    states,
    value,
)
from tests.support.postgres import RealPostgres

LATE = """
CREATE OR REPLACE FUNCTION shop.late_write() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
  $$ BEGIN UPDATE shop.orders SET total = 2 WHERE id = 190; RETURN NULL; END $$;
GRANT TEMPORARY ON DATABASE sample TO PUBLIC;
CREATE SCHEMA IF NOT EXISTS evil; GRANT USAGE ON SCHEMA evil TO PUBLIC;
CREATE TABLE IF NOT EXISTS evil.orders AS SELECT 190 AS id, 1 AS total; GRANT ALL ON evil.orders TO PUBLIC;
CREATE OR REPLACE FUNCTION shop.mover() RETURNS text LANGUAGE sql AS
  $$ SELECT set_config('search_path', 'evil, shop', false) $$;
CREATE OR REPLACE VIEW shop.moving AS SELECT shop.mover() AS m; GRANT SELECT ON shop.moving TO PUBLIC;
"""
TEMPORARY = [
    "CREATE TEMP TABLE scratch (a int)",
    "CREATE CONSTRAINT TRIGGER late AFTER INSERT OR UPDATE OR DELETE ON scratch DEFERRABLE INITIALLY DEFERRED "
    "FOR EACH ROW EXECUTE FUNCTION shop.late_write()",
]


@pytest.fixture
def edge(tmp_path: Path, any_postgres: RealPostgres) -> Iterator[InProcessEdge]:
    any_postgres.admin(LATE)
    try:
        # The catalogue would find out before these guards have to.
        with edge_in_process(tmp_path, any_postgres, catalogue_seconds=0) as running:
            reset(running, 190)
            yield running
    finally:
        any_postgres.admin("REVOKE TEMPORARY ON DATABASE sample FROM PUBLIC; DROP SCHEMA evil CASCADE")


@pytest.mark.parametrize("in_transaction", [False, True])
@pytest.mark.parametrize(
    "text",
    [
        "INSERT INTO scratch VALUES (1)",
        "WITH w AS (INSERT INTO scratch VALUES (1) RETURNING a) SELECT * FROM w",
        "COPY (INSERT INTO scratch VALUES (1) RETURNING a) TO STDOUT",
        "EXPLAIN ANALYZE INSERT INTO scratch VALUES (1)",
        "INSERT INTO pg_temp.scratch VALUES (1)",
        "MERGE INTO scratch s USING (SELECT 1 AS b) x ON s.a = x.b WHEN NOT MATCHED THEN INSERT VALUES (1)",
        "SET CONSTRAINTS ALL IMMEDIATE",
    ],
)
def test_g3_a_temporary_table_is_no_way_to_a_deferred_trigger(
    edge: InProcessEdge, text: str, in_transaction: bool
) -> None:
    with psycopg.connect(edge.dsn, autocommit=not in_transaction) as caller:
        for statement in TEMPORARY:
            caller.execute(statement)
        caller.commit()
        asked = len(edge.control.opened)
        edge.control.verdict = "denied"
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="denied"):
            caller.execute(text)
        caller.rollback()
        caller.execute("SELECT 1")
        caller.commit()
    assert (len(edge.control.opened) - asked, value(edge, 190)) == (1, 1)


def test_g3_a_trigger_that_is_due_at_commit_runs_for_what_was_approved_alone(edge: InProcessEdge) -> None:
    with psycopg.connect(edge.dsn) as caller:
        for statement in TEMPORARY:
            caller.execute(statement)
        caller.execute("INSERT INTO scratch VALUES (1)")
        caller.rollback()
        assert value(edge, 190) == 1
        assert caller.execute("SELECT count(*) FROM shop.orders WHERE id = 190").fetchone() == (1,)
        caller.commit()
    assert value(edge, 190) == 1


MOVES = [
    "SET search_path = evil, shop",
    "SELECT set_config('search_path', 'evil, shop', false)",
    "DO $$ BEGIN PERFORM set_config('search_path', 'evil, shop', false); END $$",
]


@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize("in_transaction", [False, True])
def test_w6_an_approved_search_path_makes_unqualified_names_prove_nothing(
    edge: InProcessEdge, move: str, in_transaction: bool
) -> None:
    with psycopg.connect(edge.dsn, autocommit=not in_transaction) as caller:
        assert caller.execute("SELECT id FROM orders WHERE id = 190").fetchone() == (190,)
        caller.execute(move)
        edge.control.verdict = "denied"
        asked = len(edge.control.opened)
        assert caller.execute("SELECT id FROM shop.orders WHERE id = 190").fetchone() == (190,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="denied"):
            caller.execute("SELECT id FROM orders")
        assert len(edge.control.opened) - asked == 1


def test_w6_a_read_that_was_bound_before_is_judged_by_what_its_names_mean_now(edge: InProcessEdge) -> None:
    raw = RawCaller(edge.dsn)
    raw.send(parse("SELECT id::text FROM orders WHERE id::text IN ('190', 'evil')", "r"), parse(MOVES[0], "s"))
    raw.send(bind("p", "r"), bind("", "s"), execute(), SYNC)
    raw.until(b"Z")
    edge.control.verdict = "denied"
    raw.send(bind("", "r"), execute(), SYNC)
    found = raw.until(b"Z")
    raw.close()
    assert states(found) == ["42501"] and not rows(found)


def test_w6_a_read_pipelined_behind_a_search_path_is_asked_for(edge: InProcessEdge) -> None:
    raw = RawCaller(edge.dsn)
    raw.send(parse("SELECT 'read', id FROM orders WHERE id = 190", "r"), bind("p", "r"), parse(MOVES[0], "s"))
    raw.send(bind("", "s"), execute(), execute("p"), SYNC)
    raw.until(b"Z")
    raw.close()
    assert len(edge.control.opened) == 2


@pytest.mark.parametrize("in_transaction", [False, True])
def test_w6_a_path_moved_behind_our_back_is_found_before_people_are_asked(
    edge: InProcessEdge, in_transaction: bool
) -> None:
    """PostgreSQL 18 reports it: then the write is asked about as unknown. Before, the Edge asks, and refuses once."""
    with psycopg.connect(edge.dsn, autocommit=not in_transaction) as caller:
        assert caller.execute("SELECT m FROM moving").fetchone() == ("evil, shop",)
        if edge.postgres.major < 18:
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="search_path was moved"):
                caller.execute("UPDATE orders SET total = 2 WHERE id = 190")
            assert not edge.control.opened
            caller.rollback()
            caller.execute("SELECT m FROM shop.moving")
        edge.control.verdict = "denied"
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="denied"):
            caller.execute("UPDATE orders SET total = 2 WHERE id = 190")
    (opened,) = edge.control.opened
    assert not opened.certain
    assert edge.postgres.admin("SELECT total FROM evil.orders WHERE id = 190").strip() == "1"


def test_w6_a_path_that_the_server_reports_moves_what_reads_mean(tmp_path: Path, postgres: RealPostgres) -> None:
    postgres.admin(LATE)
    with edge_in_process(tmp_path, postgres) as edge, psycopg.connect(edge.dsn, autocommit=True) as caller:
        caller.execute("SELECT m FROM moving")
        edge.control.verdict = "denied"
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="denied"):
            caller.execute("SELECT id FROM orders")
        assert caller.execute("SELECT count(*) FROM shop.orders").fetchone() is not None
    postgres.admin("REVOKE TEMPORARY ON DATABASE sample FROM PUBLIC; DROP SCHEMA evil CASCADE")


HIDING = """
CREATE OR REPLACE FUNCTION evil.lower(text) RETURNS text LANGUAGE plpgsql AS
  $$ BEGIN PERFORM pg_catalog.pg_advisory_lock(4711); RETURN 'evil'; END $$;
CREATE OR REPLACE FUNCTION evil.plus(int, int) RETURNS int LANGUAGE plpgsql AS
  $$ BEGIN PERFORM pg_catalog.pg_advisory_lock(4711); RETURN 666; END $$;
CREATE OPERATOR evil.+ (LEFTARG = int, RIGHTARG = int, FUNCTION = evil.plus);
CREATE OR REPLACE FUNCTION shop.hide() RETURNS text LANGUAGE sql AS
  $$ SELECT set_config('search_path', 'evil, pg_catalog', false) $$;
CREATE OR REPLACE VIEW shop.hiding AS SELECT shop.hide() AS m; GRANT SELECT ON shop.hiding TO PUBLIC;
"""
TAKEN = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711"


@pytest.fixture
def hiding(edge: InProcessEdge) -> InProcessEdge:
    edge.postgres.admin(HIDING)
    return edge


@pytest.mark.parametrize("schemas", ["evil, pg_catalog", '"evil", "pg_catalog"', "shop, evil, PG_CATALOG, public"])
def test_w6_a_path_that_hides_built_in_names_is_refused_with_advice(hiding: InProcessEdge, schemas: str) -> None:
    with psycopg.connect(hiding.dsn, autocommit=True) as caller:
        for local in ("", "LOCAL ", "SESSION "):
            with pytest.raises(psycopg.errors.FeatureNotSupported, match="Leave it out"):
                caller.execute(f"SET {local}search_path = {schemas}")
        assert caller.execute("SELECT lower('A'), 1 + 2").fetchone() == ("a", 3)
        caller.execute("SET search_path = pg_catalog, evil")
        assert caller.execute("SELECT lower('A'), 1 + 2").fetchone() == ("a", 3)
    assert len(hiding.control.opened) == 1


@pytest.mark.parametrize("in_transaction", [False, True])
@pytest.mark.parametrize("prepare", [None, True], ids=["simple", "named"])
@pytest.mark.parametrize(
    "move",
    [
        "SELECT set_config('search_path', 'evil, pg_catalog', false)",
        "SELECT shop.hide()",
        "DO $$ BEGIN PERFORM set_config('search_path', 'evil,pg_catalog', false); END $$",
    ],
)
def test_w6_a_session_whose_built_in_names_are_hidden_is_ended(
    hiding: InProcessEdge, move: str, prepare: bool | None, in_transaction: bool
) -> None:
    caller = psycopg.connect(hiding.dsn, autocommit=not in_transaction)
    with pytest.raises(psycopg.OperationalError), caller:
        caller.execute(move, prepare=prepare)
        for text in ("SELECT lower('A')", "SELECT 1 + 2"):
            caller.execute(text)
    assert hiding.postgres.admin(TAKEN).strip() == "0"


def test_w6_built_in_names_hidden_by_a_view_are_found_when_they_are_reported_or_asked_for(
    hiding: InProcessEdge,
) -> None:
    with pytest.raises(psycopg.OperationalError), psycopg.connect(hiding.dsn, autocommit=True) as caller:
        caller.execute("SELECT m FROM shop.hiding")
        if hiding.postgres.major >= 18:
            caller.execute("SELECT lower('A')")
        caller.execute("UPDATE shop.orders SET total = 2 WHERE id = 190")
    assert value(hiding, 190) == 1
    assert hiding.postgres.admin(TAKEN).strip() == "0"
