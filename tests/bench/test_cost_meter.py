"""The estimate counts what AWS counts: items by DynamoDB's rules, calls by service, states of the machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from bench.cost import BEGIN, END, page
from bench.cost_meter import Meter, Usage, item_bytes
from bench.cost_prices import PRICES, Unit
from control_plane.chalicelib.adapters.aws.clients import Clients
from control_plane.chalicelib.adapters.aws.table import Check, Delete, Key, Put, Table, Update
from tests.support.aws import REGION, make_table


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Meter, Table, Clients]]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        session = boto3.session.Session(region_name=REGION)
        meter = Meter(boto3.client("dynamodb", region_name=REGION))
        meter.watch(session)
        clients = Clients(session.client)
        make_table(clients, "t")
        yield meter, Table(clients, "t"), clients


def units(usage: Usage) -> dict[str, float]:
    return {unit.name: count for unit, count in usage.units.items()}


def test_item_sizes_are_dynamodbs() -> None:
    wire: dict[str, Any] = {"pk": {"S": "é"}, "n": {"N": "123"}, "b": {"B": b"abc"}, "t": {"BOOL": True}}
    assert item_bytes(wire) == (2 + 2) + (1 + 2) + (1 + 3) + (1 + 1)
    assert item_bytes({"l": {"L": [{"S": "ab"}]}, "m": {"M": {"k": {"S": "v"}}}}) == (1 + 3 + 1 + 2) + (
        1 + 3 + 1 + 1 + 1
    )


def test_transactional_writes_cost_twice_by_kilobyte_and_index_entries_besides(
    counted: tuple[Meter, Table, Clients],
) -> None:
    meter, table, _ = counted
    with meter.counting() as small:
        table.write(Put({"pk": "a", "sk": "a"}))
    assert units(small) == {"WRITE": 2}
    with meter.counting() as large:
        table.write(Put({"pk": "b", "sk": "b", "text": "x" * 2000, "list_pk": "L", "list_sk": "1"}))
    assert units(large) == {"WRITE": 2 * 2 + 2}
    with meter.counting() as moved:
        table.write(Update(Key("b", "b"), "SET list_pk = :l", values={":l": "M"}))
    assert units(moved) == {"WRITE": 2 * 2 + 2 * 2}, "an entry goes and another comes"
    with meter.counting() as stayed:
        table.write(Update(Key("b", "b"), "SET mark = :m", values={":m": 1}))
    assert units(stayed) == {"WRITE": 2 * 2 + 2}
    with meter.counting() as several:
        table.write(Check(Key("a", "a"), "attribute_exists(pk)"), Delete(Key("b", "b")))
    assert units(several) == {"WRITE": 2 + 2 * 2 + 2 * 2}


def test_consistent_reads_cost_by_four_kilobytes(counted: tuple[Meter, Table, Clients]) -> None:
    meter, table, _ = counted
    for number in range(3):
        table.write(Put({"pk": "a", "sk": str(number), "text": "x" * 3000}))
    with meter.counting() as usage:
        table.get(Key("a", "0"))
        table.get(Key("a", "none"))
        list(table.query("a"))
    assert units(usage) == {"READ": 1 + 1 + 3}
    assert dict(usage.calls) == {"dynamodb:GetItem": 2, "dynamodb:Query": 1}


def test_nothing_is_counted_outside_a_piece_of_work(counted: tuple[Meter, Table, Clients]) -> None:
    meter, table, clients = counted
    with meter.counting() as usage:
        clients.of("sqs").create_queue(QueueName="q")
    table.get(Key("a", "0"))
    assert units(usage) == {"SQS": 1}


def test_dollars_are_units_by_price() -> None:
    usage = Usage()
    usage.add(Unit.TRANSITION, 4000)
    usage.add(Unit.HTTP, 1_000_000)
    assert usage.dollars == pytest.approx(0.1 + 3.5)
    assert usage.times(2).dollars == pytest.approx(7.2)
    assert usage.plus(usage).less(usage).dollars == pytest.approx(3.6)
    assert set(PRICES) == set(Unit)


def test_a_timer_that_is_ended_passes_two_states_and_one_that_fires_three() -> None:
    flows = pytest.importorskip("bench.cost_flows")
    machine = json.loads(flows.MACHINE.read_text("utf-8"))
    assert len(flows.walk(machine, fired=False)) == 2
    assert len(flows.walk(machine, fired=True)) == 3


def test_figures_are_put_between_their_marks_and_nothing_else_changes() -> None:
    text = f"# Cost\n\n{BEGIN}\nold\n{END}\n\nmore\n"
    assert page(text, ["new"]) == f"# Cost\n\n{BEGIN}\n\nnew\n\n{END}\n\nmore\n"
    assert page(page(text, ["new"]), ["new"]) == page(text, ["new"])
