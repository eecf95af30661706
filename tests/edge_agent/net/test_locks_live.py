"""People are told which locks an open transaction keeps while they think, and policy bounds for how long (W7)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.edge_agent.net.edge_in_process import InProcessEdge, edge_in_process
from tests.support.postgres import RealPostgres
from twokeys.policy import STARTER_TEXT

SHORT = """@id("short") @in_transaction("7") permit(principal, action, resource)
    when { action == Action::"requestWrite" };"""


@pytest.fixture
def edge(tmp_path: Path, any_postgres: RealPostgres) -> Iterator[InProcessEdge]:
    with edge_in_process(tmp_path, any_postgres) as running:
        yield running


def test_w7_people_and_the_caller_are_told_what_stays_locked(edge: InProcessEdge) -> None:
    with psycopg.connect(edge.dsn) as caller:
        told: list[str] = []
        caller.add_notice_handler(lambda one: told.append(one.message_primary or ""))
        caller.execute("SELECT count(*) FROM customers")
        caller.execute("UPDATE orders SET status = status WHERE id = 110")
        caller.execute("UPDATE orders SET status = status WHERE id = 111")
        caller.rollback()
    first, second = edge.control.opened
    assert "shop.customers AccessShareLock" in first.locks
    assert not any("orders Row" in one for one in first.locks)
    assert "shop.orders RowExclusiveLock" in second.locks
    assert not any(one.startswith(("pg_catalog.", "pg_toast.")) for one in second.locks)
    assert any("keeps locks" in one and "shop.orders RowExclusiveLock" in one for one in told)


def test_w7_a_command_by_itself_keeps_no_locks(edge: InProcessEdge) -> None:
    with psycopg.connect(edge.dsn, autocommit=True) as caller:
        caller.execute("UPDATE orders SET status = status WHERE id = 112")
    assert edge.control.opened[0].locks == []


def test_w7_policy_bounds_a_hold_inside_a_transaction(edge: InProcessEdge) -> None:
    edge.enter(STARTER_TEXT + SHORT, 2)
    with psycopg.connect(edge.dsn) as caller:
        caller.execute("SELECT 1")
        caller.execute("UPDATE orders SET status = status WHERE id = 113")
        caller.commit()
        caller.autocommit = True
        caller.execute("UPDATE orders SET status = status WHERE id = 113")
    assert [one.hold_seconds for one in edge.control.opened] == [7, 30]
