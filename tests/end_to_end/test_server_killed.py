"""kill -9 of the whole database server, alone and with the Edge: nothing runs twice, and a doubt is called one.

| state when killed | who dies | after all are back |
| --- | --- | --- |
| held | server | withdrawn, nothing applied |
| running | server | failed, nothing applied |
| committing | server | in doubt, then the same; nothing applied |
| committed, nobody told | Edge, then server | in doubt, as ids from before its crash mean nothing; applied once |
| committing | server and Edge | failed, or in doubt once the id was given again; nothing applied |

`tests/end_to_end/test_crashes.py` has the same with the Edge and the control plane.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.edge_agent.net.test_moments_live import until
from tests.end_to_end.conftest import Begin
from tests.end_to_end.test_crashes import SLOW, total, under_way
from tests.support.callers import WaitingCaller
from tests.support.deployment import Deployment
from tests.support.killed import DEFERRED, LASTING, kill_server, start_again
from tests.support.postgres import RealPostgres, running_postgres
from twokeys_cli.postgres import wheel_binaries

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def mortal() -> Iterator[RealPostgres]:
    """A server of these tests' own."""
    with running_postgres(wheel_binaries(), LASTING) as server:
        server.admin(DEFERRED)
        yield server


@pytest.fixture
def own(begin: Begin, tmp_path: Path, mortal: RealPostgres) -> Iterator[Deployment]:
    """A deployment of this test's own before that server."""
    mortal.admin("ALTER TABLE shop.sleepy DISABLE TRIGGER ALL; UPDATE shop.sleepy SET total = 1")
    mortal.admin("ALTER TABLE shop.sleepy ENABLE TRIGGER ALL")
    with begin(tmp_path, mortal, None) as running:
        yield running


def sleepy(postgres: RealPostgres) -> int:
    return int(postgres.admin("SELECT total FROM shop.sleepy"))


def committing(own: Deployment) -> tuple[WaitingCaller, str]:
    """An approved write in its COMMIT."""
    caller = WaitingCaller(own.dsn, "UPDATE shop.sleepy SET total = total + 1 WHERE id = 180")
    request = own.one_pending()
    assert own.vote("rob", request, approve=True).status == 200
    sleeping = "SELECT count(*) FROM pg_stat_activity WHERE query ILIKE '%commit%' AND wait_event = 'PgSleep'"
    until(lambda: own.postgres.admin(sleeping).strip() == "1")
    return caller, str(request["id"])


def serves(own: Deployment) -> bool:
    """Whether a caller is served; what was open before is settled at the start."""
    with psycopg.connect(own.dsn, autocommit=True) as caller:
        return caller.execute("SELECT 1").fetchone() == (1,)


def test_held(own: Deployment) -> None:
    before = total(own.postgres, 41)
    caller = WaitingCaller(own.dsn, SLOW.format(seconds=0, order=41))
    request = own.one_pending()
    kill_server(own.postgres)
    assert isinstance(caller.done().error, psycopg.OperationalError)
    assert own.until(request["id"], "withdrawn") == "withdrawn"
    assert own.vote("rob", request, approve=True).status == 409
    start_again(own.postgres)
    assert total(own.postgres, 41) == before


def test_running(own: Deployment) -> None:
    caller, request_id, before = under_way(own, 42, 10)
    kill_server(own.postgres)
    assert isinstance(caller.done().error, psycopg.OperationalError)
    start_again(own.postgres)
    assert own.until(request_id, "failed", "done", seconds=60) == "failed"
    assert total(own.postgres, 42) == before


def test_committing(own: Deployment) -> None:
    caller, request_id = committing(own)
    kill_server(own.postgres)
    assert isinstance(caller.done().error, psycopg.OperationalError)
    assert own.until(request_id, "in_doubt") == "in_doubt"
    start_again(own.postgres)
    own.edge.kill()
    own.edge.start()
    assert serves(own)
    assert own.state(request_id) in ("in_doubt", "failed")
    assert sleepy(own.postgres) == 1


def test_committed_and_nobody_was_told(own: Deployment) -> None:
    caller, request_id = committing(own)
    own.edge.kill()
    caller.done()
    until(lambda: sleepy(own.postgres) == 2)
    kill_server(own.postgres)
    start_again(own.postgres)
    own.edge.start()
    assert serves(own)
    assert own.until(request_id, "in_doubt", "failed", "done", seconds=60) == "in_doubt"
    assert sleepy(own.postgres) == 2


def test_committing_with_the_edge(own: Deployment) -> None:
    caller, request_id = committing(own)
    own.edge.kill()
    kill_server(own.postgres)
    caller.done()
    start_again(own.postgres)
    own.edge.start()
    assert own.until(request_id, "in_doubt", "failed", "done", seconds=60) != "done"
    assert sleepy(own.postgres) == 1
