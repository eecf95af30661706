"""What passes unasked though it sounds like more is harmless, at a real server where people deny whatever is asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from edge_agent.protocols.postgres import encode
from tests.edge_agent.net.edge_in_process import InProcessEdge, edge_in_process
from tests.edge_agent.net.test_attacks_live import SYNC, RawCaller, bind, execute, kinds, message, parse, reset, value
from tests.support.postgres import RealPostgres
from twokeys.policy import STARTER_TEXT

SETUP = """
CREATE TABLE IF NOT EXISTS shop.guarded (id int, whose text);
TRUNCATE shop.guarded;
INSERT INTO shop.guarded VALUES (1, 'twokeys_edge'), (2, 'others');
ALTER TABLE shop.guarded ENABLE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS own ON shop.guarded;
CREATE POLICY own ON shop.guarded USING (whose = current_user);
GRANT SELECT, UPDATE, DELETE ON shop.guarded TO twokeys_edge;
CREATE OR REPLACE FUNCTION shop.peek() RETURNS int LANGUAGE sql VOLATILE SECURITY DEFINER AS
  $$ UPDATE shop.orders SET total = total + 1 WHERE id = 173 RETURNING id $$;
CREATE OR REPLACE VIEW shop.peeking AS SELECT shop.peek() AS id;
GRANT SELECT ON shop.peeking TO twokeys_edge;
"""
EXPORT = "SELECT pg_catalog.pg_export_snapshot()"


@pytest.fixture
def edge(tmp_path: Path, any_postgres: RealPostgres) -> Iterator[InProcessEdge]:
    any_postgres.admin(SETUP)
    # The catalogue would find out before the server does.
    with edge_in_process(tmp_path, any_postgres, catalogue_seconds=0) as running:
        reset(running, 173)
        running.control.verdict = "denied"
        yield running
    # Others dump the schema, and look at what its views show.
    any_postgres.admin("DROP TABLE shop.guarded; DROP VIEW shop.peeking; DROP FUNCTION shop.peek()")


def test_p7_row_security_off_shows_and_changes_no_row_more(edge: InProcessEdge) -> None:
    with psycopg.connect(edge.dsn, autocommit=True) as caller:
        assert caller.execute("SELECT id FROM shop.guarded").fetchall() == [(1,)]
        caller.execute("SET row_security = off")
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
            caller.execute("SELECT id FROM shop.guarded")
        assert edge.control.opened == []
        edge.control.verdict = "approved"
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
            caller.execute("DELETE FROM shop.guarded")
        caller.execute("SET row_security = on")
        assert caller.execute("DELETE FROM shop.guarded").rowcount == 1
    assert edge.postgres.admin("SELECT whose FROM shop.guarded").strip() == "others"


def test_p7_row_security_is_part_of_what_is_approved(edge: InProcessEdge) -> None:
    text = "UPDATE shop.guarded SET id = id"
    with psycopg.connect(edge.dsn, autocommit=True) as caller:
        for mode in ("on", "off", "on"):
            caller.execute(f"SET row_security = {mode}")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                caller.execute(text)
    first, second, third = (one.fingerprint for one in edge.control.opened)
    assert first == third != second


def test_p6_an_exported_snapshot_is_gone_with_its_transaction_and_lets_nobody_write(edge: InProcessEdge) -> None:
    with psycopg.connect(edge.dsn, autocommit=True) as one, psycopg.connect(edge.dsn, autocommit=True) as two:
        # As pg_dump does: in a transaction that may write, the read-only savepoint makes it fail.
        one.execute("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        (name,) = one.execute(EXPORT).fetchone() or ("",)
        two.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        two.execute(f"SET TRANSACTION SNAPSHOT '{name}'")
        assert two.execute("SELECT count(*) FROM orders").fetchone() == (200,)
        for text in ("UPDATE orders SET total = 2 WHERE id = 173", "SELECT * FROM shop.peeking"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                two.execute(text)
            two.execute("ROLLBACK")
            two.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            two.execute(f"SET TRANSACTION SNAPSHOT '{name}'")
        one.execute("ROLLBACK")
        two.execute("ROLLBACK")
        two.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        with pytest.raises(psycopg.Error, match="snapshot"):
            two.execute(f"SET TRANSACTION SNAPSHOT '{name}'")
        two.rollback()
    assert value(edge, 173) == 1


@pytest.mark.parametrize(
    "text",
    [
        f"{EXPORT} ",
        "SELECT pg_export_snapshot()",
        "select pg_catalog.pg_export_snapshot()",
        f"{EXPORT}, pg_catalog.pg_advisory_lock(7)",
    ],
)
def test_p6_a_snapshot_exported_in_other_words_is_asked_for(edge: InProcessEdge, text: str) -> None:
    with psycopg.connect(edge.dsn) as caller, pytest.raises(psycopg.errors.InsufficientPrivilege):
        caller.execute(text)
    assert len(edge.control.opened) == 1


NARROW = """
@id("view") permit(principal, action == Action::"write", resource == Table::"sample-db.shop.peeking");
@id("table") permit(principal, action == Action::"write", resource == Table::"sample-db.shop.orders");
@id("small") @rows("100") permit(principal, action == Action::"requestWrite", resource);
"""


@pytest.mark.parametrize("extended", [False, True])
def test_p3_a_policy_for_some_tables_lets_no_hidden_write_pass(edge: InProcessEdge, extended: bool) -> None:
    edge.enter(STARTER_TEXT + NARROW, 2)
    with psycopg.connect(edge.dsn, autocommit=True) as caller:
        caller.execute("UPDATE shop.orders SET total = 1 WHERE id = 173", prepare=extended)
        assert edge.control.opened == []
        for _ in range(2):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                caller.execute("SELECT * FROM shop.peeking WHERE id < 1000", prepare=extended)
    assert len(edge.control.opened) == 2
    assert value(edge, 173) == 1


@pytest.mark.parametrize("in_transaction", [False, True])
def test_w4_a_write_with_a_row_limit_runs_once_and_all_its_rows_come(edge: InProcessEdge, in_transaction: bool) -> None:
    edge.control.verdict = "approved"
    reset(edge, 173, 174, 175)
    raw = RawCaller(edge.dsn)
    if in_transaction:
        raw.send(message(b"Q", b"BEGIN\0"))
        raw.until(b"Z")
    update = parse("UPDATE orders SET total = total + 1 WHERE id IN (173, 174, 175) RETURNING id")
    raw.send(update, bind("p"), execute("p", 1), SYNC)
    assert bytes(kind for kind in kinds(raw.until(b"Z")) if kind not in b"NS") == b"12DDDCZ"
    # What a driver sends that reads on, or sets a limit on a statement without rows.
    raw.send(execute("p", 1), SYNC)
    assert b"E" in kinds(raw.until(b"Z"))
    if in_transaction:
        raw.send(encode.query(b"ROLLBACK"))
        raw.until(b"Z")
        assert [value(edge, order) for order in (173, 174, 175)] == [1, 1, 1]
    else:
        assert [value(edge, order) for order in (173, 174, 175)] == [2, 2, 2]
    raw.send(parse("UPDATE orders SET total = 7 WHERE id = 173"), bind(""), execute("", 1), SYNC)
    assert b"C" in kinds(raw.until(b"Z"))
    assert value(edge, 173) == 7
    raw.close()
    assert len(edge.control.opened) == 2
