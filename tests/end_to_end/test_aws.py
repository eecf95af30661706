"""What only AWS can lose: messages come twice, late, never, or are poison; timers are forgotten; queues vanish."""

from __future__ import annotations

import json
import select
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.aws_deployment import AwsDeployment, aws_deployment
from tests.support.callers import WaitingCaller
from tests.support.deployment import EdgeSettings
from tests.support.postgres import RealPostgres

pytestmark = pytest.mark.slow

WRITE = "UPDATE shop.orders SET total = total + 1 WHERE id = {order}"


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory, postgres: RealPostgres) -> Iterator[AwsDeployment]:
    """One deployment for these tests."""
    with aws_deployment(tmp_path_factory.mktemp("aws"), postgres, EdgeSettings(hold_seconds=12)) as running:
        yield running


def until(what: Callable[[], Any], seconds: float = 20) -> Any:
    """Wait until it is true; what it was then."""
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, "it did not come"
        select.select([], [], [], 0.05)
    return found


def item(aws: AwsDeployment, pk: str, sk: str) -> dict[str, Any]:
    key = {"pk": {"S": pk}, "sk": {"S": sk}}
    found = aws.client("dynamodb").get_item(TableName=aws.outputs["Table"], Key=key, ConsistentRead=True)
    return dict(found.get("Item", {}))


def running(aws: AwsDeployment) -> list[str]:
    listed = aws.client("stepfunctions").list_executions(
        stateMachineArn=aws.outputs["StateMachine"], statusFilter="RUNNING"
    )
    return [one["name"] for one in listed["executions"]]


def total(postgres: RealPostgres, order: int) -> float:
    return float(postgres.admin(f"SELECT total FROM shop.orders WHERE id = {order}"))


def test_an_edge_is_woken_by_its_own_queue(aws: AwsDeployment) -> None:
    caller = WaitingCaller(aws.dsn, WRITE.format(order=51))
    request = aws.one_pending()
    assert aws.vote("rob", request, approve=True).status == 200
    assert caller.done().rows == 1
    # The hint in the table is acknowledged by polls over HTTP alone: that it stands means that nobody polled.
    assert item(aws, "WAKE#edge-1", request["id"])


def test_reviewers_are_told_by_mail_through_the_queue(aws: AwsDeployment) -> None:
    before = aws.client("ses").get_send_quota()["SentLast24Hours"]
    caller = WaitingCaller(aws.dsn, WRITE.format(order=52))
    request = aws.one_pending()
    until(lambda: aws.client("ses").get_send_quota()["SentLast24Hours"] > before)
    aws.vote("rob", request, approve=False, reason="a test")
    caller.done()


def test_a_timer_ends_with_its_request(aws: AwsDeployment) -> None:
    caller = WaitingCaller(aws.dsn, WRITE.format(order=53))
    request = aws.one_pending()
    assert any(name.startswith(request["id"]) for name in running(aws))
    aws.vote("rob", request, approve=False, reason="a test")
    caller.done()
    until(lambda: not any(name.startswith(request["id"]) for name in running(aws)))


def test_reminders_that_come_early_and_twice_change_nothing(aws: AwsDeployment) -> None:
    caller = WaitingCaller(aws.dsn, WRITE.format(order=54))
    request = aws.one_pending()
    sqs = aws.client("sqs")
    for _ in range(2):
        sqs.send_message(QueueUrl=aws.outputs["DueQueue"], MessageBody=json.dumps({"id": request["id"]}))
    until(lambda: _left(aws, "DueQueue") == 0)
    assert aws.state(request["id"]) == "pending"
    before = total(aws.postgres, 54)
    assert aws.vote("rob", request, approve=True).status == 200
    assert caller.done().rows == 1
    assert aws.until(request["id"], "done") == "done"
    sqs.send_message(QueueUrl=aws.outputs["DueQueue"], MessageBody=json.dumps({"id": request["id"]}))
    until(lambda: _left(aws, "DueQueue") == 0)
    assert aws.state(request["id"]) == "done"
    assert total(aws.postgres, 54) == before + 1


def test_a_crash_between_the_request_and_its_timer_is_mended(aws: AwsDeployment) -> None:
    caller = WaitingCaller(aws.dsn, WRITE.format(order=55))
    request = aws.one_pending()
    # As if the process had died after it kept the Request: no timer, no execution.
    timer = item(aws, f"REQ#{request['id']}", "TIMER")
    key = {"pk": timer["pk"], "sk": timer["sk"]}
    aws.client("dynamodb").delete_item(TableName=aws.outputs["Table"], Key=key)
    until(lambda: item(aws, f"REQ#{request['id']}", "TIMER"))
    assert "nobody approved in time" in str(caller.done(40).error)
    assert aws.until(request["id"], "expired") == "expired"


def test_poison_in_a_queue_is_recorded_and_comes_to_the_dead_letters(aws: AwsDeployment) -> None:
    sqs = aws.client("sqs")
    attributes = sqs.get_queue_attributes(QueueUrl=aws.outputs["DueQueue"], AttributeNames=["RedrivePolicy"])
    dead = json.loads(attributes["Attributes"]["RedrivePolicy"])["deadLetterTargetArn"].rpartition(":")[2]
    dead_queue = sqs.get_queue_url(QueueName=dead)["QueueUrl"]
    sqs.send_message(QueueUrl=aws.outputs["DueQueue"], MessageBody='{"id": "../../etc/passwd"}')
    # The queue itself hides a failed message for minutes; the pump asks for a second.
    until(lambda: int(_count(sqs, dead_queue)) == 1, seconds=60)
    found = until(lambda: _records(aws, "alarm"), seconds=30)
    assert any("no message of ours" in one.get("reason", "") for one in found)
    caller = WaitingCaller(aws.dsn, WRITE.format(order=56))
    request = aws.one_pending()
    assert aws.vote("rob", request, approve=True).status == 200
    assert caller.done().rows == 1


def test_a_queue_of_an_edge_that_vanished_is_done_without(aws: AwsDeployment) -> None:
    sqs = aws.client("sqs")
    (url,) = (one for one in sqs.list_queues()["QueueUrls"] if one.endswith("wake-edge-1"))
    sqs.delete_queue(QueueUrl=url)
    caller = WaitingCaller(aws.dsn, WRITE.format(order=57))
    request = aws.one_pending()
    assert aws.vote("rob", request, approve=True).status == 200
    assert caller.done().rows == 1


def _left(aws: AwsDeployment, queue: str) -> int:
    return int(_count(aws.client("sqs"), aws.outputs[queue]))


def _count(sqs: Any, url: str) -> int:
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return sum(int(found[name]) for name in names)


def _records(aws: AwsDeployment, kind: str) -> list[dict[str, Any]]:
    """Sealed records of a type."""
    import gzip

    lines: list[dict[str, Any]] = []
    for path in sorted(Path(aws.recordings()).glob("lines/dt=*/*.jsonl.gz")):
        lines += [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    return [one for one in lines if one.get("type") == kind]
