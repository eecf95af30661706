"""Writes that look like something else, at the live Edge, with a reviewer who denies all: nothing changes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import psycopg
import pytest

from tests.edge_agent.net.edge_in_process import InProcessEdge, edge_in_process
from tests.support.postgres import RealPostgres

DISGUISES = {
    "p2_a_cte_that_deletes": "WITH gone AS (DELETE FROM shop.orders RETURNING id) SELECT count(*) FROM gone",
    "p2_merge": "MERGE INTO shop.orders o USING (SELECT 1 AS i) s ON o.id = s.i WHEN MATCHED THEN DELETE",
    "p2_explain_analyze": "EXPLAIN (ANALYZE, COSTS off) DELETE FROM shop.orders",
    "p2_select_into": "SELECT 1 AS a INTO TEMP stolen",
    "p2_create_table_as": "CREATE TABLE shop.stolen AS SELECT * FROM shop.orders",
    "p2_copy_of_a_delete": "COPY (DELETE FROM shop.orders RETURNING 1) TO STDOUT",
    "p2_prepare": "PREPARE q AS DELETE FROM shop.orders",
    "p2_execute": "EXECUTE q",
    "p2_row_locks": "SELECT * FROM shop.orders FOR UPDATE",
    "p2_row_locks_in_a_subselect": "SELECT * FROM (SELECT id FROM shop.orders FOR SHARE) x",
    "p3_do": "DO $$ BEGIN DELETE FROM shop.orders; END $$",
    "p3_a_view_that_writes": "SELECT n FROM shop.disguise_view",
    "p3_a_function_as_a_column": "SELECT (7::int).pg_try_advisory_lock",
    "p3_a_function_as_a_field": "SELECT x.pg_advisory_lock FROM unnest(array[7::bigint]) x",
    "p3_a_function_from_a_table": "SELECT o.disguise FROM shop.orders o LIMIT 1",
    "p3_an_operator": "SELECT 1 OPERATOR(shop.@@>) 1",
    "p4_query_to_xml": "SELECT query_to_xml('DELETE FROM shop.orders RETURNING 1', true, true, '')",
    "p4_dblink": "SELECT dblink_exec('x')",
    "p5_copy_to_program": "COPY shop.orders TO PROGRAM 'cat'",
    "p5_large_object": "SELECT lo_create(0)",
    "p6_sequence": "SELECT nextval('shop.orders_id_seq')",
    "p6_advisory_lock": "SELECT pg_advisory_lock(3)",
    "p6_lock_table": "LOCK TABLE shop.orders",
    "p6_notify": "NOTIFY a",
    "p6_pg_notify": "SELECT pg_notify('a', 'b')",
    "p6_vacuum": "VACUUM shop.orders",
    "p6_temporary_table": "CREATE TEMP TABLE t (a int)",
    "p7_set_config": "SELECT set_config('default_transaction_read_only', 'off', false)",
    "p7_session_characteristics": "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
    "p1_two_statements": "TABLE shop.orders; DELETE FROM shop.orders",
    "p1_behind_a_comment": "SELECT 1 /* ; */; -- '\nDELETE FROM shop.orders",
    "p8_unicode_escapes": 'SELECT 1; DELETE FROM U&"shop".U&"\\006frders"',
}
SETUP = """
CREATE OR REPLACE FUNCTION shop.disguise_write() RETURNS int LANGUAGE sql VOLATILE SECURITY DEFINER AS
  $$ DELETE FROM shop.orders WHERE id = 1 RETURNING 1 $$;
CREATE OR REPLACE VIEW shop.disguise_view AS SELECT shop.disguise_write() AS n;
CREATE OR REPLACE FUNCTION shop.disguise(shop.orders) RETURNS int LANGUAGE sql VOLATILE SECURITY DEFINER AS
  $$ DELETE FROM shop.orders WHERE id = 2 RETURNING 1 $$;
CREATE OR REPLACE FUNCTION shop.disguise_plus(int, int) RETURNS int LANGUAGE sql VOLATILE SECURITY DEFINER AS
  $$ DELETE FROM shop.orders WHERE id = 3 RETURNING 1 $$;
DROP OPERATOR IF EXISTS shop.@@> (int, int);
CREATE OPERATOR shop.@@> (FUNCTION = shop.disguise_plus, LEFTARG = int, RIGHTARG = int);
GRANT SELECT ON shop.disguise_view TO PUBLIC;
"""
STATE = """
SELECT (SELECT string_agg(o::text, ',' ORDER BY id) FROM shop.orders o),
       (SELECT last_value || is_called::text FROM shop.orders_id_seq),
       (SELECT count(*) FROM pg_class WHERE relkind IN ('r', 'v', 'S')),
       (SELECT count(*) FROM pg_largeobject_metadata),
       (SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) LEFT JOIN pg_class c ON c.oid = l.relation
        WHERE a.backend_type = 'client backend' AND (l.locktype = 'advisory'
        OR (l.mode LIKE '%Exclusive%' AND c.relname = 'orders')))
"""


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory, any_postgres: RealPostgres) -> Iterator[InProcessEdge]:
    any_postgres.admin(SETUP)
    with edge_in_process(tmp_path_factory.mktemp("edge"), any_postgres) as running:
        running.control.verdict, running.control.reason = "denied", "no"
        yield running


def state(edge: InProcessEdge) -> str:
    """All that a disguise could have changed."""
    return hashlib.sha256(edge.postgres.admin(STATE).encode()).hexdigest()


def run(caller: psycopg.Connection[tuple[object, ...]], sql: str, *, extended: bool) -> None:
    """Send it; raises psycopg.Error as the Edge or the server refuses it."""
    if extended:
        caller.execute(sql, (), prepare=True)
    else:
        caller.execute(sql)


@pytest.mark.parametrize("in_transaction", [False, True], ids=["by itself", "in a transaction"])
@pytest.mark.parametrize("extended", [False, True], ids=["simple", "extended"])
@pytest.mark.parametrize("sql", DISGUISES.values(), ids=DISGUISES.keys())
def test_p2_p3_p6_a_disguised_write_changes_nothing(
    edge: InProcessEdge, sql: str, extended: bool, in_transaction: bool
) -> None:
    before = state(edge)
    with psycopg.connect(edge.dsn, autocommit=not in_transaction) as caller:
        if in_transaction:
            caller.execute("SELECT 1")
        with pytest.raises(psycopg.Error) as refused:
            run(caller, sql, extended=extended)
        assert refused.value.sqlstate, "psycopg itself refused it"
        assert state(edge) == before
        caller.rollback()
        assert caller.execute("SELECT 1").fetchone() == (1,)
    assert state(edge) == before
