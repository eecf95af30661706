"""The real process: it says when it is ready, ends cleanly, and goes on after a kill where it was."""

from __future__ import annotations

import http.client
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from control_plane.chalicelib.adapters.embedded.clock import SystemClock
from control_plane.chalicelib.adapters.embedded.deployment import Deployment
from control_plane.chalicelib.services.notes import about
from tests.control_plane.ports.backend import asked
from tests.control_plane.world import World
from twokeys.record import RecordType
from twokeys.request import State

REAL = SystemClock()


@contextmanager
def serving(folder: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The process, and its port."""
    command = [sys.executable, "-m", "control_plane.embedded", "serve", "--state", str(folder), "--port", "0"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout is not None
    try:
        ready, _, _ = select.select([child.stdout], [], [], 30)
        assert ready, "it did not start"
        said = child.stdout.readline()
        assert said.startswith("listening on http://127.0.0.1:"), said
        yield child, int(said.rsplit(":", 1)[1])
    finally:
        if child.poll() is None:
            child.kill()
        child.wait(10)
        for stream in (child.stdout, child.stderr):
            if stream is not None:
                stream.close()


def state_of(folder: Path, request_id: str) -> State:
    deployment = Deployment(folder)
    try:
        stored = deployment.store.ports.requests.find(request_id)
        assert stored is not None
        return stored.state
    finally:
        deployment.site.close()
        deployment.store.close()


def pending(world: World, milliseconds: int) -> str:
    """A Request that expires by the real clock."""
    world.clock.at = REAL.now()
    what = asked()
    world.ports.requests.open(what, milliseconds, 10_000, about(RecordType.OPEN, what))
    return what.id


def test_sigterm_ends_it_cleanly_and_all_is_sealed(a_world: World) -> None:
    opened = pending(a_world, 600_000)
    with serving(a_world.folder) as (child, port):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/healthz")
        assert connection.getresponse().status == 200
        connection.close()
        child.send_signal(signal.SIGTERM)
        assert child.wait(15) == 0
        assert child.stderr is not None
        assert "Traceback" not in child.stderr.read()
    assert state_of(a_world.folder, opened) is State.PENDING
    a_world.reopen()
    assert a_world.services.own_segments.export() == 0


def test_a10_what_was_due_while_nobody_ran_expires_at_start_and_a_killed_process_goes_on(a_world: World) -> None:
    overdue, soon = pending(a_world, 1), pending(a_world, 4_000)
    with serving(a_world.folder) as (child, _):
        until(a_world, overdue, State.EXPIRED, 5)
        child.kill()
        child.wait(10)
    assert state_of(a_world.folder, soon) is State.PENDING
    with serving(a_world.folder):
        until(a_world, soon, State.EXPIRED, 8)


def until(world: World, request_id: str, state: State, seconds: float) -> None:
    end = time.monotonic() + seconds
    while world.stored(request_id).state is not state:
        assert time.monotonic() < end, world.stored(request_id).state
        select.select([], [], [], 0.02)


@pytest.mark.slow
def test_5000_pending_requests_take_less_than_300_mb(a_world: World) -> None:
    for _ in range(5_000):
        pending(a_world, 3_600_000)
    with serving(a_world.folder) as (child, port):
        for _ in range(30):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            connection.request("GET", "/healthz")
            connection.getresponse().read()
            connection.close()
        status = Path(f"/proc/{child.pid}/status").read_text()
        peak = next(int(one.split()[1]) for one in status.splitlines() if one.startswith("VmHWM"))
        assert peak < 300 * 1024, f"{peak} kB"
