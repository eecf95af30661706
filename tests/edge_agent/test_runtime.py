"""The Edge as a process of its own: enrolled, run and stopped by its command line, before a real PostgreSQL."""

from __future__ import annotations

import asyncio
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.edge_agent.control.fake_control import TOKEN, FakeControl, bundle, serving, signed
from tests.support.postgres import RealPostgres
from twokeys.bundle import CallerEntry, Verifier
from twokeys.verifier import mint_verifier

PASSWORD = "sample-caller-credential-0123456789"


@pytest.fixture
def fake() -> Iterator[FakeControl]:
    """A control plane on a socket, in a thread."""
    control = FakeControl(time=int(time.time() * 1000))
    up, loop, done = threading.Event(), asyncio.new_event_loop(), asyncio.Event()

    async def serve() -> None:
        async with serving(control):
            up.set()
            await done.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    assert up.wait(10)
    yield control
    loop.call_soon_threadsafe(done.set)
    thread.join(10)
    loop.close()


def offer(fake: FakeControl, revision: int, *, callers: bool = True) -> None:
    """Put a Bundle out that knows agent-7, or nobody."""
    now = fake.time // 1000
    entry = CallerEntry(id="agent-7", kind="machine", sponsor="ann", groups=[])
    verifier = Verifier(caller="agent-7", target="db", verifier=mint_verifier(PASSWORD, b"0123456789abcdef").to_text())
    fake.bundle = signed(
        bundle(
            revision=revision,
            issued_at=now,
            not_after=now + 600,
            callers=[entry] if callers else [],
            verifiers=[verifier] if callers else [],
        )
    )


def configured(folder: Path, fake: FakeControl, postgres: RealPostgres) -> Path:
    path = folder / "edge.toml"
    path.write_text(
        f"""
[edge]
state_dir = "state"
[control]
url = "{fake.url}"
bundle_seconds = 1
[recorder]
low_disk_bytes = 2
exhausted_disk_bytes = 1
[[postgres]]
target = "db"
listen_port = 0
upstream_host = "127.0.0.1"
upstream_port = {postgres.port}
upstream_user = "{postgres.user}"
upstream_password_file = "password"
upstream_database = "{postgres.database}"
"""
    )
    secret = folder / "password"
    secret.write_text(postgres.password)
    secret.chmod(0o600)
    return path


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "edge_agent", *arguments]


def enrolled(folder: Path, fake: FakeControl, postgres: RealPostgres) -> Path:
    path = configured(folder, fake, postgres)
    done = subprocess.run(
        command("enrol", "--config", str(path), "--token", TOKEN),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return path


@pytest.fixture
def running(tmp_path: Path, fake: FakeControl, postgres: RealPostgres) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process, and what a caller connects with."""
    offer(fake, 6)
    path = enrolled(tmp_path, fake, postgres)
    with (tmp_path / "log").open("w") as log:
        child = subprocess.Popen(command("run", "--config", str(path)), stdout=subprocess.PIPE, stderr=log, text=True)
    assert child.stdout is not None
    line = child.stdout.readline()
    assert line.startswith("listening on 127.0.0.1:"), (tmp_path / "log").read_text()
    assert line.endswith(" for db\n")
    port = line.split()[2].rpartition(":")[2]
    yield (
        child,
        f"host=127.0.0.1 port={port} dbname={postgres.database} user=agent-7 password={PASSWORD} sslmode=disable",
    )
    child.kill()
    child.wait(10)
    child.stdout.close()


def test_an_enrolled_edge_serves_reads_and_ends_cleanly(
    running: tuple[subprocess.Popen[str], str], tmp_path: Path
) -> None:
    child, dsn = running
    with psycopg.connect(dsn) as caller:
        assert caller.execute("SELECT count(*) FROM shop.orders WHERE id <= 200").fetchone() == (200,)
        child.send_signal(signal.SIGTERM)
        assert child.wait(15) == 0
        with pytest.raises(psycopg.OperationalError):
            caller.execute("SELECT 1")
    said = (tmp_path / "log").read_text()
    assert "Traceback" not in said
    assert "shop.orders" not in said


def test_a_caller_that_the_next_bundle_does_not_know_is_sent_away(
    running: tuple[subprocess.Popen[str], str], fake: FakeControl
) -> None:
    _, dsn = running
    with psycopg.connect(dsn, autocommit=True) as caller:
        caller.execute("SELECT 1")
        offer(fake, 7, callers=False)
        # Nothing is asked until the reason is there: of an error right behind an answer libpq makes a notice.
        assert select.select([caller.fileno()], [], [], 30)[0]
        with pytest.raises(psycopg.OperationalError, match="registration changed"):
            caller.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(dsn)


def test_an_edge_that_was_not_enrolled_says_so(tmp_path: Path, fake: FakeControl, postgres: RealPostgres) -> None:
    path = configured(tmp_path, fake, postgres)
    done = subprocess.run(
        command("run", "--config", str(path)), capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "enrol" in done.stderr


def test_a10_an_edge_without_any_bundle_lets_nobody_in(
    tmp_path: Path, fake: FakeControl, postgres: RealPostgres
) -> None:
    path = enrolled(tmp_path, fake, postgres)
    fake.fail("/v1/bundle", *["500"] * 100)
    with subprocess.Popen(
        command("run", "--config", str(path)), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as child:
        assert child.stdout is not None
        port = child.stdout.readline().split()[2].rpartition(":")[2]
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(f"host=127.0.0.1 port={port} dbname=x user=agent-7 password={PASSWORD} sslmode=disable")
        child.terminate()
        assert child.wait(15) == 0
