"""Attacks found by hunting: each runs at the live Edge, with scripted people."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.edge_agent.net.edge_in_process import InProcessEdge, edge_in_process
from tests.edge_agent.net.test_attacks_live import (
    SYNC,
    RawCaller,
    bind,
    execute,
    message,
    parse,
    reset,
    value,
)
from tests.support.postgres import RealPostgres


@pytest.fixture
def edge(tmp_path: Path, any_postgres: RealPostgres) -> Iterator[InProcessEdge]:
    # The catalogue would find out before these guards have to.
    with edge_in_process(tmp_path, any_postgres, catalogue_seconds=0) as running:
        yield running


@pytest.fixture
def raw(edge: InProcessEdge) -> Iterator[RawCaller]:
    caller = RawCaller(edge.dsn)
    yield caller
    caller.close()


SHOWN = "UPDATE orders SET total = 2 WHERE id = 170"
OTHER = "UPDATE orders SET total = 2 WHERE id = 171"
CLOSE_A = message(b"C", b"Sa\0")


@pytest.mark.parametrize("name", ["", "a"])
@pytest.mark.parametrize("in_transaction", [False, True])
def test_w3_a_statement_parsed_anew_after_bind_does_not_run_in_its_place(
    edge: InProcessEdge, raw: RawCaller, name: str, in_transaction: bool
) -> None:
    reset(edge, 170, 171)
    if in_transaction:
        raw.send(message(b"Q", b"BEGIN\0"))
        raw.until(b"Z")
    swap = CLOSE_A if name else b""
    raw.send(parse(SHOWN, name), bind("p", name), swap, parse(OTHER, name), execute("p"), SYNC)
    raw.until(b"Z")
    if in_transaction:
        raw.send(message(b"Q", b"COMMIT\0"))
        raw.until(b"Z")
    assert value(edge, 171) == 1
    assert value(edge, 170) == 1


def test_w3_a_read_bound_anew_is_the_read_that_was_judged(edge: InProcessEdge, raw: RawCaller) -> None:
    raw.send(parse("SELECT 'shown'"), bind("p"), parse("SELECT 'other'"))
    raw.send(parse("BEGIN", "b"), bind("b", "b"), execute("b"), execute("p"), SYNC)
    found = raw.until(b"Z")
    assert not any(b"other" in body for kind, body in found if kind == b"D")


def test_w3_a_portal_is_run_while_its_statement_is_there(edge: InProcessEdge, raw: RawCaller) -> None:
    reset(edge, 170)
    raw.send(parse(SHOWN), bind("p"), parse("SELECT 1", "b"), bind("q", "b"), execute("q"), execute("p"), SYNC)
    raw.until(b"Z")
    assert value(edge, 170) == 2


def test_w3_sql_cannot_put_another_statement_under_a_protocol_name(edge: InProcessEdge, raw: RawCaller) -> None:
    reset(edge, 170, 171)
    raw.send(parse(SHOWN, "a"), SYNC)
    raw.until(b"Z")
    for text in (b"DEALLOCATE a", b"PREPARE a AS " + OTHER.encode()):
        raw.send(message(b"Q", text + b"\0"))
        raw.until(b"Z")
    raw.send(bind("", "a"), execute(), SYNC)
    raw.until(b"Z")
    assert value(edge, 171) == 1


def test_g2_a_held_cursor_cannot_write_when_its_transaction_commits(edge: InProcessEdge, raw: RawCaller) -> None:
    reset(edge, 170, 171)
    edge.postgres.admin(
        "CREATE OR REPLACE FUNCTION shop.red() RETURNS int LANGUAGE sql VOLATILE SECURITY DEFINER AS "
        "$$ UPDATE shop.orders SET total = 2 WHERE id = 171 RETURNING 1 $$; "
        "CREATE OR REPLACE VIEW shop.red_view AS SELECT shop.red() AS n; "
        "GRANT SELECT ON shop.red_view TO PUBLIC"
    )
    for text in ("BEGIN", SHOWN):
        raw.send(message(b"Q", text.encode() + b"\0"))
        raw.until(b"Z")
    asked = len(edge.control.opened)
    edge.control.verdict = "denied"
    for text in ("DECLARE c CURSOR WITH HOLD FOR SELECT n FROM red_view", "COMMIT"):
        raw.send(message(b"Q", text.encode() + b"\0"))
        found = raw.until(b"Z")
    assert b"25006" in found[-2][1]
    assert (len(edge.control.opened) - asked, value(edge, 170), value(edge, 171)) == (0, 1, 1)


def test_w3_a_view_cannot_run_under_a_name_approved_for_a_write(edge: InProcessEdge, raw: RawCaller) -> None:
    reset(edge, 170, 171)
    edge.postgres.admin(
        "CREATE OR REPLACE FUNCTION shop.red() RETURNS int LANGUAGE sql VOLATILE SECURITY DEFINER AS "
        "$$ UPDATE shop.orders SET total = 2 WHERE id = 171 RETURNING 1 $$; "
        "CREATE OR REPLACE VIEW shop.red_view AS SELECT shop.red() AS n; "
        "GRANT SELECT ON shop.red_view TO PUBLIC"
    )
    raw.send(parse(SHOWN, "a"), SYNC)
    raw.until(b"Z")
    for text in (b"DEALLOCATE a", b"PREPARE a AS SELECT n FROM red_view"):
        raw.send(message(b"Q", text + b"\0"))
        raw.until(b"Z")
    raw.send(bind("", "a"), execute(), SYNC)
    raw.until(b"Z")
    assert not edge.control.opened
    assert (value(edge, 170), value(edge, 171)) == (1, 1)
