"""pgbench through an Edge of one process and through one of several workers, against direct and a plain relay.

pgbench, the server and whatever is between share the machine's cores. With two there is none left for a second worker,
which can at best use what the others leave, and may be slower than one process. What it gives where pgbench and the
server run elsewhere is not measured here.

    BENCH_WORKERS        how many workers (2)
    BENCH_CASES, BENCH_ROUNDS, BENCH_SECONDS, BENCH_JSON   as of `throughput`
"""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from bench.between import relayed
from bench.figures import deployed
from bench.pgbench import SECONDS, TRANSACTION, Case, Run, Way, prepare
from bench.throughput import ROUNDS, chosen, edge_way, measured, of
from tests.support.deployment import EdgeSettings, deployment

WORKERS: Final = int(os.environ.get("BENCH_WORKERS", "2"))
CHOICE: Final = "prepared-8,prepared-32,transaction-prepared-8"
HEAD: Final = (
    f"{'case':24}{'direct':>9}{'relay':>9}{'1 process':>11}{'workers':>9}  {'workers/1':>9}  {'ms p50/p99: 1':>15}"
    f"{'workers':>15}  {'µs CPU: 1':>9}{'workers':>9}{'load':>6}"
)


def main() -> None:
    """Measure and print."""
    cases = chosen(os.environ.get("BENCH_CASES") or CHOICE)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "transaction.sql").write_text(TRANSACTION)
        (folder / "workers").mkdir()
        one = stack.enter_context(deployed())
        postgres = one.postgres
        prepare(postgres)
        several = stack.enter_context(deployment(folder / "workers", postgres, EdgeSettings(workers=WORKERS)))
        relay, relay_pid = stack.enter_context(relayed(postgres))
        server: Way = (postgres.port, postgres.user, postgres.password)
        ways: dict[str, Way] = {
            "direct": server, "relay": (relay, *server[1:]), "one": edge_way(one), "workers": edge_way(several),
        }  # fmt: skip
        pids = {"relay": relay_pid, "one": one.edge.pid, "workers": several.edge.pid}
        print(f"{WORKERS} workers, {SECONDS} s, {ROUNDS} rounds, interleaved; {os.cpu_count()} cores for all")
        print(HEAD)
        for case in cases:
            print(line(case, measured(postgres, case, ways, pids, folder)), flush=True)


def line(case: Case, found: dict[str, list[Run]]) -> str:
    """One case."""
    rate, cpu = of(found, lambda run: run.rate), of(found, lambda run: run.cpu)
    p50, p99, load = of(found, lambda run: run.p50), of(found, lambda run: run.p99), os.getloadavg()[0]
    taken = "".join(f"{f'{p50[name]:.2f}/{p99[name]:.2f}':>15}" for name in ("one", "workers"))
    return (
        f"{case.name:24}{rate['direct']:9.0f}{rate['relay']:9.0f}{rate['one']:11.0f}{rate['workers']:9.0f}  "
        f"{rate['workers'] / rate['one']:9.2f}  {taken}  {cpu['one']:9.1f}{cpu['workers']:9.1f}{load:6.1f}"
    )


if __name__ == "__main__":
    main()
