"""The table of the rows bench: medians, ratios to the relay, and no CPU where no process is between."""

from __future__ import annotations

import math

from bench.rows import Run, named, table
from bench.rows_edge import EdgeProcess


def test_the_table_has_medians_and_ratios_to_the_relay() -> None:
    lines = table({
        "direct": [Run(0.5, math.nan), Run(0.7, math.nan), Run(0.6, math.nan)],
        "relay": [Run(1.0, 0.2), Run(9.0, 0.4), Run(1.0, 0.3)],
        "edge, pure": [Run(2.0, 1.5), Run(3.0, 2.5), Run(2.5, 9.5)],
    })  # fmt: skip
    assert [line.split() for line in lines] == [
        ["seconds", "of", "relay", "CPU", "s"],
        ["direct", "0.60", "0.60"],
        ["relay", "1.00", "1.00", "0.30"],
        ["edge,", "pure", "2.50", "2.50", "2.50"],
    ]


def test_a_way_says_what_it_is() -> None:
    assert named(EdgeProcess(1, 2, compiled=False), masked=True) == "edge, pure, masked"
    assert named(EdgeProcess(1, 2, compiled=True), masked=False) == "edge, compiled"
