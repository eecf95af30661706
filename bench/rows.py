"""A million rows out, by SELECT and by COPY, plain and with one masked column: direct, by a plain relay, by the Edge.

All ways are interleaved in each round, and each round begins with another one. Printed are medians: of seconds; of
those that a run without rows takes (psql's start and signing in); of what is left as a ratio to the plain relay's; of
the CPU time that the process between spent on that (user and system, from /proc). The Edge runs pure, and with its
compiled module where that was built. The client is psql. Then the same with TLS, which the relay ends as the Edge
does, the hop to the server being plain in both; there the client is libpq alone.

    BENCH_ROWS, BENCH_ROUNDS   how many
    BENCH_PURE=0               without the pure Edge, which takes most of the time
"""

from __future__ import annotations

import math
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import psycopg

from bench.between import relayed
from bench.pgbench import cpu_seconds
from bench.rows_edge import MASKING, EdgeProcess, Plan, edge_process
from tests.edge_agent.net.certificates import Authority
from tests.support.postgres import RealPostgres, running_postgres
from twokeys.policy import STARTER_TEXT
from twokeys_cli.postgres import wheel_binaries

ROWS: Final = int(os.environ.get("BENCH_ROWS", "1000000"))
ROUNDS: Final = int(os.environ.get("BENCH_ROUNDS", "3"))
KINDS: Final = (False,) if os.environ.get("BENCH_PURE") == "0" else (True, False)
"""Of the Edge: whether pure."""

CHUNK: Final = 10_000
"""Rows that psql keeps at once."""

YARDSTICK: Final = "relay"
TABLE: Final = f"""
CREATE UNLOGGED TABLE shop.bench_rows AS SELECT n AS aid, n % 100 AS bid, n % 9973 AS abalance,
  'customer' || n || '@example.com' AS email, md5(n::text) AS note, rpad('', 48, 'x') AS filler
  FROM generate_series(1, {ROWS}) n;
"""
ASKED: Final = {
    "SELECT": "SELECT aid, bid, abalance, email, note, filler FROM shop.bench_rows",
    "COPY": "COPY shop.bench_rows TO STDOUT",
}

NOTHING: Final = "SELECT 1"
"""What a run without rows asks."""


class Way(NamedTuple):
    """One way to the rows.

    Args:
        port: Where to connect, on loopback.
        user: Who asks.
        password: Theirs.
        pid: The process between; None where there is none.
        masked: Whether one column is masked on the way.
    """

    port: int
    user: str
    password: str
    pid: int | None = None
    masked: bool = False


class Run(NamedTuple):
    """One run: seconds, and seconds of CPU of the process between (NaN where there is none)."""

    seconds: float
    cpu: float
    connecting: float
    """Of the seconds, those that a run without rows took; `cpu` is without them already."""


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name, running_postgres(wheel_binaries()) as postgres:
        postgres.admin(TABLE)
        postgres.admin(f"GRANT SELECT ON shop.bench_rows TO {postgres.user}; ANALYZE shop.bench_rows")
        size = postgres.admin("SELECT sum(length(r::text)) / 1000000 FROM shop.bench_rows r").strip()
        print(f"{ROWS} rows, {size} MB of text, {ROUNDS} rounds, interleaved; {os.cpu_count()} cores", flush=True)
        files = Authority(Path(name)).issue("127.0.0.1")
        with edges(Path(name), postgres, files) as through:
            for tls in (False, True):
                with relayed(postgres, *(files if tls else ())) as (port, pid):
                    server = (postgres.port, postgres.user, postgres.password)
                    ways = {} if tls else {"direct": Way(*server)}
                    ways |= {YARDSTICK: Way(port, *server[1:], pid), **through}
                    for way in ways.values():
                        check(postgres, way, tls=tls)
                    for asked in ASKED:
                        print(f"\n{asked}, {'TLS' if tls else 'plain'}")
                        print("\n".join(table(measure(postgres, ways, asked, tls=tls))), flush=True)


@contextmanager
def edges(folder: Path, postgres: RealPostgres, files: tuple[Path, Path]) -> Iterator[dict[str, Way]]:
    """An Edge of each kind: pure and compiled, with nothing to mask and with one column."""
    with ExitStack() as stack:
        found: dict[str, Way] = {}
        for pure in KINDS:
            for policies, masked in ((STARTER_TEXT, False), (STARTER_TEXT + MASKING, True)):
                plan = Plan(policies, postgres.port, postgres.user, postgres.password, postgres.database, *files)
                edge = stack.enter_context(edge_process(folder, plan, pure=pure))
                if pure or edge.compiled:
                    found[named(edge, masked=masked)] = Way(edge.port, edge.user, edge.password, edge.pid, masked)
        if not any("compiled" in name for name in found):
            print("The compiled module is not there (python hatch_build.py builds it), so it is not compared.")
        yield found


