from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.support.postgres import open_folder
from tests.twokeys_cli import fake_parts
from twokeys.errors import InvalidInput
from twokeys_cli.reach import reachable_by
from twokeys_cli.state import Upstream, hold
from twokeys_cli.up import parse_upstream

ROOT = Path(__file__).parents[2]
READY = "Ctrl-C stops everything."


@pytest.fixture
def state() -> Iterator[Path]:
    with open_folder() as folder:
        yield folder / "state"


@contextmanager
def running(state: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A `twokeys up` over fake halves, and what it printed until it was ready."""
    process = subprocess.Popen(
        [sys.executable, "-m", fake_parts.__name__, "up", str(state)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    try:
        said = ""
        for line in process.stdout:
            said += line
            if line.startswith(READY):
                break
        yield process, said
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.stdout.read()
        process.wait(30)
        process.stdout.close()


def test_the_first_start_says_what_to_paste_and_passphrases_once(state: Path) -> None:
    with running(state) as (process, first):
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
    with running(state) as (_, second):
        pass
    assert re.search(r"PGPASSWORD=c-1 \S*psql 'host=127.0.0.1 port=\d+ user=agent-7 dbname=sample'", first)
    assert re.search(r"rob +r-1", first)
    assert "audit query --state" in first
    assert "r-1" not in second
    assert "a-1" not in "".join(path.read_text() for path in state.glob("up.json"))
    port = re.compile(r"127.0.0.1:\d+")
    assert port.findall(first) == port.findall(second)


def test_all_parts_end_in_order_and_leave_nothing_running(state: Path) -> None:
    with running(state) as (process, said):
        ports = _ports(said)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert (state / "logs" / "edge.log").read_text().splitlines()[-1] == "edge ends"
    assert (state / "logs" / "control.log").read_text().splitlines()[-1] == "control ends"
    assert "database system is shut down" in (state / "logs" / "postgres.log").read_text()
    assert "input ''" in (state / "logs" / "edge.log").read_text()
    for port in ports:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))


def test_a_second_start_on_the_folder_is_refused_by_name(state: Path) -> None:
    with running(state) as (process, _):
        second = subprocess.run(
            [sys.executable, "-m", fake_parts.__name__, "up", str(state)], cwd=ROOT, capture_output=True, text=True
        )
        assert second.returncode == 1
        assert f"as process {process.pid}" in second.stderr
        assert process.poll() is None


def test_the_sample_data_survive_and_their_role_is_the_edges(state: Path) -> None:
    for total in (7, 8):
        with running(state) as (_, _):
            config = (state / "edge" / "edge.toml").read_text()
            facts = dict(re.findall(r'^upstream_(\w+) = "?([^"\n]*)"?$', config, re.MULTILINE))
            password = (state / "edge" / facts["password_file"]).read_text()
            with psycopg.connect(
                host=facts["host"],
                port=facts["port"],
                user=facts["user"],
                dbname=facts["database"],
                password=password,
            ) as connection:
                if total == 8:
                    assert connection.execute("SELECT total FROM orders WHERE id = 1").fetchone() == (7,)
                connection.execute("UPDATE shop.orders SET total = %s WHERE id = 1", [total])


def test_nothing_of_the_state_is_open_to_others(state: Path) -> None:
    with running(state):
        pass
    stranger = 12345
    shared = state / "postgres" / "programs"
    files = [path for path in state.rglob("*") if path.is_file() and not path.is_relative_to(shared)]
    assert [path for path in files if reachable_by(path, stranger)] == []


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")
def test_kill_9_of_twokeys_up_ends_its_parts_and_the_next_start_works(state: Path) -> None:
    with running(state) as (process, said):
        process.kill()
        process.wait(10)
        for port in _ports(said):
            _until_refused(port)
    with running(state) as (process, said):
        assert READY in said, said


def test_a_start_cut_off_after_the_bootstrap_goes_on_there(state: Path) -> None:
    """Invariant: passphrases are lost only once a person has seen them."""
    with hold(state):
        pass
    with running(state) as (process, _):
        process.send_signal(signal.SIGTERM)
        process.wait(20)
    kept = (state / "up.json").read_text()
    again = kept.replace('"unshown": []', '"unshown": [{"id": "rob", "passphrase": "r-1"}]')
    (state / "up.json").write_text(again)
    (state / "control").rename(state / "control.unfinished")
    with running(state) as (_, second):
        assert "r-1" in second


def test_a_folder_with_other_things_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(InvalidInput, match="not a State folder"), hold(tmp_path):
        pass


def test_a_lock_of_a_dead_process_is_no_lock(state: Path) -> None:
    with hold(state) as folder:
        assert (folder.path / "lock").read_text().strip() == str(os.getpid())
    (state / "lock").write_text("1\n")
    with hold(state):
        pass


def test_an_upstream_is_a_url_without_password() -> None:
    assert parse_upstream("postgresql://app@db.internal:6000/app%20db", "public") == Upstream(
        host="db.internal", port=6000, database="app db", user="app"
    )


@pytest.mark.parametrize(
    "url",
    [
        "db.internal",
        "postgresql://app:secret@db/app",
        "postgresql://db/app",
        "postgresql://app@db",
        "mysql://a@b/c",
        "postgresql://app@db:x/app",
        "postgresql://app@db/app?sslmode=disable",
    ],
)
def test_an_upstream_of_another_form_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput, match="not of the form"):
        parse_upstream(url, "public")


def _ports(said: str) -> list[int]:
    return [int(port) for port in re.findall(r"(?:port=|127\.0\.0\.1:)(\d+)", said)]


def _until_refused(port: int) -> None:
    for _ in range(1000):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            return
        os.sched_yield()
    pytest.fail(f"somebody still listens at {port}")
