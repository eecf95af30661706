"""Waking over SQS: the port suite, and what a table and a queue beside each other can get wrong."""

from __future__ import annotations

import threading

import msgspec
import pytest
from botocore.exceptions import ClientError

from control_plane.chalicelib.adapters.aws.table import TTL, Key, Put, Table
from control_plane.chalicelib.adapters.aws.wake_access import LIFETIME_SECONDS, StsWakeAccess
from control_plane.chalicelib.adapters.aws.wake_queues import WakeQueues
from control_plane.chalicelib.adapters.aws.waker import HINT_SECONDS, MAX_DROPPED, MAX_HINTS, SqsWaker
from tests.control_plane.ports.aws_backend import AwsBackend, backend
from tests.control_plane.ports.storage_suites import WakerSuite
from tests.support.aws import REGION
from twokeys.messages import PollReply

__all__ = ["backend"]

REQUEST = "req_" + "a" * 26


class TestWaker(WakerSuite):
    """A table and a queue per Edge."""


@pytest.fixture
def waker(backend: AwsBackend) -> SqsWaker:
    return SqsWaker(table_of(backend), backend.clients, backend.settings.wake_queue_prefix, backend.clock)


def table_of(backend: AwsBackend) -> Table:
    return Table(backend.clients, backend.settings.table, lambda seconds: None)


def queues(backend: AwsBackend) -> list[str]:
    found = backend.clients.of("sqs").list_queues(QueueNamePrefix=backend.settings.wake_queue_prefix)
    return [url.rpartition("/")[2] for url in found.get("QueueUrls", [])]


def test_what_moved_again_after_it_was_told_is_not_swallowed_by_the_acknowledgement(waker: SqsWaker) -> None:
    waker.wake("e-1", REQUEST)
    assert waker.wait("e-1", 0, []) == [REQUEST]
    waker.wake("e-1", REQUEST)
    assert waker.wait("e-1", 0, [REQUEST]) == [REQUEST]
    assert waker.wait("e-1", 0, [REQUEST]) == []


def test_what_was_never_told_is_not_forgotten(waker: SqsWaker) -> None:
    waker.wake("e-1", REQUEST)
    assert waker.wait("e-1", 0, [REQUEST]) == [REQUEST]


def test_the_oldest_hints_are_told_first_and_the_rest_next(backend: AwsBackend, waker: SqsWaker) -> None:
    ids = [f"req_{number:026d}" for number in reversed(range(MAX_HINTS + 3))]
    for one in ids:
        waker.wake("e-1", one)
        backend.clock.pass_seconds(0.001)
    assert waker.wait("e-1", 0, []) == ids[:MAX_HINTS]
    assert waker.wait("e-1", 0, ids[:MAX_HINTS]) == ids[MAX_HINTS:]


def test_old_hints_are_not_told_and_do_not_hide_new_ones(backend: AwsBackend, waker: SqsWaker) -> None:
    table = table_of(backend)
    for number in range(MAX_DROPPED + 20):
        table.write(Put({"pk": "WAKE#e-1", "sk": f"req_{number:026d}", "at": 0, "version": "v", TTL: 1}))
    waker.wake("e-1", REQUEST)
    assert waker.wait("e-1", 0, []) == [REQUEST]
    assert len(list(table.query("WAKE#e-1"))) == 21
    backend.clock.pass_seconds(HINT_SECONDS)
    assert waker.wait("e-1", 0, []) == []
    assert list(table.query("WAKE#e-1")) == []


def test_the_nudge_is_the_body_of_a_poll_reply(backend: AwsBackend, waker: SqsWaker) -> None:
    url = waker.ensure_queue("e-1")
    waker.wake("e-1", REQUEST)
    (message,) = backend.clients.of("sqs").receive_message(QueueUrl=url)["Messages"]
    assert message["Body"] == f'{{"wake":["{REQUEST}"]}}'
    assert msgspec.json.decode(message["Body"], type=PollReply) == PollReply(wake=[REQUEST])


