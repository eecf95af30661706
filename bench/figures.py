"""What the benches share: medians, percentiles, memory of a process, a deployment on a fresh database."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.deployment import Deployment, EdgeSettings, deployment
from tests.support.postgres import running_postgres
from twokeys_cli.postgres import wheel_binaries


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of all values does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def summary(values: Sequence[float], unit: str = "ms") -> str:
    """p50, p95, p99 and the worst."""
    p50, p95, p99 = statistics.median(values), percentile(values, 0.95), percentile(values, 0.99)
    return f"p50 {p50:.1f} {unit} · p95 {p95:.1f} · p99 {p99:.1f} · worst {max(values):.1f} (n={len(values)})"


def resident_mib(pid: int) -> float:
    """Resident memory of a process in MiB, from /proc (Linux)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


@contextmanager
def deployed(
    *,
    hold_seconds: int = 600,
    heartbeat_seconds: int = 1,
    limits: str = "",
    connections: int = 100,
    postgres_section: str = "",
    server: Mapping[str, str] | None = None,
) -> Iterator[Deployment]:
    """A whole deployment in a temporary folder."""
    settings = EdgeSettings(hold_seconds, heartbeat_seconds, limits, postgres_section=postgres_section)
    with (
        running_postgres(wheel_binaries(), {"max_connections": str(connections + 20), **(server or {})}) as postgres,
        tempfile.TemporaryDirectory() as folder,
        deployment(Path(folder), postgres, settings) as whole,
    ):
        yield whole
