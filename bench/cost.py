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

LOOKS: Final = ((900, 1800), (15, 900), (60, 900), (300, 900), (600, 3600))
"""How often an Edge looks for a newer Bundle (`control.bundle_seconds`), and how long one is good for
(`Limits.bundle_seconds`), in seconds; the defaults first. At half its life a Bundle is asked for anew."""

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


def idle_month(flows: Flows, look_seconds: int, good_seconds: int) -> Usage:
    """An Edge that nobody uses, for a month: it only keeps its Bundle."""
    seconds = HOURS_PER_MONTH * 3600
    renewed = seconds / max(good_seconds / 2, look_seconds)
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
    for look, good in LOOKS:
        cost = idle_month(flows, look, good).dollars
        default = ", the defaults" if (look, good) == LOOKS[0] else ""
        what = f"idle Edge, a month: looks every {look} s, Bundle good for {good} s{default}"
        yield f"| {what} | {cost:.3f} | {_met(cost, 0.08)} |"
    per_hour = {name: flows[name].dollars for name in ("queue_hour", "long_poll_hour")}
    yield f"| besides, an hour in which something is held, at the Edge's own queue | {per_hour['queue_hour']:.5f} | |"
    yield f"| the same by HTTP long poll | {per_hour['long_poll_hour']:.4f} | |"
    always = per_hour["queue_hour"] * HOURS_PER_MONTH
    yield f"| a whole month of waiting at the queue | {always:.3f} | {_met(always, 0.08)} |"
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
    looks = EDGES / LOOKS[0][0]
    renewals = EDGES / (LOOKS[0][1] / 2)
    look = flows["bundle_look"]
    writes = rate * held.units.get(Unit.WRITE, 0) + looks * look.units.get(Unit.WRITE, 0)
    waiting = rate / PEAK * HOLD_SECONDS
    http = rate * held.units.get(Unit.HTTP, 0) + looks
    concurrent = http * MEASURED_NOWHERE["api_seconds"]
    rows = (
        ("http", http, ""),
        ("concurrent", concurrent, "Edges wait at their queues"),
        ("concurrent", concurrent + waiting, f"if {waiting:,.0f} Edges wait by HTTP instead"),
        ("writes", writes, ""),
        *((kind, rate * units, name) for kind, name, units in _hottest(held)),
        ("starts", rate * held.calls["stepfunctions:StartExecution"], ""),
        ("transitions", rate * held.units.get(Unit.TRANSITION, 0), ""),
        ("kms", rate * held.units.get(Unit.KMS, 0) + renewals, "approvals and Bundles"),
        ("mail", rate, "one reviewer told of each"),
        ("puts", rate * held.units.get(Unit.S3_PUT, 0), ""),
    )
    yield f"### {EDGES:,} Edges and {REQUESTS_A_DAY:,} held writes a day"
    yield ""
    idle = idle_month(flows, *LOOKS[0]).dollars * EDGES
    yield (
        f"${held.dollars * REQUESTS_A_DAY * 30.4:,.0f} a month for the writes, ${idle:,.0f} for the Edges with the "
        f"default of {LOOKS[0][0]} s, ${idle_month(flows, *LOOKS[1]).dollars * EDGES:,.0f} with {LOOKS[1][0]} s and a "
        f"Bundle of {LOOKS[1][1]} s. A peak is taken as {PEAK} times the average: {rate:.0f} writes/s."
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


SHARED: Final = {"PEOPLE": 1, "POLICY": 1, "EDITS": 1, "META": 1, "CHAIN": 1, "NOTES#": 8, "STATE#": 1, "SOURCE#": 1}
"""Partitions that all Edges and Requests meet in, and how many there are of each."""


def _hottest(held: Usage) -> Iterator[tuple[str, str, float]]:
    """(quota, partition, units of one write) of the shared partitions that are written or read most."""
    for direction, quota in (("write", "shard"), ("read", "reads")):
        found = [
            (units / SHARED[key], key)
            for name, units in held.partitions.items()
            for way, key in (name.split(" ", 1),)
            if way == direction and key in SHARED
        ]
        for units, key in sorted(found, reverse=True)[:3]:
            yield (
                ("chain" if key == "CHAIN" else quota),
                f"{direction} {key}" + (f", one of {SHARED[key]}" if SHARED[key] > 1 else ""),
                units,
            )


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
