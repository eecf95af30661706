"""The table of the rows bench: medians, ratios to the relay, and no CPU where no process is between."""

from __future__ import annotations

import math

from bench.rows import Run, named, table
from bench.rows_edge import EdgeProcess


def test_the_table_has_medians_and_ratios_to_the_relay_without_connecting() -> None:
    lines = table({
        "direct": [Run(0.6, math.nan, 0.1), Run(0.8, math.nan, 0.1), Run(0.7, math.nan, 0.1)],
        "relay": [Run(1.1, 0.2, 0.1), Run(9.0, 0.4, 0.1), Run(1.1, 0.3, 0.1)],
        "edge, pure": [Run(2.5, 1.5, 0.5), Run(3.5, 2.5, 0.5), Run(3.0, 9.5, 0.5)],
    })  # fmt: skip
    assert [line.split() for line in lines] == [
        ["seconds", "to", "connect", "of", "relay", "CPU", "s"],
        ["direct", "0.70", "0.10", "0.60"],
        ["relay", "1.10", "0.10", "1.00", "0.30"],
        ["edge,", "pure", "3.00", "0.50", "2.50", "2.50"],
    ]


def test_a_way_says_what_it_is() -> None:
    assert named(EdgeProcess(1, 2, compiled=False), masked=True) == "edge, pure, masked"
    assert named(EdgeProcess(1, 2, compiled=True), masked=False) == "edge, compiled"