def test_a_queue_keeps_messages_for_an_hour_and_encrypts_them(backend: AwsBackend, waker: SqsWaker) -> None:
    url = waker.ensure_queue("e-1")
    assert waker.ensure_queue("e-1") == url
    told = backend.clients.of("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert (told["MessageRetentionPeriod"], told["SqsManagedSseEnabled"]) == ("3600", "true")


def test_a_queue_made_otherwise_by_another_version_is_used(backend: AwsBackend, waker: SqsWaker) -> None:
    made = backend.clients.of("sqs").create_queue(QueueName=backend.settings.wake_queue_prefix + "e-1")
    assert waker.ensure_queue("e-1") == made["QueueUrl"]


def test_a_revoked_edge_gets_no_queue_again_by_a_hint(backend: AwsBackend, waker: SqsWaker) -> None:
    waker.ensure_queue("e-1")
    other = SqsWaker(table_of(backend), backend.clients, backend.settings.wake_queue_prefix, backend.clock)
    other.remove_queue("e-1")
    other.remove_queue("e-1")
    waker.wake("e-1", REQUEST)
    waker.wake("e-1", REQUEST)
    assert queues(backend) == []


def test_a_wait_outlives_its_queue(backend: AwsBackend, waker: SqsWaker) -> None:
    url = waker.ensure_queue("e-1")
    backend.clients.of("sqs").delete_queue(QueueUrl=url)
    assert waker.wait("e-1", 0.6, []) == []
    assert len(queues(backend)) == 1


def test_a_hint_is_kept_when_the_nudge_fails(backend: AwsBackend, waker: SqsWaker) -> None:
    waker.ensure_queue("e-1")

    def refuse(**_: object) -> None:
        raise ClientError({"Error": {"Code": "AccessDenied"}}, "SendMessage")

    events = backend.clients.of("sqs").meta.events
    events.register("before-call.sqs.SendMessage", refuse)
    waker.wake("e-1", REQUEST)
    events.unregister("before-call.sqs.SendMessage", refuse)
    assert waker.wait("e-1", 0, []) == [REQUEST]


def test_every_wait_of_an_edge_gets_its_own_number(waker: SqsWaker) -> None:
    numbers: list[int] = []
    threads = [threading.Thread(target=lambda: numbers.append(waker._begin("e-1", 0))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(numbers) == [1, 2, 3, 4]


@pytest.mark.parametrize("edge_id", ["e.1", "e@1", "e+1", "x" * 128, "x" * 61 + "-" * 3])
def test_no_two_edges_share_a_queue_and_sqs_can_spell_each(backend: AwsBackend, edge_id: str) -> None:
    names = WakeQueues(backend.clients, backend.settings.wake_queue_prefix)
    other = edge_id.replace(".", "-").replace("@", "-").replace("+", "-")[:63] + "y"
    assert names.name(edge_id) != names.name(other)
    backend.clients.of("sqs").create_queue(QueueName=names.name(edge_id))
    assert names.name(edge_id).startswith(backend.settings.wake_queue_prefix)
    assert len(names.name(edge_id)) <= 80


def test_a_prefix_that_leaves_no_room_is_refused(backend: AwsBackend) -> None:
    for prefix in ("x" * 40, "", "a.b", "a*"):
        with pytest.raises(ValueError, match="prefix"):
            WakeQueues(backend.clients, prefix)


def test_no_id_is_spelled_as_another_ones_hash(backend: AwsBackend) -> None:
    names = WakeQueues(backend.clients, "p-")
    hashed = names.name("e.1")
    assert len(hashed) == 2 + 41
    assert names.name(hashed.removeprefix("p-")) != hashed


def test_a_session_may_receive_and_delete_from_one_queue_and_nothing_else(backend: AwsBackend) -> None:
    settings = backend.settings
    access = StsWakeAccess(backend.clients, settings.wake_role, settings.wake_queue_prefix)
    assert access.session_policy("e-1") == {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": ["sqs:ReceiveMessage", "sqs:DeleteMessage"],
                "Resource": f"arn:aws:sqs:{REGION}:123456789012:twokeys-test-wake-e-1",
            }
        ],
    }
    # The characters that mean "any" in an ARN are in no id.
    for edge_id in ("e.1", "x" * 128):
        (statement,) = access.session_policy(edge_id)["Statement"]
        assert not set("*?$") & set(statement["Resource"])


def test_credentials_are_of_the_role_for_an_hour_under_that_policy(backend: AwsBackend) -> None:
    asked: list[dict[str, str]] = []

    def note(params: dict[str, dict[str, str]], **_: object) -> None:
        asked.append(params["body"])

    backend.clients.of("sts").meta.events.register("before-call.sts.AssumeRole", note)
    settings = backend.settings
    access = StsWakeAccess(backend.clients, settings.wake_role, settings.wake_queue_prefix)
    made = access.credentials("e-1")
    (body,) = asked
    assert body["RoleArn"] == settings.wake_role
    assert body["RoleSessionName"] == "edge-e-1"
    assert int(body["DurationSeconds"]) == LIFETIME_SECONDS
    assert msgspec.json.decode(body["Policy"]) == access.session_policy("e-1")
    queue = backend.clients.of("sqs").get_queue_attributes(QueueUrl=made.queue_url, AttributeNames=["QueueArn"])
    assert queue["Attributes"]["QueueArn"] == access.session_policy("e-1")["Statement"][0]["Resource"]
    assert made.expires_at > 1_700_000_000_000
    assert (made.secret in repr(made), made.token in repr(made)) == (False, False)


def test_waits_are_counted_beside_the_hints_and_are_none(backend: AwsBackend, waker: SqsWaker) -> None:
    assert waker.wait("e-1", 0.1, []) == []
    item = table_of(backend).get(Key("WAKE#e-1", "#WAITS"))
    assert item is not None
    assert item["begun"] == 1
    assert waker.wait("e-1", 0, []) == []
