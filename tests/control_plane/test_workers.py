"""The workers: each message works one Request, a poisoned one is recorded once and raised, clocks say what they saw."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from aws_lambda_powertools import Logger, Metrics
from chalice.app import Chalice
from chalice.test import Client

from control_plane.chalicelib.ports.recordings import Published
from control_plane.chalicelib.services.reconciling import Reconciled
from control_plane.chalicelib.workers import MAX_DELIVERIES, Queues, Work, blueprint, read_message
from twokeys.errors import InvalidInput, Unavailable

REQUEST = "req_" + "a" * 26
UNKNOWN = "req_" + "b" * 26


@dataclass
class Seen:
    """What the functions did."""

    reminded: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    poisoned: list[tuple[str, str, str]] = field(default_factory=list)
    found: Reconciled = field(default_factory=lambda: Reconciled(0, 0))
    published: Published = field(default_factory=lambda: Published(3))
    fault: Exception | None = None

    def remind(self, request_id: str) -> None:
        if self.fault:
            raise self.fault
        self.reminded.append(request_id)

    def tell(self, request_id: str) -> int:
        self.told.append(request_id)
        return 2


@dataclass
class Functions:
    """The functions, as Lambda calls them."""

    seen: Seen
    metrics: Metrics
    client: Client

    def message(self, function: str, body: str, deliveries: int = 1) -> None:
        event = self.client.events.generate_sqs_event([body], queue_name=f"twokeys-test-{function}")
        event["Records"][0]["attributes"]["ApproximateReceiveCount"] = str(deliveries)
        self.client.lambda_.invoke(function, event)

    def tick(self, function: str) -> None:
        event = self.client.events.generate_cw_event("aws.events", "Scheduled Event", {}, [])
        self.client.lambda_.invoke(function, event)

    def metric(self, name: str) -> list[float]:
        found: Any = self.metrics.metric_set.get(name, {"Value": []})
        return [float(value) for value in found["Value"]]


@pytest.fixture
def functions() -> Iterator[Functions]:
    seen, metrics = Seen(), Metrics(namespace="Twokeys", service="twokeys")
    metrics.clear_metrics()
    work = Work(
        exists=lambda request_id: request_id == REQUEST,
        remind=seen.remind,
        tell=seen.tell,
        export=lambda: 7,
        reconcile=lambda: seen.found,
        silent_edges=lambda: 1,
        publish=lambda: seen.published,
        poisoned=lambda *told: seen.poisoned.append(told),
    )
    app = Chalice(app_name="twokeys")
    app.register_blueprint(blueprint(Queues("twokeys-test-due", "twokeys-test-notices"), work, Logger("t"), metrics))
    with Client(app) as client:
        yield Functions(seen, metrics, client)
    metrics.clear_metrics()


def test_a_due_message_reminds_of_its_request(functions: Functions) -> None:
    functions.message("due", json.dumps({"id": REQUEST}))
    assert (functions.seen.reminded, functions.metric("Reminders")) == ([REQUEST], [1.0])


def test_a_notice_tells_and_never_more_often_than_its_limit(functions: Functions) -> None:
    for delivery in range(1, 8):
        try:
            functions.message("notices", json.dumps({"id": REQUEST}), delivery)
        except Unavailable:
            assert delivery > MAX_DELIVERIES
    assert functions.seen.told == [REQUEST] * MAX_DELIVERIES


@pytest.mark.parametrize("function", ["due", "notices"])
@pytest.mark.parametrize(
    "body",
    ["", "{", "null", "[]", '"req"', "7", '{"id": 7}', '{"id": ""}', '{"id": "a b"}', '{"id": "../x"}', "[" * 1000,
     '{"id": null}', '{"wake": ["req_1"]}', json.dumps({"id": UNKNOWN}), json.dumps({"id": "a" * 2000})],
)  # fmt: skip
def test_a_poisoned_message_is_recorded_once_and_raised_every_time(
    functions: Functions, function: str, body: str
) -> None:
    for delivery in (1, 2, 3):
        with pytest.raises(InvalidInput, match="can't be worked"):
            functions.message(function, body, delivery)
    ((queue, message, problem),) = functions.seen.poisoned
    assert (queue, bool(message), bool(problem)) == (f"twokeys-test-{function}", True, True)
    assert (functions.seen.reminded, functions.seen.told) == ([], [])
    assert "a b" not in problem, "what a stranger wrote is not repeated"


def test_a_store_that_is_down_makes_the_message_come_again(functions: Functions) -> None:
    functions.seen.fault = Unavailable("DynamoDB is busy.")
    with pytest.raises(Unavailable):
        functions.message("due", json.dumps({"id": REQUEST}))
    assert functions.seen.poisoned == []


def test_each_minute_says_how_late_the_latest_is(functions: Functions) -> None:
    functions.tick("reconcile")
    functions.seen.found = Reconciled(3, 61_500, reminded=1, started=2)
    functions.tick("reconcile")
    assert functions.metric("ExpiryLagSeconds") == [0.0, 61.5]
    assert functions.metric("TimersMissing") == [0.0, 2.0]
    assert functions.metric("SilentEdges") == [1.0, 1.0]


def test_a_run_that_left_requests_out_is_an_error_after_its_figures(functions: Functions) -> None:
    functions.seen.found = Reconciled(3, 5_000, failed=1)
    with pytest.raises(Unavailable, match="1 requests"):
        functions.tick("reconcile")
    assert functions.metric("ExpiryLagSeconds") == [5.0]
    assert functions.metric("SegmentsPublished") == [3.0], "recordings do not wait for it"


def test_a_segment_that_cannot_be_published_is_an_error_after_the_others(functions: Functions) -> None:
    functions.seen.published = Published(2, failed=1)
    with pytest.raises(Unavailable, match="1 sealed segments"):
        functions.tick("reconcile")
    assert functions.metric("SegmentsPublished") == [2.0]


def test_our_own_records_are_sealed_each_minute(functions: Functions) -> None:
    functions.tick("export")
    assert functions.metric("RecordsSealed") == [7.0]


def test_a_message_is_an_id_and_nothing_else() -> None:
    assert read_message(json.dumps({"id": REQUEST, "newer": 1})) == REQUEST
    assert read_message(json.dumps({"id": REQUEST + "\n"})) == ""


def test_chalice_knows_four_functions_by_the_names_of_their_policies(functions: Functions) -> None:
    app: Any = functions.client._app
    names = [one.name for one in app.pure_lambda_functions + app.event_sources]
    assert sorted(names) == ["due", "export", "notices", "reconcile"]
    assert {one.queue: one.batch_size for one in app.event_sources if hasattr(one, "queue")} == {
        "twokeys-test-due": 1, "twokeys-test-notices": 1,
    }  # fmt: skip
