"""The page about cost says what the script finds, and what was promised is kept."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.cost import LOOKS, Flows, figures, held_write, idle_month
from bench.cost_flows import measure
from bench.cost_prices import HOURS_PER_MONTH
from tests.support.aws import CREDENTIALS

PAGE = Path(__file__).parents[2] / "docs" / "cost.md"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def flows() -> Iterator[Flows]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in CREDENTIALS.items():
            patch.setenv(name, value)
        yield measure()


def test_a_thousand_held_writes_cost_less_than_a_dollar(flows: Flows) -> None:
    assert held_write(flows).dollars * 1000 <= 1.0


def test_an_idle_edge_costs_less_than_eight_cents_where_it_looks_each_quarter_of_an_hour(flows: Flows) -> None:
    assert (900, 1800) in LOOKS
    assert idle_month(flows, 900, 1800).dollars <= 0.08


def test_a_month_of_waiting_at_the_queue_costs_less_than_eight_cents(flows: Flows) -> None:
    assert flows["queue_hour"].dollars * HOURS_PER_MONTH <= 0.08


def test_a_held_write_starts_three_timers_and_signs_once(flows: Flows) -> None:
    calls = flows["held_write"].calls
    assert calls["stepfunctions:StartExecution"] == 3
    assert calls["kms:Sign"] == 1
    assert calls["dynamodb:Scan"] == 0


def test_the_page_is_current(flows: Flows) -> None:
    wanted, stored = "\n".join(figures(flows)), PAGE.read_text("utf-8")
    for line in wanted.partition("###")[0].splitlines():
        if not (found := re.match(r"\| (.+?) \| ([\d.]+) \|", line)):
            continue
        row = re.search(rf"^\| {re.escape(found[1])} \| ([\d.]+) \|", stored, re.MULTILINE)
        assert row, f"{found[1]}: run `python -m bench.cost --write docs/cost.md`"
        # One byte more in an item may be a unit more.
        assert float(row[1]) == pytest.approx(float(found[2]), rel=0.1), found[1]
