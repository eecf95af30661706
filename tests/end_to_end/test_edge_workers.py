"""Several processes behind one port: one Edge to everybody, and a death among them costs its own sessions only."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.end_to_end.conftest import Begin
from tests.end_to_end.test_crashes import total, under_way
from tests.support.callers import WaitingCaller
from tests.support.deployment import Deployment, EdgeSettings
from tests.support.policies import change_policy
from tests.support.postgres import RealPostgres

pytestmark = pytest.mark.slow

SETTINGS = EdgeSettings(workers=2, limits="max_connections = 8\nmax_starting = 4\nmax_open_per_caller = 3")
POLICY = """
@id("small-writes") @rows("3")
permit (principal, action == Action::"requestWrite", resource);
"""
UPDATE = "UPDATE shop.orders SET total = total + 1 WHERE id = {order}"


@pytest.fixture(scope="module")
def pair(begin: Begin, tmp_path_factory: pytest.TempPathFactory, postgres: RealPostgres) -> Iterator[Deployment]:
    """A deployment whose Edge has two workers."""
    with begin(tmp_path_factory.mktemp("pair"), postgres, SETTINGS) as running:
        yield running


def workers(deployment: Deployment) -> dict[int, int]:
    """Process ids of the Edge's workers, by number."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
    found = {}
    for pid, parent, *arguments in (line.split() for line in listed.splitlines()):
        if int(parent) == deployment.edge.pid and "--number" in arguments:
            found[int(arguments[arguments.index("--number") + 1])] = int(pid)
    return found


def gone(pid: int) -> bool:
    """Wait until a process has ended, though nobody may have asked for its exit status."""
    stat, end = Path(f"/proc/{pid}/stat"), time.monotonic() + 10
    while time.monotonic() < end:
        try:
            if stat.read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        select.select([], [], [], 0.02)
    return False


def worker_of(deployment: Deployment, connection: psycopg.Connection[tuple[object, ...]]) -> int:
    """The number of the worker that has this connection's other end, as the system knows it."""
    with socket.socket(fileno=os.dup(connection.fileno())) as line:
        mine = line.getsockname()[1]
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    ends = (f":{deployment.edge_port:04X}", f":{mine:04X}")
    sockets = {f"socket:[{row[9]}]" for row in rows if row[1].endswith(ends[0]) and row[2].endswith(ends[1])}
    for number, pid in workers(deployment).items():
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            if entry.is_symlink() and str(entry.readlink()) in sockets:
                return number
    raise AssertionError("no worker has it")


def connect(deployment: Deployment) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(deployment.dsn, autocommit=True)


def one_in_each(deployment: Deployment) -> tuple[psycopg.Connection[tuple[object, ...]], ...]:
    """A session in the first worker and one in the second, as soon as both are there."""
    found: dict[int, psycopg.Connection[tuple[object, ...]]] = {}
    end = time.monotonic() + 20
    while len(found) < 2:
        assert time.monotonic() < end, found
        try:
            connection = connect(deployment)
        except psycopg.OperationalError:
            select.select([], [], [], 0.05)
            continue
        if found.setdefault(worker_of(deployment, connection), connection) is not connection:
            connection.close()
    return found[1], found[2]


def wait_for_room(deployment: Deployment) -> None:
    """Wait until the Edge knows that those of earlier tests are gone: no session of a caller is at the server."""
    asked = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'twokeys_edge' AND application_name !~ 'catalogue'"
    end = time.monotonic() + 15
    while int(deployment.postgres.admin(asked)):
        assert time.monotonic() < end
        select.select([], [], [], 0.02)
    for connection in one_in_each(deployment):
        connection.close()


def until_count(deployment: Deployment, wanted: int) -> None:
    end = time.monotonic() + 15
    while len(deployment.pending()) != wanted:
        assert time.monotonic() < end, deployment.pending()
        select.select([], [], [], 0.02)


def test_reads_and_approved_writes_run_in_each_worker(pair: Deployment) -> None:
    for connection in one_in_each(pair):
        with connection:
            assert connection.execute("SELECT count(*) > 0 FROM shop.orders").fetchone() == (True,)
    before = [total(pair.postgres, order) for order in (41, 42)]
    callers = [WaitingCaller(pair.dsn, UPDATE.format(order=order)) for order in (41, 42)]
    assert {worker_of(pair, caller.connection) for caller in callers} == {1, 2}
    until_count(pair, 2)
    for request in pair.pending():
        assert pair.vote("rob", request, approve=True).status == 200
    assert [caller.done().rows for caller in callers] == [1, 1]
    assert [total(pair.postgres, order) for order in (41, 42)] == [one + 1 for one in before]


