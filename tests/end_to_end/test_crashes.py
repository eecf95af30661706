"""kill -9 of each process while a write is on its way: never twice, never unknown without being said."""

from __future__ import annotations

import select
import time

import psycopg
import pytest

from tests.support.callers import WaitingCaller
from tests.support.deployment import Deployment
from tests.support.postgres import RealPostgres

pytestmark = pytest.mark.slow

SLOW = "UPDATE shop.orders SET total = total + 1 FROM (SELECT pg_sleep({seconds})) AS pause WHERE id = {order}"
"""A write that is under way for a while; adding one tells how often it ran."""


def total(postgres: RealPostgres, order: int) -> float:
    return float(postgres.admin(f"SELECT total FROM shop.orders WHERE id = {order}"))


def until_total(postgres: RealPostgres, order: int, wanted: float) -> None:
    end = time.monotonic() + 15
    while total(postgres, order) != wanted:
        assert time.monotonic() < end, total(postgres, order)
        select.select([], [], [], 0.05)


def under_way(own: Deployment, order: int, seconds: float) -> tuple[WaitingCaller, str, float]:
    """A write that was approved and spent, and runs at the server now."""
    before = total(own.postgres, order)
    caller = WaitingCaller(own.dsn, SLOW.format(seconds=seconds, order=order))
    request = own.one_pending()
    assert own.vote("rob", request, approve=True).status == 200
    # The server says so, not the control plane: that it was spent is known there before the Edge has the Approval.
    at_the_server = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep(%AS pause%'"
    end = time.monotonic() + 15
    while int(own.postgres.admin(f"{at_the_server} AND pid != pg_backend_pid()")) == 0:
        assert time.monotonic() < end, "the write does not run"
        select.select([], [], [], 0.02)
    return caller, str(request["id"]), before


def test_an_edge_killed_while_the_write_runs_finds_out_that_it_was_undone(own: Deployment) -> None:
    caller, request_id, before = under_way(own, 31, 3)
    own.edge.kill()
    assert isinstance(caller.done().error, psycopg.OperationalError)
    own.edge.start()
    assert own.until(request_id, "failed", "done", seconds=60) == "failed"
    assert total(own.postgres, 31) == before


def test_an_edge_killed_after_the_commit_finds_out_that_it_was_done(own: Deployment) -> None:
    caller, request_id, before = under_way(own, 32, 1)
    own.control.kill()
    until_total(own.postgres, 32, before + 1)
    own.edge.kill()
    caller.done()
    own.control.start()
    assert own.state(request_id) in ("spending", "in_doubt")
    own.edge.start()
    assert own.until(request_id, "done", "failed", seconds=60) == "done"
    assert total(own.postgres, 32) == before + 1


def test_a_control_plane_killed_while_the_write_runs_is_told_later(own: Deployment) -> None:
    caller, request_id, before = under_way(own, 33, 1)
    own.control.kill()
    assert caller.done().rows == 1
    own.control.start()
    assert own.until(request_id, "done", seconds=60) == "done"
    assert total(own.postgres, 33) == before + 1


def test_both_killed_while_a_write_is_held_forward_nothing(own: Deployment) -> None:
    before = total(own.postgres, 34)
    caller = WaitingCaller(own.dsn, SLOW.format(seconds=0, order=34))
    request = own.one_pending()
    own.control.kill()
    own.edge.kill()
    caller.done()
    own.control.start()
    assert own.vote("rob", request, approve=True).status == 200
    own.edge.start()
    assert own.until(request["id"], "withdrawn", "lapsed") in ("withdrawn", "lapsed")
    assert total(own.postgres, 34) == before


def test_a_database_that_dies_while_a_write_is_held_denies_it(own: Deployment) -> None:
    before = total(own.postgres, 35)
    caller = WaitingCaller(own.dsn, SLOW.format(seconds=0, order=35))
    request = own.one_pending()
    own.postgres.admin("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'twokeys_edge'")
    assert isinstance(caller.done().error, psycopg.OperationalError)
    assert own.until(request["id"], "withdrawn") == "withdrawn"
    assert total(own.postgres, 35) == before


def test_a_second_vote_after_the_decision_changes_nothing(own: Deployment) -> None:
    before = total(own.postgres, 36)
    caller = WaitingCaller(own.dsn, SLOW.format(seconds=0, order=36))
    request = own.one_pending()
    assert own.vote("rob", request, approve=True).status == 200
    assert own.vote("rob", request, approve=False, reason="too late").status == 409
    assert caller.done().rows == 1
    assert total(own.postgres, 36) == before + 1


def test_an_edge_killed_while_a_write_is_held_forwards_nothing(own: Deployment) -> None:
    before = total(own.postgres, 37)
    caller = WaitingCaller(own.dsn, SLOW.format(seconds=0, order=37))
    request = own.one_pending()
    own.edge.kill()
    assert isinstance(caller.done().error, psycopg.OperationalError)
    own.vote("rob", request, approve=True)
    own.edge.start()
    assert own.until(request["id"], "withdrawn", "lapsed") in ("withdrawn", "lapsed")
    assert total(own.postgres, 37) == before


def test_a_control_plane_killed_while_a_write_is_held_comes_back_and_it_runs_once(own: Deployment) -> None:
    before = total(own.postgres, 38)
    caller = WaitingCaller(own.dsn, SLOW.format(seconds=0, order=38))
    request = own.one_pending()
    assert caller.told.wait(20)
    own.control.kill()
    own.control.start()
    assert own.vote("rob", request, approve=True).status == 200
    assert caller.done(60).rows == 1
    assert own.until(request["id"], "done") == "done"
    assert total(own.postgres, 38) == before + 1


def test_a_database_that_dies_while_the_write_runs_undid_it(own: Deployment) -> None:
    caller, request_id, before = under_way(own, 39, 10)
    own.postgres.admin("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'twokeys_edge'")
    assert isinstance(caller.done().error, psycopg.OperationalError)
    assert own.until(request_id, "failed", "in_doubt") in ("failed", "in_doubt")
    assert total(own.postgres, 39) == before
