"""The questions against real servers, and what the rules make of the answers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import psycopg
import pytest

from edge_agent.catalogue.limits import DEFAULT_LIMITS, CatalogueLimits
from edge_agent.catalogue.question import STAMP_SQL, Overfull, load_sql, read_snapshot
from edge_agent.catalogue.rules import Catalogue
from edge_agent.catalogue.snapshot import Reader, Snapshot
from edge_agent.classify.sql import SqlVerdict, classify_sql
from tests.edge_agent.catalogue import cases
from tests.support.postgres import RealPostgres

PATH = ("public", "app")


@pytest.fixture(scope="module")
def dsn(any_postgres: RealPostgres) -> Iterator[str]:
    any_postgres.admin("CREATE DATABASE catalogued")
    any_postgres.server.psql(cases.SCHEMA, database="catalogued")
    yield any_postgres.admin_dsn.replace(f"dbname={any_postgres.database}", "dbname=catalogued")
    any_postgres.admin("DROP DATABASE catalogued WITH (FORCE)")


def answers(dsn: str, text: str) -> list[bytes]:
    """All rows of one simple Query, whichever statement gave them."""
    rows: list[bytes] = []
    with contextlib.closing(psycopg.connect(dsn, autocommit=True)) as connection:
        pg = connection.pgconn
        pg.send_query(text.encode())
        while (result := pg.get_result()) is not None:
            assert result.status != psycopg.pq.ExecStatus.FATAL_ERROR, result.error_message
            rows += [result.get_value(at, 0) or b"" for at in range(result.ntuples)]
    return rows


def load(dsn: str, limits: CatalogueLimits = DEFAULT_LIMITS) -> Snapshot:
    return read_snapshot(answers(dsn, load_sql(limits)), limits)


@pytest.fixture(scope="module")
def catalogue(dsn: str) -> Catalogue:
    snapshot = load(dsn)
    named = next(one for one in snapshot.functions if one.name == "vouched")
    return Catalogue(snapshot, [Reader("app.vouched(integer)", named.definition)])


def judged(catalogue: Catalogue, text: str) -> SqlVerdict:
    return classify_sql(text.encode(), PATH, known=catalogue)


@pytest.mark.parametrize("text", cases.READS)
def test_what_is_known_to_read_is_a_read(catalogue: Catalogue, text: str) -> None:
    assert judged(catalogue, text).is_read, judged(catalogue, text).classification.reasons


@pytest.mark.parametrize("text", cases.UNPROVEN)
def test_what_runs_code_that_may_write_is_no_read(catalogue: Catalogue, text: str) -> None:
    found = judged(catalogue, text)
    assert not found.is_read
    assert found.classification.reasons


def test_the_stamp_is_that_of_the_load(dsn: str) -> None:
    assert answers(dsn, STAMP_SQL) == [load(dsn).stamp.encode()]


@pytest.mark.parametrize("change", cases.CHANGES)
def test_each_change_of_code_moves_the_stamp(dsn: str, change: str) -> None:
    before = answers(dsn, STAMP_SQL)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(change.encode())
    assert answers(dsn, STAMP_SQL) != before


def test_rows_do_not_move_the_stamp(dsn: str) -> None:
    before = answers(dsn, STAMP_SQL)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("INSERT INTO app.log VALUES ('x')")
        connection.execute("ANALYZE app.log")
        connection.execute("CREATE TEMP TABLE passing (a int)")
    assert answers(dsn, STAMP_SQL) == before


def test_more_than_a_limit_is_no_snapshot(dsn: str) -> None:
    with pytest.raises(Overfull):
        load(dsn, CatalogueLimits(objects=3))


def test_a_redefined_function_is_not_the_one_that_was_vouched_for(dsn: str) -> None:
    wrong = Catalogue(load(dsn), [Reader("app.vouched(integer)", "0" * 64)])
    assert not judged(wrong, "SELECT app.vouched(1)").is_read
