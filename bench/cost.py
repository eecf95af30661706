"""What Twokeys costs on AWS, and which quotas bite: list prices times counted calls. `python -m bench cost`.

    real services over the AWS adapters on moto ──counted──▶ usage of each piece of work ──prices──▶ docs/cost.md

`python -m bench.cost --write docs/cost.md` replaces the figures in the page; a test says that they are current.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from bench.cost_flows import SEGMENT_RECORDS, measure
from bench.cost_meter import Usage
from bench.cost_prices import (
    AS_OF,
    HOURS_PER_MONTH,
    KMS_KEY_MONTH,
    MEASURED_NOWHERE,
    PRICES,
    QUOTAS,
    REGION,
    Unit,
)

BEGIN: Final = "<!-- figures: python -m bench.cost --write docs/cost.md -->"
END: Final = "<!-- end of figures -->"

LOOK_SECONDS: Final = (15, 60, 300)
"""How often an Edge looks for a newer Bundle: the default of `control.bundle_seconds`, and two others."""

RENEW_SECONDS: Final = 450
"""Half of a Bundle's 900 s: then it is asked for anew."""

EDGES: Final = 10_000
REQUESTS_A_DAY: Final = 1_000_000
PEAK: Final = 5
"""How much more comes in the busiest second than on average."""

HOLD_SECONDS: Final = 300
"""How long people take, for the number of Edges that wait at once."""

Flows = Mapping[str, Usage]


def held_write(flows: Flows) -> Usage:
    """A held write with its share of sealing the control plane's own Records."""
    return flows["held_write"].plus(flows["own_records"])


def idle_month(flows: Flows, look_seconds: int) -> Usage:
    """An Edge that nobody uses, for a month: it only keeps its Bundle."""
    seconds = HOURS_PER_MONTH * 3600
    renewed = seconds / max(RENEW_SECONDS, look_seconds)
    looks = seconds / look_seconds - renewed
    return flows["bundle_look"].times(looks).plus(flows["bundle_renewed"].times(renewed))


def figures(flows: Flows) -> Iterator[str]:
    """The page's lines."""
    yield from _headline(flows)
    yield from _table("One held write, from open to done", held_write(flows))
    yield from _table(f"One Segment of {SEGMENT_RECORDS} records, sealed", flows["sealed_segment"])
    yield from _table("One look for a newer Bundle", flows["bundle_look"])
    yield from _scale(flows)
    yield from _prices()


def _headline(flows: Flows) -> Iterator[str]:
    yield "| what | dollars | wanted |"
    yield "|---|---|---|"
    for seconds in LOOK_SECONDS:
        note = " (default)" if seconds == LOOK_SECONDS[0] else ""
        cost = idle_month(flows, seconds).dollars
        yield f"| idle Edge, a month, looks for a Bundle every {seconds} s{note} | {cost:.3f} | {_met(cost, 0.08)} |"
    per_hour = {name: flows[name].dollars for name in ("queue_hour", "long_poll_hour")}
    yield f"| Edge with something held, an hour, at its own queue | {per_hour['queue_hour']:.5f} | |"
    yield f"| the same by HTTP long poll | {per_hour['long_poll_hour']:.4f} | |"
    held = held_write(flows).dollars * 1000
    yield f"| 1,000 held writes | {held:.3f} | {_met(held, 1.0)} |"
    million = flows["sealed_segment"].dollars * 1_000_000 / SEGMENT_RECORDS
    yield f"| 1,000,000 records of Edges, {SEGMENT_RECORDS} a Segment | {million:.2f} | |"
    yield f"| 1,000,000 records, one a Segment (a trickle) | {flows['sealed_segment'].dollars * 1e6:.2f} | |"
    yield f"| the deployment itself, a month: four keys, two functions a minute | {_standing(flows):.2f} | |"
    yield ""


def _standing(flows: Flows) -> float:
    """Keys, exporter and reconciler, each minute; the exporter as if it found something each time."""
    runs = HOURS_PER_MONTH * 60
    usage = flows["export_run"].times(runs)
    for memory in (1.0, 0.5):
        usage.add(Unit.INVOCATION, runs)
        usage.add(Unit.GB_SECOND, runs * MEASURED_NOWHERE["worker_seconds"] * memory)
        usage.add(Unit.READ, runs * 10)
    return usage.dollars + 4 * KMS_KEY_MONTH


def _met(cost: float, wanted: float) -> str:
    return f"≤ {wanted:.2f}: {'met' if cost <= wanted else 'NOT met'}"


