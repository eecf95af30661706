"""A search_path that a caller narrows or turns round: two tables have one name, and policy permits one of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.edge_agent.net.edge_in_process import InProcessEdge, edge_in_process
from tests.support.postgres import RealPostgres
from twokeys.policy import STARTER_TEXT

PATHS = pytest.mark.parametrize("path", ["shop", "public", "public, shop", "shop, public"])
POLICY = """
@id("decoy") permit(principal, action == Action::"write", resource == Table::"sample-db.public.twins");
@id("secret") @columns("shop.twins.note")
forbid(principal, action == Action::"reveal", resource == DataClass::"secret");
"""
TWINS = """
CREATE TABLE {0}.twins (id integer, note text); INSERT INTO {0}.twins VALUES (1, '{0} note');
GRANT ALL ON {0}.twins TO PUBLIC;
"""


@pytest.fixture
def edge(tmp_path: Path, any_postgres: RealPostgres) -> Iterator[InProcessEdge]:
    any_postgres.admin("".join(TWINS.format(schema) for schema in ("shop", "public")))
    try:
        with edge_in_process(tmp_path, any_postgres, STARTER_TEXT + POLICY) as running:
            running.control.verdict, running.control.reason = "denied", "no"
            yield running
    finally:
        any_postgres.admin("DROP TABLE shop.twins, public.twins")


def notes(edge: InProcessEdge) -> str:
    return edge.postgres.admin(
        "SELECT string_agg(note, ',') FROM (TABLE shop.twins UNION TABLE public.twins) t"
    ).strip()


def callers(edge: InProcessEdge, path: str) -> Iterator[psycopg.Connection]:
    """One that narrows its path by SET, by set_config, and from the start."""
    with psycopg.connect(edge.dsn, autocommit=True) as caller:
        caller.execute(f"SET search_path TO {path}")
        yield caller
    with psycopg.connect(edge.dsn, autocommit=True) as caller:
        caller.execute(f"SELECT set_config('search_path', '{path}', false)")
        yield caller
    with psycopg.connect(edge.dsn, autocommit=True, options="-c search_path=" + path.replace(" ", r"\ ")) as caller:
        yield caller


@PATHS
def test_w6_a_name_counts_as_each_table_that_it_may_mean(edge: InProcessEdge, path: str) -> None:
    before = notes(edge)
    for at, caller in enumerate(callers(edge, path), 1):
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="no"):
            caller.execute("UPDATE twins SET note = 'changed'")
        assert len(edge.control.opened) == at
        caller.execute("UPDATE public.twins SET note = note")
        assert len(edge.control.opened) == at
    assert notes(edge) == before


@PATHS
def test_w6_masks_follow_the_table_that_was_read(edge: InProcessEdge, path: str) -> None:
    for caller in callers(edge, path):
        found = caller.execute("SELECT note FROM twins").fetchall()
        with caller.cursor() as cursor, cursor.copy("COPY twins (note) TO STDOUT") as copied:
            data = b"".join(bytes(part) for part in copied)
        if path.startswith("shop"):
            assert b"note" not in data and found[0][0] != "shop note"
        else:
            assert (data, found) == (b"public note\n", [("public note",)])