@pytest.mark.parametrize("version", ["3.0", "3.2"])
def test_a_cancel_that_arrives_at_another_worker_finds_the_session(pair: Deployment, version: str) -> None:
    dsn = f"{pair.dsn} max_protocol_version={version}"
    callers = [WaitingCaller(dsn, UPDATE.format(order=order)) for order in (43, 44)]
    assert {worker_of(pair, caller.connection) for caller in callers} == {1, 2}
    until_count(pair, 2)
    ids = [request["id"] for request in pair.pending()]
    for caller in callers:
        # Both are as full as each other, so both cancels go to the first worker.
        caller.connection.cancel_safe()
        assert isinstance(caller.done().error, psycopg.errors.QueryCanceled)
        assert caller.connection.execute("SELECT 1").fetchone() == (1,)
    assert [pair.until(one, "withdrawn") for one in ids] == ["withdrawn"] * 2


def test_w2_a_wrong_key_cancels_nothing_in_any_worker(pair: Deployment) -> None:
    caller = WaitingCaller(pair.dsn, UPDATE.format(order=45))
    request = pair.one_pending()
    key = struct.pack("!iiii", 16, 80877102, caller.connection.info.backend_pid, 1)
    with socket.create_connection(("127.0.0.1", pair.edge_port)) as line:
        line.sendall(key)
        assert line.recv(1) == b""
    assert pair.vote("rob", request, approve=True).status == 200
    assert caller.done().rows == 1


def test_a7_what_a_caller_may_have_held_is_counted_over_all_workers(pair: Deployment) -> None:
    callers = [WaitingCaller(pair.dsn, UPDATE.format(order=order)) for order in (46, 47, 48)]
    until_count(pair, 3)
    fourth = WaitingCaller(pair.dsn, UPDATE.format(order=49)).done()
    assert "too many commands are waiting" in str(fourth.error)
    callers[0].hang_up()
    until_count(pair, 2)
    fifth = WaitingCaller(pair.dsn, UPDATE.format(order=49))
    until_count(pair, 3)
    for caller in (*callers[1:], fifth):
        caller.hang_up()
        caller.done()
    until_count(pair, 0)


def test_connections_are_counted_over_all_workers(pair: Deployment) -> None:
    many: list[psycopg.Connection[tuple[object, ...]]] = []
    with pytest.raises(psycopg.OperationalError, match="too many connections"):
        for _ in range(9):
            many.append(connect(pair))
    assert len(many) <= 8
    assert {worker_of(pair, one) for one in many} == {1, 2}
    for one in many:
        one.close()


def test_an_unknown_user_is_given_the_same_salt_by_every_worker(pair: Deployment) -> None:
    wait_for_room(pair)
    with first_answer(pair, "nobody") as (one, salt), first_answer(pair, "nobody") as (two, again):
        assert salt == again
        assert one.getsockname() != two.getsockname()


@contextmanager
def first_answer(deployment: Deployment, user: str) -> Iterator[tuple[socket.socket, bytes]]:
    """A connection whose SCRAM sign-in has begun, and the salt that it was given (RFC 5802 section 5.1)."""
    with socket.create_connection(("127.0.0.1", deployment.edge_port), timeout=10) as line:
        start = struct.pack("!i", 196608) + b"user\0" + user.encode() + b"\0database\0x\0\0"
        line.sendall(struct.pack("!i", len(start) + 4) + start)
        line.recv(4096)
        first = b"n,,n=,r=rOprNGfwEbeRWgbNEkqO"
        body = b"SCRAM-SHA-256\0" + struct.pack("!i", len(first)) + first
        line.sendall(b"p" + struct.pack("!i", len(body) + 4) + body)
        answer = line.recv(4096)
        yield line, next(part for part in answer[9:].split(b",") if part.startswith(b"s="))


def test_a10_a_worker_killed_during_a_hold_takes_its_own_sessions_only(pair: Deployment) -> None:
    before = total(pair.postgres, 50)
    one, two = one_in_each(pair)
    one.close()
    caller = WaitingCaller(pair.dsn, UPDATE.format(order=50))
    killed = worker_of(pair, caller.connection)
    other = two if killed == 1 else one
    request = pair.one_pending()
    pid = workers(pair)[killed]
    os.kill(pid, signal.SIGKILL)
    assert isinstance(caller.done().error, psycopg.OperationalError)
    assert other.execute("SELECT 1").fetchone() == (1,)
    assert pair.until(request["id"], "withdrawn") == "withdrawn"
    assert total(pair.postgres, 50) == before
    for connection in one_in_each(pair):
        assert connection.execute("SELECT 1").fetchone() == (1,)
        connection.close()
    assert workers(pair)[killed] != pid
    two.close()


