"""pgbench through the Edge, against direct, a plain relay, and pgbouncer (session mode) where installed.

    python -m bench throughput                       a choice of cases
    BENCH_CASES=all python -m bench throughput       every one
    BENCH_CASES=prepared-8,tpcb-prepared-1 …         these

A case is work, mode, clients and transport: `prepared-8` is select-only, prepared, eight clients;
`transaction-simple-1` three selects between BEGIN and COMMIT; `tpcb-extended-8` pgbench's own TPC-B, whose writes
policy allows (each is recorded on disk before it is forwarded, and the server's fsync is on); `-tls` at the end: TLS to
whatever is between, which all of them end; the hop to the server is plain.

All ways are interleaved in each round, and each round begins with another one; a first run of each is not counted.
Printed are medians of transactions per second, ratios, what a transaction takes (p50 and p99), and the CPU time that
the relay and the Edge spend on one transaction (user and system, from /proc, without what signing in takes: that is
measured once by itself, as it is some ms a connection), and by how much the Edge's is above the relay's for one
statement: on a machine that others use too, CPU is the steadier figure.
BENCH_ROUNDS, BENCH_SECONDS; BENCH_JSON names a file for all runs, a JSON object a line.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from bench.between import bounced, relayed
from bench.figures import deployed
from bench.pgbench import SCALE, SECONDS, STATEMENTS, TRANSACTION, Case, Run, Way, pgbench, prepare, without_connecting
from tests.edge_agent.net.certificates import Authority
from tests.support.deployment import CALLER, Deployment
from tests.support.policies import change_policy
from tests.support.postgres import RealPostgres

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
MODES: Final = ("simple", "extended", "prepared")
CLIENTS: Final = (1, 8, 32)
WORKS: Final = ("select", "transaction", "tpcb")
CHOICE: Final = (
    "simple-1", "extended-1", "prepared-1", "simple-8", "extended-8", "prepared-8", "prepared-32", "prepared-8-tls",
    "transaction-simple-8", "transaction-prepared-8", "tpcb-simple-8", "tpcb-prepared-8",
)  # fmt: skip
"""What is measured when nothing else is asked for: about ten minutes."""

ALLOWS_TPCB: Final = """
@id("pgbench-writes")
permit (principal, action == Action::"write", resource);
"""
DURABLE: Final = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
"""Tests' servers may lose what they wrote; this one may not."""

ALL: Final = [Case(work, mode, clients, tls)
              for work in WORKS for mode in MODES for clients in CLIENTS for tls in (False, True)]  # fmt: skip


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
        between = {tls: stack.enter_context(relayed(postgres, *((cert, key) if tls else ()))) for tls in (False, True)}
        bouncer, bouncer_pid = stack.enter_context(bounced(postgres, cert, key))
        server: Way = (postgres.port, postgres.user, postgres.password)
        print(f"pgbench, scale {SCALE}, {SECONDS} s, {ROUNDS} rounds, interleaved; {os.cpu_count()} cores")
        print("\n".join(HEAD))
        for case in cases:
            relay, relay_pid = between[case.tls]
            ways: dict[str, Way] = {"direct": server, "relay": (relay, *server[1:]), "edge": edge_way(whole)}
            pids = {"relay": relay_pid, "edge": whole.edge.pid}
            if bouncer:
                ways["pgbouncer"], pids["pgbouncer"] = (bouncer, *server[1:]), bouncer_pid
            print(line(case, measured(postgres, case, ways, pids, folder)), flush=True)


def measured(
    postgres: RealPostgres, case: Case, ways: dict[str, Way], pids: dict[str, int], folder: Path
) -> dict[str, list[Run]]:
    """The runs of one case, by way; a warm-up of each before."""
    names = list(ways)
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
                    figures = {name: None if math.isnan(figure) else figure for name, figure in run._asdict().items()}
                    file.write(json.dumps({"case": case.name, "way": name, **figures}) + "\n")
    return found


HEAD: Final = (
    f"{'':24}{'transactions a second':^38} {'edge, as share of':^24} {'ms, p50/p99':^39}  {'µs CPU a transaction':^31}",
    f"{'case':24}{'direct':>9}{'relay':>9}{'edge':>9}{'pgbouncer':>11} {'direct':>7}{'relay':>7}{'pgbouncer':>10} "
    f"{'relay':>13}{'edge':>13}{'pgbouncer':>13}  {'relay':>7}{'edge':>8}{'above':>8}{'a stmt':>8}{'load':>6}",
)


def line(case: Case, found: dict[str, list[Run]]) -> str:
    """One case; what was not measured is NaN."""
    rate, cpu = of(found, lambda run: run.rate), of(found, lambda run: run.cpu)
    p50, p99 = of(found, lambda run: run.p50), of(found, lambda run: run.p99)
    edge, above, load = rate["edge"], cpu["edge"] - cpu["relay"], os.getloadavg()[0]
    taken = "".join(f"{f'{p50[name]:.2f}/{p99[name]:.2f}':>13}" for name in ("relay", "edge", "pgbouncer"))
    return (
        f"{case.name:24}{rate['direct']:9.0f}{rate['relay']:9.0f}{edge:9.0f}{rate['pgbouncer']:11.0f} "
        f"{edge / rate['direct']:7.2f}{edge / rate['relay']:7.2f}{edge / rate['pgbouncer']:10.2f} {taken}  "
        f"{cpu['relay']:7.1f}{cpu['edge']:8.1f}{above:8.1f}{above / STATEMENTS[case.work]:8.1f}{load:6.1f}"
    )


def of(found: dict[str, list[Run]], figure: Callable[[Run], float]) -> dict[str, float]:
    """A figure's median by way, of pgbouncer too when it is not there."""
    return {"pgbouncer": math.nan} | {name: statistics.median(map(figure, runs)) for name, runs in found.items()}


def edge_way(whole: Deployment) -> Way:
    """The caller's."""
    return whole.edge_port, CALLER, whole.password


if __name__ == "__main__":
    main()
