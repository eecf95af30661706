"""The catalogue at a live Edge: what is known to read passes, what is not is held, and what moves is seen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import psycopg
import pytest

from edge_agent.net.postgres_catalogue import CatalogueKeeper
from edge_agent.net.wire import WireLost
from tests.edge_agent.net.edge_in_process import InProcessEdge, edge_in_process
from tests.support.postgres import RealPostgres

SCHEMA = """
CREATE TABLE shop.said (word text);
GRANT ALL ON shop.said TO PUBLIC;
CREATE FUNCTION shop.total() RETURNS bigint STABLE LANGUAGE sql AS 'SELECT count(*) FROM shop.said';
CREATE FUNCTION shop.says() RETURNS int LANGUAGE plpgsql AS
 $$ BEGIN INSERT INTO shop.said VALUES ('x'); RETURN 1; END $$;
CREATE FUNCTION shop.vouched() RETURNS int STABLE LANGUAGE plpgsql AS $$ BEGIN RETURN 7; END $$;
CREATE VIEW shop.calm AS SELECT shop.total() AS total;
CREATE VIEW shop.sly AS SELECT shop.says() AS said;
GRANT SELECT ON shop.calm, shop.sly TO PUBLIC;
"""
DROP = "DROP VIEW shop.calm, shop.sly; DROP FUNCTION shop.total, shop.says, shop.vouched; DROP TABLE shop.said"
DIGEST = """
SET search_path = '';
SELECT encode(sha256(convert_to(pg_get_functiondef('shop.vouched()'::regprocedure), 'UTF8')), 'hex')
"""


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory, postgres: RealPostgres) -> Iterator[InProcessEdge]:
    postgres.admin(SCHEMA)
    digest = postgres.admin(DIGEST).split()[-1]
    folder: Path = tmp_path_factory.mktemp("catalogue")
    with edge_in_process(folder, postgres, readers=(f"shop.vouched() sha256:{digest}",)) as running:
        running.control.verdict = "denied"
        yield running
    postgres.admin(DROP)


def answer(edge: InProcessEdge, text: str) -> object:
    with psycopg.connect(edge.dsn, autocommit=True) as connection:
        row = connection.execute(text.encode()).fetchone()
        return row[0] if row else None


def test_a_function_that_is_known_to_read_passes(edge: InProcessEdge) -> None:
    before = len(edge.control.opened)
    assert answer(edge, "SELECT shop.total()") == 0
    assert answer(edge, "SELECT total FROM shop.calm") == 0
    assert answer(edge, "SELECT vouched()") == 7
    assert len(edge.control.opened) == before


def test_p3_a_view_that_may_write_is_held_before_it_runs(edge: InProcessEdge) -> None:
    before = len(edge.control.opened)
    with pytest.raises(psycopg.Error, match="denied"):
        answer(edge, "SELECT * FROM shop.sly")
    assert len(edge.control.opened) == before + 1
    assert "shop.says" in " ".join(edge.control.opened[-1].reasons)


def test_w6_a_body_replaced_behind_the_edge_is_seen_by_who_connects_next(edge: InProcessEdge) -> None:
    assert answer(edge, "SELECT 1 + shop.total()") == 1
    edge.postgres.admin("ALTER FUNCTION shop.total() VOLATILE")
    try:
        with pytest.raises(psycopg.Error, match="denied"):
            answer(edge, "SELECT 1 + shop.total()")
    finally:
        edge.postgres.admin("ALTER FUNCTION shop.total() STABLE")
    assert answer(edge, "SELECT 1 + shop.total()") == 1


def test_sessions_that_connect_together_share_one_connection_of_the_catalogue(edge: InProcessEdge) -> None:
    connections = [psycopg.connect(edge.dsn, autocommit=True) for _ in range(5)]
    try:
        asked = edge.postgres.admin("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%REPEATABLE READ%v1%'")
        assert int(asked) <= 1
    finally:
        for connection in connections:
            connection.close()


def test_what_an_approval_defines_is_seen_by_sessions_that_are_open(edge: InProcessEdge) -> None:
    edge.postgres.admin(f"GRANT CREATE ON SCHEMA shop TO {edge.postgres.user}")
    with psycopg.connect(edge.dsn, autocommit=True) as one, psycopg.connect(edge.dsn, autocommit=True) as other:
        with pytest.raises(psycopg.Error, match="denied"):
            other.execute("SELECT shop.news()")
        edge.control.verdict = "approved"
        try:
            one.execute("CREATE FUNCTION shop.news() RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 3'")
        finally:
            edge.control.verdict = "denied"
        # A new session waits for a look; the open ones judge by what it found.
        assert answer(edge, "SELECT shop.news()") == 3
        assert other.execute("SELECT shop.news()").fetchone() == (3,)
    edge.postgres.admin("DROP FUNCTION shop.news")


def test_a_definition_is_seen_once_its_transaction_commits(edge: InProcessEdge) -> None:
    edge.postgres.admin(f"GRANT CREATE ON SCHEMA shop TO {edge.postgres.user}")
    with psycopg.connect(edge.dsn) as one, psycopg.connect(edge.dsn, autocommit=True) as other:
        edge.control.verdict = "approved"
        try:
            one.execute("CREATE FUNCTION shop.later() RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 4'")
        finally:
            edge.control.verdict = "denied"
        with pytest.raises(psycopg.Error, match="denied"):
            other.execute("SELECT shop.later()")
        one.commit()
        # Nobody connects: the looks of the Edge's own find it.
        for attempt in range(100):
            try:
                assert other.execute(f"SELECT shop.later() + {attempt}").fetchone() == (4 + attempt,)
                break
            except psycopg.Error:
                continue
        else:
            pytest.fail("the definition was never seen")
    edge.postgres.admin("DROP FUNCTION shop.later")


def test_p3_while_nobody_can_look_again_a_view_that_may_write_is_still_held(
    edge: InProcessEdge, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(keeper: CatalogueKeeper) -> NoReturn:
        raise WireLost

    def opened_by(text: str) -> int:
        before = len(edge.control.opened)
        caller.execute(text.encode())
        return len(edge.control.opened) - before

    with psycopg.connect(edge.dsn, autocommit=True) as caller:
        assert opened_by("SELECT shop.total()") == 0
        edge.control.verdict = "approved"
        try:
            monkeypatch.setattr(CatalogueKeeper, "_learn", fail)
            assert opened_by("DO $$ BEGIN NULL; END $$") == 1
            for _ in range(2):
                assert [opened_by(f"SELECT * FROM shop.{view}") for view in ("sly", "calm")] == [1, 0]
                assert opened_by("SELECT shop.total()") == 1
        finally:
            edge.control.verdict = "denied"
            edge.postgres.admin("TRUNCATE shop.said")
