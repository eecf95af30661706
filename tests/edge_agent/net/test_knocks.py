"""Whoever knocks can't fill the journal."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from edge_agent.config import LimitsSection
from edge_agent.net.knocks import MAX_KINDS, REFILL_SECONDS, Knocks
from tests.edge_agent.net.edge_in_process import InProcessEdge, edge_in_process
from tests.support.postgres import RealPostgres


class Clock:
    """Monotonic seconds that the test moves."""

    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at


def test_what_is_left_out_is_counted_and_told_with_the_next() -> None:
    clock = Clock()
    knocks = Knocks(2, clock)
    assert [knocks.take("proof") for _ in range(5)] == [0, 0, None, None, None]
    assert knocks.take("user") == 0
    clock.at += REFILL_SECONDS
    assert [knocks.take("proof"), knocks.take("proof")] == [3, None]
    clock.at += 100 * REFILL_SECONDS
    assert [knocks.take("proof") for _ in range(3)] == [1, 0, None]


def test_kinds_without_end_share_one_allowance() -> None:
    knocks = Knocks(1, Clock())
    taken = [knocks.take(f"kind {at}") for at in range(10 * MAX_KINDS)]
    assert taken.count(0) == MAX_KINDS + 1


def records(edge: InProcessEdge, folder: Path) -> list[bytes]:
    """Failed sign-ins in the journal so far."""
    lines = [line for path in (folder / "journal").glob("*journal*") for line in path.read_bytes().splitlines()]
    return [line for line in lines if b'"sign_in_failed"' in line]


def test_a_storm_of_wrong_passwords_leaves_few_records(tmp_path: Path, postgres: RealPostgres) -> None:
    with edge_in_process(tmp_path, postgres, limits=LimitsSection(max_failed_sign_ins=3)) as edge:
        wrong = edge.dsn.replace("password=", "password=x")
        for _ in range(12):
            with pytest.raises(psycopg.OperationalError):
                psycopg.connect(wrong)
        with psycopg.connect(edge.dsn) as caller:
            assert caller.execute("SELECT 1").fetchone() == (1,)
        assert 3 <= len(records(edge, tmp_path)) <= 4


def test_connections_turned_away_leave_few_records(tmp_path: Path, postgres: RealPostgres) -> None:
    limits = LimitsSection(max_connections=1, max_starting=1, max_failed_sign_ins=2)
    with edge_in_process(tmp_path, postgres, limits=limits) as edge, psycopg.connect(edge.dsn):
        for _ in range(10):
            with pytest.raises(psycopg.OperationalError, match="too many connections"):
                psycopg.connect(edge.dsn)
        found = records(edge, tmp_path)
        assert 2 <= len(found) <= 3 and all(b"too_many_connections, from 127.0.0.1" in line for line in found)