def _table(title: str, usage: Usage) -> Iterator[str]:
    yield f"### {title}: ${usage.dollars:.7f}"
    yield ""
    yield "| unit | count | dollars for 1,000 |"
    yield "|---|---|---|"
    for unit in Unit:
        if count := usage.units.get(unit, 0.0):
            price = PRICES[unit]
            yield f"| {unit} | {count:.6g} | {1000 * count * price.dollars / price.per:.4f} |"
    yield ""
    calls = ", ".join(f"{name} {count}" for name, count in sorted(usage.calls.items()))
    yield f"Calls of the services: {calls}."
    yield ""


def _scale(flows: Flows) -> Iterator[str]:
    held = held_write(flows)
    rate = REQUESTS_A_DAY / 86400 * PEAK
    looks = EDGES / LOOK_SECONDS[0]
    look = flows["bundle_look"]
    writes = rate * held.units.get(Unit.WRITE, 0) + looks * look.units.get(Unit.WRITE, 0)
    notes = 8 * rate / 8 * 2
    waiting = rate / PEAK * HOLD_SECONDS
    concurrent = (rate * held.units.get(Unit.HTTP, 0) + looks) * MEASURED_NOWHERE["api_seconds"]
    rows = (
        ("http", rate * held.units.get(Unit.HTTP, 0) + looks, ""),
        ("concurrent", concurrent, "at their queues"),
        ("concurrent", concurrent + waiting, f"if {waiting:.0f} Edges wait by HTTP instead"),
        ("writes", writes, ""),
        ("shard", notes, "one of 8 NOTES shards"),
        ("reads", rate * 10, "the partitions PEOPLE and POLICY, every vote and open reads them"),
        ("starts", rate * held.calls["stepfunctions:StartExecution"], ""),
        ("transitions", rate * held.units.get(Unit.TRANSITION, 0), ""),
        ("kms", rate * held.units.get(Unit.KMS, 0) + EDGES / RENEW_SECONDS, "approvals, seals and Bundles"),
        ("mail", rate, "one reviewer told of each"),
        ("puts", rate * held.units.get(Unit.S3_PUT, 0), ""),
    )
    yield f"### {EDGES:,} Edges and {REQUESTS_A_DAY:,} held writes a day"
    yield ""
    month = held.dollars * REQUESTS_A_DAY * 30.4 + idle_month(flows, LOOK_SECONDS[0]).dollars * EDGES
    yield (
        f"${month:,.0f} a month with the default look of {LOOK_SECONDS[0]} s, of which the Edges' looks are "
        f"${idle_month(flows, LOOK_SECONDS[0]).dollars * EDGES:,.0f}. A peak is taken as {PEAK} times the average: "
        f"{rate:.0f} writes/s."
    )
    yield ""
    yield "| quota | default | needed at peak | | how to raise it |"
    yield "|---|---|---|---|---|"
    for name, needed, remark in rows:
        quota = QUOTAS[name]
        bites = "**bites**" if needed > quota.limit else f"{needed / quota.limit:.0%}"
        yield (
            f"| {quota.name} | {quota.limit:,.0f} {quota.what} | {needed:,.0f} {f'({remark})' if remark else ''} "
            f"| {bites} | {quota.raise_by} |"
        )
    yield ""


def _prices() -> Iterator[str]:
    yield f"### List prices, {REGION}, as known on {AS_OF}"
    yield ""
    yield "| unit | dollars | for | page |"
    yield "|---|---|---|---|"
    for unit, price in PRICES.items():
        yield f"| {unit} | {price.dollars:g} | {price.per:,} | {price.page} |"
    yield ""
    assumed = MEASURED_NOWHERE
    yield (
        f"Assumed, because moto can't tell: {assumed['api_seconds']} s for a call, {assumed['worker_seconds']} s for a "
        f"worker, {assumed['log_kilobytes']:.0f} KB logged by each. Left out: free tiers, storage, transfer, alarms."
    )


def page(text: str, lines: Sequence[str]) -> str:
    """A page with its figures replaced."""
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    return f"{before}{BEGIN}\n\n" + "\n".join(lines) + f"\n\n{END}{after}"


def main() -> None:
    """Measure and print; with `--write PAGE` put the figures into a page."""
    lines = list(figures(measure()))
    print("\n".join(lines))
    if "--write" in sys.argv:
        path = Path(sys.argv[sys.argv.index("--write") + 1])
        path.write_text(page(path.read_text("utf-8"), lines), "utf-8")


if __name__ == "__main__":
    main()
