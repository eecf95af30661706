"""The whole of it, with real processes: a read passes, writes wait for somebody else, and the evidence says so."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psycopg
import pytest

from tests.end_to_end.conftest import Begin
from tests.support.callers import WaitingCaller
from tests.support.deployment import Deployment, EdgeSettings
from tests.support.postgres import RealPostgres

pytestmark = pytest.mark.slow


def status_of(postgres: RealPostgres, order: int) -> str:
    return postgres.admin(f"SELECT status FROM shop.orders WHERE id = {order}").strip()


def test_a_read_passes_at_once(whole: Deployment) -> None:
    with psycopg.connect(whole.dsn) as caller:
        assert caller.execute("SELECT count(*) FROM shop.orders").fetchone() == (200,)
    assert whole.pending() == []


def test_a_held_update_is_approved_by_somebody_else_and_applied(whole: Deployment) -> None:
    whole.postgres.admin("UPDATE shop.orders SET status = 'open' WHERE id = 11")
    caller = WaitingCaller(whole.dsn, "UPDATE shop.orders SET status = %s WHERE id = 11", ("shipped",))
    request = whole.one_pending()
    assert status_of(whole.postgres, 11) == "open"
    assert whole.vote("rob", request, approve=True).status == 200
    assert caller.done().rows == 1
    assert status_of(whole.postgres, 11) == "shipped"
    assert whole.until(request["id"], "done") == "done"
    assert any("held for approval" in notice for notice in caller.notices)


def test_a_denied_caller_is_told_why_and_keeps_its_session(whole: Deployment) -> None:
    caller = WaitingCaller(whole.dsn, "DELETE FROM shop.orders WHERE id = 12")
    request = whole.one_pending()
    assert whole.vote("rob", request, approve=False, reason="not on a Friday").status == 200
    assert caller.done().error is not None
    assert "not on a Friday" in str(caller.error)
    assert caller.connection.execute("SELECT count(*) FROM shop.orders WHERE id = 12").fetchone() == (1,)


@pytest.mark.parametrize("person", ["ann"])
def test_a6_the_sponsor_may_not_approve(whole: Deployment, person: str) -> None:
    caller = WaitingCaller(whole.dsn, "UPDATE shop.orders SET status = 'cancelled' WHERE id = 13")
    request = whole.one_pending()
    assert whole.vote(person, request, approve=True).status in (403, 409)
    assert whole.state(request["id"]) == "pending"
    whole.vote("rob", request, approve=False, reason="a test")
    caller.done()


def test_a_hang_up_withdraws(whole: Deployment) -> None:
    caller = WaitingCaller(whole.dsn, "UPDATE shop.orders SET status = 'cancelled' WHERE id = 14")
    request = whole.one_pending()
    caller.hang_up()
    assert whole.until(request["id"], "withdrawn") == "withdrawn"
    assert whole.vote("rob", request, approve=True).status == 409


def test_a_cancel_withdraws_and_leaves_the_session_usable(whole: Deployment) -> None:
    caller = WaitingCaller(whole.dsn, "UPDATE shop.orders SET status = 'cancelled' WHERE id = 15")
    request = whole.one_pending()
    caller.connection.cancel_safe()
    assert isinstance(caller.done().error, psycopg.errors.QueryCanceled)
    assert whole.until(request["id"], "withdrawn") == "withdrawn"
    assert caller.connection.execute("SELECT 1").fetchone() == (1,)


def test_inside_a_transaction_reads_pass_and_the_write_waits(whole: Deployment) -> None:
    whole.postgres.admin("UPDATE shop.orders SET status = 'open' WHERE id = 16")
    with psycopg.connect(whole.dsn) as caller:
        assert caller.execute("SELECT status FROM shop.orders WHERE id = 16").fetchone()
        done = threading.Thread(
            target=lambda: caller.execute("UPDATE shop.orders SET status = 'cancelled' WHERE id = 16")
        )
        done.start()
        request = whole.one_pending()
        assert request["in_transaction"]
        whole.vote("rob", request, approve=True)
        done.join(20)
        assert status_of(whole.postgres, 16) != "cancelled"
        caller.commit()
    assert status_of(whole.postgres, 16) == "cancelled"
    assert whole.until(request["id"], "done") == "done"


def test_nobody_answers_and_it_expires(begin: Begin, tmp_path: Path, postgres: RealPostgres) -> None:
    with begin(tmp_path, postgres, EdgeSettings(hold_seconds=4)) as whole:
        caller = WaitingCaller(whole.dsn, "UPDATE shop.orders SET status = 'cancelled' WHERE id = 17")
        request = whole.one_pending()
        assert "nobody approved in time" in str(caller.done().error)
        assert whole.until(request["id"], "expired") == "expired"
        assert whole.vote("rob", request, approve=True).status == 409
        assert status_of(postgres, 17) != "cancelled"


def test_a10_a_dead_control_plane_denies_writes_at_once_and_lets_reads_pass(own: Deployment) -> None:
    own.control.kill()
    caller = WaitingCaller(own.dsn, "UPDATE shop.orders SET status = 'cancelled' WHERE id = 18")
    assert caller.done(10).error is not None
    assert caller.connection.execute("SELECT 1").fetchone() == (1,)
    assert status_of(own.postgres, 18) != "cancelled"
    own.control.start()


def test_a_control_plane_killed_while_a_write_is_held_loses_nothing(own: Deployment) -> None:
    caller = WaitingCaller(own.dsn, "UPDATE shop.orders SET status = 'shipped' WHERE id = 19")
    request = own.one_pending()
    # The Edge knows that it is held: a control plane that dies before it has answered is another story.
    assert caller.told.wait(20)
    own.control.kill()
    own.control.start()
    assert own.state(request["id"]) == "pending"
    assert own.vote("rob", request, approve=True).status == 200
    assert caller.done(30).rows == 1
    assert status_of(own.postgres, 19) == "shipped"


def test_an_edge_killed_while_a_write_is_held_withdraws_it_after_its_restart(own: Deployment) -> None:
    caller = WaitingCaller(own.dsn, "UPDATE shop.orders SET status = 'shipped' WHERE id = 20")
    request = own.one_pending()
    own.edge.stop(signal.SIGKILL)
    assert isinstance(caller.done().error, psycopg.OperationalError)
    own.edge.start()
    assert own.until(request["id"], "withdrawn") == "withdrawn"
    assert status_of(own.postgres, 20) != "shipped"


def test_the_auditor_sees_it_and_the_evidence_is_whole_until_a_byte_is_changed(own: Deployment) -> None:
    caller = WaitingCaller(own.dsn, "UPDATE shop.orders SET status = 'paid' WHERE id = 21")
    request = own.one_pending()
    own.vote("rob", request, approve=True)
    assert caller.done().rows == 1
    own.until(request["id"], "done")
    own.edge.stop()
    own.edge.start()
    found = until_recorded(own, request["id"])
    recordings = own.recordings()
    assert {"hold", "forward", "result"} <= found
    assert twokeys("audit", "verify", "--folder", str(recordings)).returncode == 0
    victim = next(iter(sorted(recordings.glob("lines/dt=*/edge-1-*"))))
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    victim.chmod(0o600)
    victim.write_bytes(data)
    broken = twokeys("audit", "verify", "--folder", str(recordings))
    assert broken.returncode == 1
    assert "edge-1" in broken.stdout + broken.stderr


def until_recorded(own: Deployment, request_id: str) -> set[str]:
    """Wait until the result of a Request is in sealed segments; the types of its records."""
    import select
    import time

    end = time.monotonic() + 20
    while True:
        done = twokeys(
            "audit",
            "query",
            "--folder",
            str(own.recordings()),
            "--format",
            "json",
            f"SELECT type FROM records WHERE request = '{request_id}' AND source = 'edge-1'",
        )
        types = {row["type"] for row in json.loads(done.stdout or "[]")} if done.returncode == 0 else set()
        if "result" in types:
            return types
        assert time.monotonic() < end, done.stdout + done.stderr
        select.select([], [], [], 0.2)


def twokeys(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command, as a user runs it."""
    return subprocess.run(
        [sys.executable, "-m", "twokeys_cli.main", *arguments], capture_output=True, text=True, timeout=60, check=False
    )
