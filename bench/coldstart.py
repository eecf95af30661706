"""How long a function takes to import its application: `python -m bench.coldstart FOLDER [RUNS]`.

FOLDER is an unpacked deployment package for this machine, as `chalice package` makes it. Each run is a fresh
interpreter with byte code at hand; what counts is wall time from the first import to the finished application.
Lambda adds the start of its runtime and of the interpreter, and reads the package from its own disk.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

WANTED_MILLISECONDS: Final = 400
RUNS: Final = 7
HEAVIEST: Final = 12

_RUN: Final = """
import json, sys, time
sys.path.insert(0, sys.argv[1])
began = time.perf_counter()
import app
print(json.dumps({"milliseconds": (time.perf_counter() - began) * 1000, "modules": len(sys.modules)}))
"""


def import_milliseconds(folder: Path, environment: Mapping[str, str], runs: int = RUNS) -> list[float]:
    """Wall times of so many imports, in milliseconds, sorted; one import before them writes the byte code."""
    found = [_run(folder, environment) for _ in range(runs + 1)]
    return sorted(found[1:])


def heaviest(folder: Path, environment: Mapping[str, str], most: int = HEAVIEST) -> list[tuple[float, str]]:
    """Modules by their own time, in milliseconds: where to look when it is too much."""
    done = _interpreter(["-X", "importtime"], folder, environment)
    rows = [line.removeprefix("import time:").split("|") for line in done.stderr.splitlines() if "|" in line]
    own = [(int(row[0]) / 1000, row[2].strip()) for row in rows if row[0].strip().isdecimal()]
    return sorted(own, reverse=True)[:most]


def _run(folder: Path, environment: Mapping[str, str]) -> float:
    return float(json.loads(_interpreter([], folder, environment).stdout)["milliseconds"])


def _interpreter(options: list[str], folder: Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-S", *options, "-c", _RUN, str(folder)]
    own = {"PATH": os.environ["PATH"], **environment}
    return subprocess.run(command, capture_output=True, text=True, env=own, cwd="/", timeout=120, check=True)


def main() -> None:
    """Print the figures of a folder; its settings come from the environment, as Lambda has them."""
    folder, runs = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else RUNS
    times = import_milliseconds(folder, os.environ, runs)
    print(f"import of the application: median {statistics.median(times):.0f} ms, fastest {times[0]:.0f} ms, "
          f"slowest {times[-1]:.0f} ms of {runs}; wanted {WANTED_MILLISECONDS} ms")  # fmt: skip
    for own, name in heaviest(folder, os.environ):
        print(f"  {own:7.1f} ms  {name}")


if __name__ == "__main__":
    main()
