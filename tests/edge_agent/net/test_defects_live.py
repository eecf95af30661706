"""A defect of ours, wherever it shows: the session ends closed, nothing is forwarded after it, and others go on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from edge_agent.net.postgres_relay import Relay
from edge_agent.protocols.postgres.session import Session
from edge_agent.session_records import SessionRecords
from tests.edge_agent.net.edge_in_process import InProcessEdge, edge_in_process
from tests.edge_agent.net.test_attacks_live import RawCaller, message, states
from tests.edge_agent.net.test_moments_live import until
from tests.support.callers import WaitingCaller
from tests.support.postgres import RealPostgres

WRITE = "UPDATE orders SET total = 77 WHERE id = 172"
SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'twokeys_edge' AND application_name = 'defective'"


@pytest.fixture
def edge(tmp_path: Path, postgres: RealPostgres) -> Iterator[InProcessEdge]:
    postgres.admin("UPDATE shop.orders SET total = 1 WHERE id = 172")
    with edge_in_process(tmp_path, postgres) as running:
        # What is told of the defect is not what is tested.
        running.loop.call_soon_threadsafe(running.loop.set_exception_handler, lambda loop, context: None)
        yield running


def breaking(monkeypatch: pytest.MonkeyPatch, where: type, name: str, *, after: bool = False, times: int = 1) -> None:
    """The next calls end in a defect, before or after what they do."""
    whole, left = getattr(where, name), [times]

    def broken(self: Any, *args: Any, **kwargs: Any) -> Any:
        if left[0]:
            left[0] -= 1
            if after:
                whole(self, *args, **kwargs)
            raise ZeroDivisionError
        return whole(self, *args, **kwargs)

    monkeypatch.setattr(where, name, broken)


def is_over(edge: InProcessEdge) -> None:
    until(lambda: edge.postgres.admin(SESSIONS).strip() == "0")
    assert edge.postgres.admin("SELECT total FROM shop.orders WHERE id = 172").strip() in ("1", "1.00")
    with psycopg.connect(edge.dsn, autocommit=True) as other:
        assert other.execute("SELECT 1").fetchone() == (1,)


READ = "DECLARE a CURSOR FOR SELECT 1"


@pytest.mark.parametrize(
    ("where", "name", "after", "text"),
    [
        (Session, "client_bytes", False, WRITE),
        (Session, "client_bytes", True, WRITE),
        (Session, "client_bytes", True, READ),
        (Session, "server_bytes", False, WRITE),
        (Session, "server_bytes", True, READ),
        (SessionRecords, "command", False, READ),
        (Relay, "_act", False, WRITE),
    ],
)
def test_a_defect_ends_the_session_and_forwards_nothing(
    edge: InProcessEdge, monkeypatch: pytest.MonkeyPatch, where: type, name: str, after: bool, text: str
) -> None:
    edge.control.verdict = "denied"
    raw = RawCaller(f"{edge.dsn} application_name=defective")
    raw.send(message(b"Q", b"BEGIN\0"))
    raw.until(b"Z")
    breaking(monkeypatch, where, name, after=after)
    raw.send(message(b"Q", text.encode() + b"\0"))
    found = raw.until(b"")
    assert states(found)[-1:] == ["57P01"]
    raw.close()
    is_over(edge)


def test_a_session_that_cannot_even_be_ended_is_closed(edge: InProcessEdge, monkeypatch: pytest.MonkeyPatch) -> None:
    edge.control.verdict = "pending"
    caller = WaitingCaller(f"{edge.dsn} application_name=defective", WRITE)
    assert edge.control.arrived.wait(15)
    breaking(monkeypatch, Session, "end")
    breaking(monkeypatch, Session, "client_gone")
    caller.hang_up()
    assert edge.control.gone.wait(15)
    is_over(edge)
    assert edge.control.reports == []
