"""How long a function takes to import its application: `python -m bench.coldstart FOLDER [RUNS]`.

FOLDER is an unpacked deployment package for this machine, as `chalice package` makes it. Each run is a fresh
interpreter with byte code at hand, from the first import to the finished application. What counts is CPU time: wall
time on a machine with other work says more about that work; both are printed.
Lambda adds the start of its runtime and of the interpreter, and reads the package from its own disk.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

WANTED_MILLISECONDS: Final = 400
RUNS: Final = 7
HEAVIEST: Final = 12

_RUN: Final = """
import json, sys, time
sys.path.insert(0, sys.argv[1])
wall, cpu = time.perf_counter(), time.process_time()
import app
print(json.dumps({"cpu": (time.process_time() - cpu) * 1000, "wall": (time.perf_counter() - wall) * 1000}))
"""


@dataclass(frozen=True, slots=True, order=True)
class Import:
    """One import's times, in milliseconds."""

    cpu: float
    wall: float


def imports(folder: Path, environment: Mapping[str, str], runs: int = RUNS) -> list[Import]:
    """So many imports, the cheapest first; one import before them writes the byte code."""
    found = [_run(folder, environment) for _ in range(runs + 1)]
    return sorted(found[1:])


def heaviest(folder: Path, environment: Mapping[str, str], most: int = HEAVIEST) -> list[tuple[float, str]]:
    """Modules by their own time, in milliseconds: where to look when it is too much."""
    done = _interpreter(["-X", "importtime"], folder, environment)
    rows = [line.removeprefix("import time:").split("|") for line in done.stderr.splitlines() if "|" in line]
    own = [(int(row[0]) / 1000, row[2].strip()) for row in rows if row[0].strip().isdecimal()]
    return sorted(own, reverse=True)[:most]


def _run(folder: Path, environment: Mapping[str, str]) -> Import:
    return Import(**json.loads(_interpreter([], folder, environment).stdout))


def _interpreter(options: list[str], folder: Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-S", *options, "-c", _RUN, str(folder)]
    own = {"PATH": os.environ["PATH"], **environment}
    return subprocess.run(command, capture_output=True, text=True, env=own, cwd="/", timeout=120, check=True)


def main() -> None:
    """Print the figures of a folder; its settings come from the environment, as Lambda has them."""
    folder, runs = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else RUNS
    times = imports(folder, os.environ, runs)
    cpu, wall = [one.cpu for one in times], statistics.median(one.wall for one in times)
    print(f"import of the application: median {statistics.median(cpu):.0f} ms of CPU, least {cpu[0]:.0f} ms, "
          f"most {cpu[-1]:.0f} ms of {runs}; wanted {WANTED_MILLISECONDS} ms; median wall: {wall:.0f} ms")  # fmt: skip
    for own, name in heaviest(folder, os.environ):
        print(f"  {own:7.1f} ms  {name}")


if __name__ == "__main__":
    main()
