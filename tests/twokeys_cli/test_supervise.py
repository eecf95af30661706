from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from twokeys.errors import Unavailable
from twokeys_cli.supervise import Limits, Plan, Stopped, Supervisor

QUICK = Limits(ready_seconds=10, stop_seconds=5, first_pause_seconds=0.01, crashes=3, once_seconds=10)

SERVE = """
import pathlib, signal, socket, sys
name, port = sys.argv[1], int(sys.argv[2])
def end(*_):
    with open("order", "a") as file: print(name, file=file)
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
server = socket.create_server(("127.0.0.1", port))
print("serving", sys.stdin.read(1) == "", flush=True)
while True:
    connection, _ = server.accept()
    if connection.recv(1) == b"x": sys.exit(7)
    connection.close()
"""


def plan(folder: Path, name: str, code: str = SERVE, port: int = 0) -> Plan:
    def ready(_pid: int) -> bool:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            return False
        return True

    return Plan(
        name=name,
        command=[sys.executable, "-c", textwrap.dedent(code), name, str(port)],
        log=folder / f"{name}.log",
        cwd=folder,
        ready=ready,
        environment={"PATH": os.defpath},
    )


@pytest.fixture
def port() -> int:
    return _port()


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    with Supervisor(QUICK, said.append) as running:
        said.clear()
        yield running


said: list[str] = []


def test_children_end_in_the_opposite_order_and_have_no_input(supervisor: Supervisor, tmp_path: Path) -> None:
    for name in ("postgres", "control", "edge"):
        supervisor.start(plan(tmp_path, name, port=_port()))
    supervisor.stop()
    assert (tmp_path / "order").read_text().split() == ["edge", "control", "postgres"]
    assert (tmp_path / "edge.log").read_text() == "serving True\n"


def test_a_child_that_ends_while_starting_is_told_with_its_log(
    supervisor: Supervisor, tmp_path: Path, port: int
) -> None:
    with pytest.raises(Unavailable, match=r"(?s)edge ended while starting \(exit code 3\).*no such target"):
        supervisor.start(plan(tmp_path, "edge", "import sys; print('no such target'); sys.exit(3)", port))


def test_a_child_that_never_gets_ready_is_told(tmp_path: Path, port: int) -> None:
    with Supervisor(Limits(ready_seconds=0.1)) as supervisor, pytest.raises(Unavailable, match="not ready"):
        supervisor.start(plan(tmp_path, "edge", "import time; time.sleep(60)", port))


def test_a_crashed_child_is_started_again(supervisor: Supervisor, tmp_path: Path, port: int) -> None:
    child = supervisor.start(plan(tmp_path, "edge", port=port))
    first = child.process.pid
    _crash(port)

    def until_it_runs_again() -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and (child.process.pid == first or not child.plan.ready(0)):
            threading.Event().wait(0.005)
        os.kill(os.getpid(), signal.SIGTERM)

    watcher = threading.Thread(target=until_it_runs_again, daemon=True)
    watcher.start()
    supervisor.watch()
    watcher.join()
    assert [line.split(";")[0] for line in said] == ["edge ended (exit code 7)", "edge runs again."]


def test_a_child_that_crashes_for_ever_stops_everything(supervisor: Supervisor, tmp_path: Path, port: int) -> None:
    other = supervisor.start(plan(tmp_path, "control", port=_port()))
    code = f"import os, pathlib\nif pathlib.Path('once').exists(): print('broken', flush=True); os._exit(9)\n{SERVE}"
    supervisor.start(plan(tmp_path, "edge", code, port))
    (tmp_path / "once").touch()
    _crash(port)
    with pytest.raises(Unavailable, match=r"(?s)edge crashed 3 times.*broken"):
        supervisor.watch()
    supervisor.stop()
    assert other.process.returncode == 0


def test_a_signal_while_starting_stops(supervisor: Supervisor, tmp_path: Path, port: int) -> None:
    code = f"import os, signal, time; os.kill({os.getpid()}, signal.SIGTERM); time.sleep(60)"
    with pytest.raises(Stopped, match="SIGTERM"):
        supervisor.start(plan(tmp_path, "edge", code, port))


def test_a_deaf_child_is_killed(tmp_path: Path, port: int) -> None:
    code = SERVE.replace("signal.signal(signal.SIGTERM, end)", "signal.signal(signal.SIGTERM, signal.SIG_IGN)")
    with Supervisor(Limits(stop_seconds=0.1), said.append) as supervisor:
        child = supervisor.start(plan(tmp_path, "edge", code, port))
        supervisor.stop()
    assert child.process.returncode == -signal.SIGKILL


def test_a_command_answers_or_its_failure_is_told(supervisor: Supervisor, tmp_path: Path) -> None:
    assert supervisor.run_once(plan(tmp_path, "bootstrap", "print('{}')")) == "{}\n"
    with pytest.raises(Unavailable, match=r"(?s)bootstrap failed \(exit code 1\).*ValueError: twice"):
        supervisor.run_once(plan(tmp_path, "bootstrap", "raise ValueError('twice')"))


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")
def test_children_do_not_outlive_a_killed_parent(tmp_path: Path, port: int) -> None:
    code = f"""
        import os, signal, sys
        from pathlib import Path
        sys.path.insert(0, {str(Path(__file__).parents[2])!r})
        from tests.twokeys_cli.test_supervise import Supervisor, plan
        with Supervisor() as supervisor:
            supervisor.start(plan(Path({str(tmp_path)!r}), "edge", port={port}))
            os.kill(os.getpid(), signal.SIGKILL)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=False, timeout=20)
    for _ in range(10_000):
        if (tmp_path / "order").exists():
            return
        threading.Event().wait(0.001)
    pytest.fail("the child still runs")


def _port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _crash(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"x")
