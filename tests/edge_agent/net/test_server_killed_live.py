"""kill -9 of the whole database server at each state of a held write: nothing is applied, and what was said is true.

| state | the caller | the control plane is told |
| --- | --- | --- |
| being asked, asked, held, deciding | loses its session | withdrawn |
| approved, not yet forwarded | loses its session | failed: nothing was forwarded |
| running | loses its session | failed or in doubt, by the transaction's id |
| committing | loses its session | in doubt, with the id by which it is settled later |

After its restart the server has no trace of the write, and the same caller's next write runs once.
`tests/end_to_end/test_server_killed.py` has how a doubt is settled.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.edge_agent.net.edge_in_process import InProcessEdge, edge_in_process
from tests.edge_agent.net.test_attacks_live import reset, value
from tests.edge_agent.net.test_moments_live import SLOW, UPDATE, reach, settled, until
from tests.support.callers import WaitingCaller
from tests.support.killed import DEFERRED, LASTING, kill_server, start_again
from tests.support.postgres import RealPostgres, running_postgres
from twokeys_cli.postgres import wheel_binaries

STATES = ["open", "opened", "pending", "spend", "spent", "forwarded", "committing"]


@pytest.fixture(scope="module")
def mortal() -> Iterator[RealPostgres]:
    """A server of these tests' own."""
    with running_postgres(wheel_binaries(), LASTING) as server:
        server.admin(DEFERRED)
        yield server


@pytest.fixture
def edge(tmp_path: Path, mortal: RealPostgres) -> Iterator[InProcessEdge]:
    with edge_in_process(tmp_path, mortal) as running:
        reset(running, 180)
        yield running
        running.control.go.set()


@pytest.mark.parametrize("state", STATES)
def test_a10_a_server_killed_at_any_state_applies_nothing_and_the_next_write_runs_once(
    edge: InProcessEdge, mortal: RealPostgres, state: str
) -> None:
    slow = state in ("forwarded", "committing")
    wait = reach(edge, "forwarded" if slow else state)
    sql = {"forwarded": SLOW, "committing": "UPDATE shop.sleepy SET total = 2 WHERE id = 180"}.get(state, UPDATE)
    caller = WaitingCaller(edge.dsn, sql)
    wait() if state != "committing" else until(lambda: committing(mortal))
    kill_server(mortal)
    settled(edge)
    assert isinstance(caller.done().error, psycopg.OperationalError), caller.error
    outcomes = [report.outcome for report in edge.control.reports]
    if state == "committing":
        assert outcomes == ["in_doubt"] and edge.control.reports[0].xid
    elif state == "forwarded":
        assert outcomes in (["failed"], ["in_doubt"])
    else:
        assert outcomes in ([], ["failed"])
    start_again(mortal)
    assert value(edge, 180) == 1
    assert mortal.admin("SELECT total FROM shop.sleepy").strip() == "1"
    with psycopg.connect(edge.dsn, autocommit=True) as again:
        assert again.execute(UPDATE).rowcount == 1
    assert value(edge, 180) == 2


def committing(server: RealPostgres) -> bool:
    """Whether the deferred trigger runs, and so the COMMIT."""
    found = server.admin(
        "SELECT count(*) FROM pg_stat_activity WHERE query ILIKE '%commit%' AND wait_event = 'PgSleep'"
    )
    return found.strip() == "1"