def test_a10_a_worker_killed_while_a_write_runs_finds_out_that_it_was_undone(pair: Deployment) -> None:
    for connection in one_in_each(pair):
        connection.close()
    caller, request_id, before = under_way(pair, 51, 3)
    os.kill(workers(pair)[worker_of(pair, caller.connection)], signal.SIGKILL)
    assert isinstance(caller.done().error, psycopg.OperationalError)
    assert pair.until(request_id, "failed", "done", "in_doubt", seconds=60) == "failed"
    assert total(pair.postgres, 51) == before


def test_a10_a_worker_that_takes_no_connection_is_replaced(pair: Deployment) -> None:
    wait_for_room(pair)
    pid = workers(pair)[1]
    os.kill(pid, signal.SIGSTOP)
    with socket.create_connection(("127.0.0.1", pair.edge_port)), connect(pair) as other:
        assert worker_of(pair, other) == 2
        end = time.monotonic() + 30
        while workers(pair).get(1) == pid:
            assert time.monotonic() < end
            select.select([], [], [], 1)
            with connect(pair) as another:
                assert worker_of(pair, another) == 2
    for connection in one_in_each(pair):
        connection.close()


def test_a10_workers_end_with_their_supervisor_and_a_new_one_takes_over(pair: Deployment) -> None:
    before = total(pair.postgres, 52)
    caller = WaitingCaller(pair.dsn, UPDATE.format(order=52))
    request = pair.one_pending()
    children = workers(pair)
    pair.edge.kill()
    pair.edge.start()
    assert isinstance(caller.done().error, psycopg.OperationalError)
    assert pair.until(request["id"], "withdrawn") == "withdrawn"
    assert all(gone(pid) for pid in children.values())
    assert total(pair.postgres, 52) == before


def test_a7_a_budget_of_rows_is_one_for_all_workers(pair: Deployment) -> None:
    change_policy(pair, lambda text: text + POLICY)
    until_each_knows(pair)
    one, two = one_in_each(pair)
    with one, two:
        assert one.execute("UPDATE shop.orders SET total = 1 WHERE id IN (61, 62)").rowcount == 2
        assert two.execute("UPDATE shop.orders SET total = 1 WHERE id = 63").rowcount == 1
    fourth = WaitingCaller(pair.dsn, UPDATE.format(order=64))
    assert "small-writes" in pair.one_pending()["policies"]
    fourth.hang_up()
    fourth.done()
    until_count(pair, 0)


def until_each_knows(deployment: Deployment) -> None:
    """Wait until supervisor and workers have the newest Bundle."""
    end = time.monotonic() + 20
    while True:
        lines = [line for line in deployment.edge.log.read_text().splitlines() if '"event": "bundle"' in line]
        told = [json.loads(line) for line in lines]
        newest = max(line["revision"] for line in told)
        if {line.get("worker") for line in told if line["revision"] == newest} == {None, 1, 2}:
            return
        assert time.monotonic() < end, lines
        select.select([], [], [], 0.05)


def test_at_last_all_chains_verify_and_a_single_process_hands_over_what_is_left(pair: Deployment) -> None:
    one, two = one_in_each(pair)
    children = workers(pair)
    assert pair.edge.stop() == 0
    for connection in (one, two):
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
        connection.close()
    assert all(gone(pid) for pid in children.values())
    config = pair.folder / "edge.toml"
    config.write_text(config.read_text().replace("workers = 2", "workers = 1"))
    pair.edge.start()
    assert workers(pair) == {}
    until_sealed(pair.folder / "edge")
    if not hasattr(pair, "recordings") or not pair.recordings().exists():
        return
    command = [sys.executable, "-m", "twokeys_cli.main", "audit", "verify", "--folder", str(pair.recordings())]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(source in done.stdout for source in ("edge-1.w1", "edge-1.w2")), done.stdout


def until_sealed(state: Path) -> None:
    """Wait until no worker's Segment is here alone."""
    end = time.monotonic() + 30
    while left := [path.name for path in state.glob("journal.w*/*.journal*")]:
        assert time.monotonic() < end, left
        select.select([], [], [], 0.05)
