"""From `twokeys up` to its printed block, on a folder that was started before. Wanted: ≤ 5 s."""

from __future__ import annotations

import select
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROUNDS = 3
PRINTED = b"psql"


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        state = Path(name) / "state"
        first = once(state)
        later = [once(state) for _ in range(ROUNDS)]
        print(f"first start {first:.1f} s; later starts {statistics.median(later):.1f} s (median of {ROUNDS})")


def once(state: Path) -> float:
    """One start and stop, in seconds to the printed block."""
    begun = time.perf_counter()
    child = subprocess.Popen(
        [sys.executable, "-m", "twokeys_cli.main", "up", "--state", str(state)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert child.stdout is not None
    seen = b""
    while PRINTED not in seen:
        ready, _, _ = select.select([child.stdout], [], [], 60)
        data = child.stdout.read1(65536) if ready else b""  # type: ignore[attr-defined]
        if not data:
            child.kill()
            raise RuntimeError(seen.decode())
        seen += data
    elapsed = time.perf_counter() - begun
    child.terminate()
    child.communicate(timeout=30)
    return elapsed
