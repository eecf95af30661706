"""A caller that cancels or hangs up at each moment of a hold: what runs is what is reported, and nothing runs twice."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from edge_agent.net.postgres_catalogue import APPLICATION_NAME
from tests.edge_agent.net.edge_in_process import InProcessEdge, edge_in_process
from tests.edge_agent.net.test_attacks_live import SYNC, RawCaller, bind, execute, message, parse, reset, states, value
from tests.support.callers import WaitingCaller
from tests.support.postgres import RealPostgres

UPDATE = "UPDATE orders SET total = 2 WHERE id = 180"
SLOW = "UPDATE orders SET total = 2 WHERE CASE WHEN id = 180 THEN pg_sleep(1.5) IS NOT NULL END"
BEFORE = ["open", "opened", "pending", "spend", "spent"]
"""Moments at which nothing is forwarded yet."""


@pytest.fixture
def edge(tmp_path: Path, any_postgres: RealPostgres) -> Iterator[InProcessEdge]:
    with edge_in_process(tmp_path, any_postgres) as running:
        reset(running, 180)
        yield running
        running.control.go.set()


def reach(edge: InProcessEdge, moment: str) -> Callable[[], None]:
    """Prepare to stop at a moment; returns what waits until it is reached."""
    control = edge.control
    if moment == "pending":
        control.verdict = "pending"
        return lambda: until(control.arrived.is_set)
    if moment == "forwarded":
        running = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep%' AND wait_event = 'PgSleep'"
        return lambda: until(lambda: edge.postgres.admin(running).strip() == "1")
    control.stop_at = moment
    return lambda: until(control.stopped.is_set)


def until(done: Callable[[], bool]) -> None:
    """Wait for something that others do."""
    end = time.monotonic() + 15
    while not done():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.01)


def settled(edge: InProcessEdge) -> None:
    """Whatever waited goes on, and its end is known."""
    control = edge.control
    control.stop_at, control.verdict = "", "approved"
    control.go.set()
    until(lambda: bool(control.withdrawn or control.reports))


@pytest.mark.parametrize("moment", [*BEFORE, "forwarded"])
def test_w2_a_cancel_at_any_moment_stops_the_write_and_keeps_the_session(edge: InProcessEdge, moment: str) -> None:
    wait = reach(edge, moment)
    caller = WaitingCaller(edge.dsn, SLOW if moment == "forwarded" else UPDATE)
    wait()
    caller.connection.cancel_safe()
    caller.done()
    assert isinstance(caller.error, psycopg.errors.QueryCanceled), caller.error
    settled(edge)
    assert value(edge, 180) == 1
    assert [report.outcome for report in edge.control.reports] in ([], ["failed"])
    assert caller.connection.execute(UPDATE).rowcount == 1
    assert value(edge, 180) == 2


@pytest.mark.parametrize("moment", [*BEFORE, "forwarded"])
def test_w2_a_cancel_inside_a_transaction_fails_it_and_nothing_stays(edge: InProcessEdge, moment: str) -> None:
    wait = reach(edge, moment)
    raw = RawCaller(edge.dsn)
    for text in ("BEGIN", SLOW if moment == "forwarded" else UPDATE):
        raw.send(message(b"Q", text.encode() + b"\0"))
        if text == "BEGIN":
            raw.until(b"Z")
    wait()
    raw.connection.cancel_safe()
    found = raw.until(b"Z")
    assert states(found) == ["57014"] and found[-1] == (b"Z", b"E")
    raw.send(message(b"Q", b"COMMIT\0"))
    raw.until(b"Z")
    settled(edge)
    assert value(edge, 180) == 1
    raw.close()


@pytest.mark.parametrize("moment", BEFORE)
@pytest.mark.parametrize("extended", [False, True])
def test_w3_nothing_is_run_for_a_caller_that_hung_up(edge: InProcessEdge, moment: str, extended: bool) -> None:
    wait = reach(edge, moment)
    raw = RawCaller(edge.dsn)
    if extended:
        raw.send(parse(UPDATE), bind(), execute(), SYNC)
    else:
        raw.send(message(b"Q", UPDATE.encode() + b"\0"))
    wait()
    raw.close()
    settled(edge)
    until(lambda: not sessions(edge))
    assert value(edge, 180) == 1
    assert [report.outcome for report in edge.control.reports] in ([], ["failed"])


@pytest.mark.parametrize("extended", [False, True])
def test_a10_what_was_forwarded_before_a_hang_up_is_reported_as_it_ended(edge: InProcessEdge, extended: bool) -> None:
    wait = reach(edge, "forwarded")
    raw = RawCaller(edge.dsn)
    if extended:
        raw.send(parse(SLOW), bind(), execute(), SYNC)
    else:
        raw.send(message(b"Q", SLOW.encode() + b"\0"))
    wait()
    raw.close()
    until(lambda: bool(edge.control.reports))
    until(lambda: not sessions(edge))
    (report,) = edge.control.reports
    assert report.outcome in ("done", "failed")
    assert value(edge, 180) == (2 if report.outcome == "done" else 1)


def sessions(edge: InProcessEdge) -> int:
    """Connections of the Edge at the server, but for the one that it asks about the catalogue."""
    others = f"usename = '{edge.postgres.user}' AND application_name <> '{APPLICATION_NAME}'"
    return int(edge.postgres.admin(f"SELECT count(*) FROM pg_stat_activity WHERE {others}"))
