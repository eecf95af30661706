"""The classifier against the server: what is called a read is never stopped by the server's read-only mode."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import psycopg
import pytest

from edge_agent.classify.sql import classify_sql
from tests.edge_agent.classify import cases
from tests.support.postgres import RealPostgres

READ_ONLY = "25006"


@pytest.fixture(scope="module")
def dsn(any_postgres: RealPostgres) -> Iterator[str]:
    any_postgres.admin("CREATE DATABASE classified")
    server = any_postgres.server
    server.psql(cases.SCHEMA, database="classified")
    yield any_postgres.admin_dsn.replace(f"dbname={any_postgres.database}", "dbname=classified")
    any_postgres.admin("DROP DATABASE classified WITH (FORCE)")


def sqlstate_of(dsn: str, text: str) -> str:
    """The server's answer to `text` in a session whose transactions are read-only; empty when it ran."""
    options = "-c default_transaction_read_only=on -c statement_timeout=5000"
    with contextlib.closing(psycopg.connect(dsn, options=options, autocommit=True)) as connection:
        pg = connection.pgconn
        pg.send_query(text.encode())
        state = ""
        while (result := pg.get_result()) is not None:
            if result.status == psycopg.pq.ExecStatus.COPY_OUT:
                while pg.get_copy_data(0)[0] > 0:
                    pass
            elif result.status == psycopg.pq.ExecStatus.COPY_IN:
                pg.put_copy_end(b"not in a test")
            elif result.status == psycopg.pq.ExecStatus.FATAL_ERROR:
                state = state or (result.error_field(psycopg.pq.DiagnosticField.SQLSTATE) or b"").decode()
        return state


def test_a_proven_read_never_meets_the_read_only_mode(dsn: str) -> None:
    for text in (*cases.READS, *cases.CONTROL):
        assert classify_sql(text.encode(), ("public",)).is_read
        assert sqlstate_of(dsn, text) != READ_ONLY, text


def test_the_reads_of_the_table_run_on_the_newest_server(postgres: RealPostgres, dsn: str) -> None:
    if f":{postgres.port}" not in dsn and f"port={postgres.port} " not in dsn:
        pytest.skip("an older server does not know all of today's syntax")
    failed = {text: state for text in cases.READS if (state := sqlstate_of(dsn, text))}
    # No value for a parameter; no privilege or object is missing otherwise.
    assert failed == {"SELECT $1::int, $2": "42P02"}


def test_what_the_read_only_mode_stops_is_no_proven_read(dsn: str) -> None:
    stopped = 0
    for text in (*cases.WRITES, *cases.DDL, *cases.UNCERTAIN):
        assert not classify_sql(text.encode(), ("public",)).is_read
        stopped += sqlstate_of(dsn, text) == READ_ONLY
    assert stopped > 25


def test_column_notation_calls_functions(dsn: str) -> None:
    # The reason for the rules in `calls`: if this fails one day, they may be eased.
    for text in ("SELECT (7).pg_try_advisory_lock", "SELECT x.abs FROM unnest(ARRAY[-1]) AS x"):
        assert sqlstate_of(dsn, text) == ""


def test_on_a_row_only_functions_of_rows_can_be_called(dsn: str) -> None:
    for text in (
        "SELECT x.upper FROM (SELECT 'a'::text AS a) AS x",
        "SELECT x.upper FROM (VALUES ('a'::text)) AS x(a)",
        "SELECT u.upper FROM u",
        "WITH x AS (SELECT 'a'::text AS a) SELECT x.upper FROM x",
        "SELECT x.upper FROM unnest(ARRAY['a']) WITH ORDINALITY AS x",
        "SELECT x.upper FROM ROWS FROM (unnest(ARRAY['a']), unnest(ARRAY['b'])) AS x",
        "SELECT x.upper FROM json_to_record('{}') AS x(a text)",
        "SELECT x.upper FROM json_each_text('{}') AS x",
    ):
        assert sqlstate_of(dsn, text) == "42703", text


def test_a_column_of_the_name_comes_before_a_function(dsn: str) -> None:
    assert sqlstate_of(dsn, "SELECT 1 / (x.abs)::int FROM unnest(ARRAY[-1]) AS x(abs)") == ""
    assert sqlstate_of(dsn, "SELECT x.abs::text::int * 1 / (x.abs + 1) FROM unnest(ARRAY[-1]) AS x(abs)") == "22012"
