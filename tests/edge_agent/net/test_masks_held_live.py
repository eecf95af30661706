"""A read that waits, for people or for its record, is masked as one that passes at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.edge_agent.net.edge_in_process import InProcessEdge, edge_in_process
from tests.support.postgres import RealPostgres
from twokeys.policy import STARTER_TEXT

MASKED = """
@id("mail") @columns("shop.customers.email") @form("redact")
forbid (principal, action == Action::"reveal", resource == DataClass::"pii.email");
"""
WAITING = {
    "sensitive": '@id("seen") @sensitive("true") permit(principal, action == Action::"read", resource);',
    "held": '@id("ask") forbid(principal, action == Action::"read", resource == Table::"sample-db.shop.customers");',
}


@pytest.fixture(params=WAITING)
def edge(request: pytest.FixtureRequest, tmp_path: Path, any_postgres: RealPostgres) -> Iterator[InProcessEdge]:
    with edge_in_process(tmp_path, any_postgres, STARTER_TEXT + MASKED + WAITING[request.param]) as running:
        running.control.verdict = "approved"
        yield running


@pytest.mark.parametrize("extended", [False, True])
@pytest.mark.parametrize("in_transaction", [False, True])
def test_m1_a_read_that_waits_is_masked(edge: InProcessEdge, extended: bool, in_transaction: bool) -> None:
    with psycopg.connect(edge.dsn, autocommit=not in_transaction) as caller:
        for text in ("SELECT email FROM shop.customers WHERE id = 1", "TABLE shop.customers"):
            row = caller.execute(text, prepare=extended).fetchall()[0]
            assert "***" in row and "customer1@example.com" not in row
        if not extended:
            texts = ["SELECT 1; SELECT email FROM shop.customers WHERE id = 1"]
            texts += ["SAVEPOINT a; SELECT email FROM shop.customers WHERE id = 1"] if in_transaction else []
            for text in texts:
                last = caller.execute(text)
                assert last.nextset() and last.fetchall() == [("***",)]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("binary", [False, True])
def test_m1_what_a_cursor_with_hold_shows_is_masked(
    tmp_path: Path, any_postgres: RealPostgres, after: bool, binary: bool
) -> None:
    """After COMMIT the server no longer says where its columns come from."""
    with (
        edge_in_process(tmp_path, any_postgres, STARTER_TEXT + MASKED) as edge,
        psycopg.connect(edge.dsn, autocommit=True) as caller,
    ):
        caller.execute("BEGIN")
        caller.execute("DECLARE h CURSOR WITH HOLD FOR SELECT id, email FROM shop.customers ORDER BY id")
        if after:
            caller.execute("COMMIT")
        for text in ("FETCH 1 FROM h", "FETCH 1 FROM h"):
            ((_, email),) = caller.execute(text, binary=binary, prepare=binary).fetchall()
            assert email in ("***", None)
        assert edge.control.opened == []
