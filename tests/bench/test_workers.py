"""The table of the workers bench."""

from __future__ import annotations

import math

from bench.pgbench import Case, Run
from bench.workers import HEAD, line


def test_a_line_compares_workers_with_one_process() -> None:
    runs = {
        "direct": [Run(900.0, math.nan, 0.1, 0.2)],
        "relay": [Run(800.0, 50.0, 0.2, 0.3)],
        "one": [Run(400.0, 90.0, 0.4, 0.9)],
        "workers": [Run(rate, 100.0, 0.3, 0.8) for rate in (100.0, 500.0, 600.0)],
    }
    found = line(Case("select", "prepared", 8, tls=False), runs).split()[:-1]
    assert found == ["prepared-8", "900", "800", "400", "500", "1.25", "0.40/0.90", "0.30/0.80", "90.0", "100.0"]
    assert HEAD.split()[:5] == ["case", "direct", "relay", "1", "process"]