def named(edge: EdgeProcess, *, masked: bool) -> str:
    """How a way through an Edge is called."""
    return f"edge, {'compiled' if edge.compiled else 'pure'}{', masked' if masked else ''}"


def measure(postgres: RealPostgres, ways: Mapping[str, Way], asked: str, *, tls: bool) -> dict[str, list[Run]]:
    """All rounds of all ways."""
    found: dict[str, list[Run]] = {name: [] for name in ways}
    names = list(ways)
    for number in range(ROUNDS):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            way = ways[name]
            none, spent = _timed(postgres, way, NOTHING, tls=tls)
            seconds, cpu = _timed(postgres, way, ASKED[asked], tls=tls)
            found[name].append(Run(seconds, cpu - spent, none))
    return found


def _timed(postgres: RealPostgres, way: Way, text: str, *, tls: bool) -> tuple[float, float]:
    before, began = _spent(way), time.monotonic()
    (over_tls if tls else psql)(postgres, way, text)
    return time.monotonic() - began, _spent(way) - before


def _spent(way: Way) -> float:
    return math.nan if way.pid is None else cpu_seconds(way.pid)


def table(found: Mapping[str, Sequence[Run]]) -> list[str]:
    """A line for each way: median seconds, to connect, how many times the relay's without that, CPU seconds between."""
    rows = {name: statistics.median(run.seconds - run.connecting for run in runs) for name, runs in found.items()}
    lines = [f"{'':24}{'seconds':>9}{'to connect':>12}{'of relay':>10}{'CPU s':>8}"]
    for name, runs in found.items():
        seconds, cpu, connecting = (statistics.median(run[at] for run in runs) for at in range(3))
        spent = "" if math.isnan(cpu) else f"{cpu:.2f}"
        lines.append(f"{name:24}{seconds:9.2f}{connecting:12.2f}{rows[name] / rows[YARDSTICK]:10.2f}{spent:>8}")
    return lines


def check(postgres: RealPostgres, way: Way, *, tls: bool) -> None:
    """Fail where a column is masked that should not be, or the other way round: the figures would say nothing."""
    for asked in ASKED.values():
        with connected(postgres, way, tls=tls) as connection:
            first = first_row(connection, asked)
        if (b"customer1@example.com" in first) is way.masked or b"xxxx" not in first:
            raise RuntimeError(f"masked={way.masked}, and there came {first!r}")


def psql(postgres: RealPostgres, way: Way, asked: str) -> None:
    """Ask by the psql of the server's binaries, which has no TLS, and throw away what it prints."""
    done = subprocess.run(
        [
            str(postgres.server.binaries.program("psql")), "-XAtq", "-v", f"FETCH_COUNT={CHUNK}", "-o", os.devnull,
            "-h", "127.0.0.1", "-p", str(way.port), "-U", way.user, "-d", postgres.database, "-c", asked,
        ],
        env={**os.environ, "PGPASSWORD": way.password, "PGSSLMODE": "disable"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode or done.stderr:
        raise RuntimeError(done.stderr)


def over_tls(postgres: RealPostgres, way: Way, asked: str) -> None:
    """Ask by libpq over TLS, and throw away what comes."""
    with connected(postgres, way, tls=True) as connection:
        for _ in raw_rows(connection, asked):
            pass


def connected(postgres: RealPostgres, way: Way, *, tls: bool) -> psycopg.Connection:
    """A connection by libpq."""
    how = "sslmode=require channel_binding=disable" if tls else "sslmode=disable"
    return psycopg.connect(
        f"host=127.0.0.1 port={way.port} dbname={postgres.database} {how}",
        user=way.user, password=way.password, autocommit=True,
    )  # fmt: skip


def raw_rows(connection: psycopg.Connection, asked: str) -> Iterator[bytes]:
    """What comes, by libpq alone: a line of COPY at a time, or the first row of each chunk."""
    line = connection.pgconn
    line.send_query(asked.encode())
    line.set_chunked_rows_mode(CHUNK)
    while (result := line.get_result()) is not None:
        if result.status == psycopg.pq.ExecStatus.COPY_OUT:
            while (found := line.get_copy_data(0))[0] > 0:
                yield bytes(found[1])
        elif result.error_message:
            raise RuntimeError(result.get_error_message())
        elif result.ntuples:
            yield b"\t".join(result.get_value(0, at) or b"" for at in range(result.nfields))


def first_row(connection: psycopg.Connection, asked: str) -> bytes:
    """The first row; all others are read too, so that the connection is at rest."""
    first = b""
    for row in raw_rows(connection, asked):
        first = first or row
    return first


if __name__ == "__main__":
    main()
