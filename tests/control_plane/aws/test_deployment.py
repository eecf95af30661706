"""The application on AWS, wired whole over moto: routes, pages, workers, from one environment."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from chalice.test import Client
from moto import mock_aws
from moto.sesv2.models import sesv2_backends

from control_plane.aws.first_start import FirstPerson
from control_plane.aws.first_start import bootstrap as put_in_force
from control_plane.chalicelib.adapters.aws.deployment import Deployment, deploy, queue_name, recordings_of
from control_plane.chalicelib.adapters.aws.settings import Settings
from control_plane.chalicelib.adapters.aws.watching import SEEN_SECONDS, SILENT_SECONDS, SilentEdges, WatchedEdges
from control_plane.chalicelib.services.limits import Limits
from control_plane.chalicelib.services.people import MachineFacts
from tests.control_plane.ports.aws_backend import _clients
from tests.control_plane.world import TARGET, EdgeActor, ManualClock, message
from tests.support.aws import make_resources
from tests.support.moto_patches import EXECUTING, patch_moto
from twokeys.errors import InvalidInput, Refused
from twokeys.messages import OpenRequest, RequestStatus
from twokeys.request import State

ANN = FirstPerson("ann", "5d1c7e2a-ann", "ann@example.com")
ROB = FirstPerson("rob", "77aa01bc-rob", "rob@example.com")


@dataclass
class Aws:
    """A deployment in force, with one Edge."""

    deployment: Deployment
    clock: ManualClock
    actor: EdgeActor
    client: Client

    def open(self) -> RequestStatus:
        edge = self.deployment.ports.edges.edge("edge-1")
        assert edge is not None
        return self.deployment.services.requests.open(edge, self.message())

    def message(self) -> OpenRequest:
        return message(self.deployment.ports, "UPDATE shop.orders SET paid = true WHERE id = 4")

    def queued(self, url: str) -> list[dict[str, Any]]:
        sqs = _clients().of("sqs")
        found = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=0)
        return [json.loads(one["Body"]) for one in found.get("Messages", [])]

    def hand_over(self, function: str, body: str, deliveries: int = 1) -> None:
        event = self.client.events.generate_sqs_event([body], queue_name=f"twokeys-test-{function}")
        event["Records"][0]["attributes"]["ApproximateReceiveCount"] = str(deliveries)
        self.client.lambda_.invoke(function, event)

    def tick(self, function: str) -> None:
        event = self.client.events.generate_cw_event("aws.events", "Scheduled Event", {}, [])
        self.client.lambda_.invoke(function, event)

    def records(self) -> list[dict[str, Any]]:
        return [msgspec.json.decode(line) for line in self.deployment.ports.records.after(0, 1000).lines]

    def stored(self, request_id: str) -> State:
        found = self.deployment.ports.requests.find(request_id)
        assert found is not None
        return found.state


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("POWERTOOLS_TRACE_DISABLED", "true")
    monkeypatch.setenv("POWERTOOLS_METRICS_FUNCTION_NAME", "twokeys")
    patch_moto(monkeypatch)
    with mock_aws(config=EXECUTING):
        clients, clock = _clients(), ManualClock(1_795_379_462_000)
        settings = made(make_resources(clients))
        clients.of("sesv2").create_email_identity(EmailIdentity="twokeys@example.com")
        clients.of("secretsmanager").create_secret(Name=settings.cookie_secret, SecretString="c" * 64)
        machine = clients.of("stepfunctions").create_state_machine(
            name="twokeys-test-timer", roleArn=settings.wake_role,
            definition=json.dumps({"StartAt": "A", "States": {"A": {"Type": "Succeed"}}}),
        )  # fmt: skip
        settings = msgspec.structs.replace(settings, state_machine=machine["stateMachineArn"])
        deployment = deploy(settings, clients, clock, Limits())
        put_in_force(deployment.ports, ANN, [ROB], recordings_of(settings, clients).publish_keys)
        actor = EdgeActor(clock)
        token = deployment.services.enrolment.make_token("edge-1", [TARGET], "ann")
        deployment.services.enrolment.enrol(actor.enrol_request(token))
        ann = deployment.ports.people.person("ann")
        assert ann is not None
        deployment.services.registry.put_machine(ann, MachineFacts("agent-7", "ann", []))
        clock.pass_seconds(25 * 3600)
        with Client(deployment.app) as client:
            yield Aws(deployment, clock, actor, client)


def made(settings: Settings) -> Settings:
    return msgspec.structs.replace(settings, mail_from="twokeys@example.com")


def test_routes_pages_and_workers_are_one_application(aws: Aws) -> None:
    routes = set(aws.deployment.app.routes)
    for path in ("/v1/requests", "/healthz", "/.well-known/twokeys", "/signin", "/callback", "/r/{request_id}"):
        assert path in routes, sorted(routes)
    assert not [path for path in routes if path.startswith(("/issuer", "/outbox"))]
    answer = aws.client.http.get("/healthz")
    assert (answer.status_code, answer.json_body) == (200, {"state": "well"})
    assert aws.client.http.get("/v1/requests").status_code == 401


def test_a_request_is_announced_and_its_notice_mails_who_may_approve(aws: Aws) -> None:
    opened = aws.open().id
    (body,) = aws.queued(aws.deployment.settings.notices_queue)
    assert body == {"id": opened}
    aws.hand_over("notices", json.dumps(body))
    sent = sent_mails()
    assert [mail.destinations["ToAddresses"] for mail in sent] == [["rob@example.com"]], "ann sponsors who asks"


def test_a_decided_request_is_told_to_nobody(aws: Aws) -> None:
    opened = aws.open().id
    aws.clock.pass_seconds(61)
    aws.hand_over("due", json.dumps({"id": opened}))
    assert aws.stored(opened) is State.EXPIRED
    aws.hand_over("notices", json.dumps({"id": opened}))
    assert sent_mails() == []


def test_an_early_reminder_ends_nothing(aws: Aws) -> None:
    opened = aws.open().id
    aws.hand_over("due", json.dumps({"id": opened}))
    assert aws.stored(opened) is State.PENDING


def test_a_poisoned_message_leaves_one_record(aws: Aws) -> None:
    for delivery in (1, 2, 3):
        with pytest.raises(InvalidInput):
            aws.hand_over("due", '{"id": "req_nobody-knows"}', delivery)
    found = [one for one in aws.records() if one.get("outcome") == "poisoned_message"]
    assert len(found) == 1
    assert "twokeys-test-due" in found[0]["reason"]


def test_the_reconciler_ends_what_no_timer_did(aws: Aws) -> None:
    opened = aws.open().id
    aws.clock.pass_seconds(61)
    aws.tick("reconcile")
    assert aws.stored(opened) is State.EXPIRED


def test_our_records_become_a_sealed_segment(aws: Aws) -> None:
    aws.tick("export")
    seal = aws.deployment.ports.recordings.last_seal("control-plane")
    assert seal is not None and seal.last_seq >= 4
    aws.tick("export")


def test_a_page_needs_a_sign_in_and_static_files_nobody(aws: Aws) -> None:
    assert aws.client.http.get("/static/style.css").status_code == 200
    answer = aws.client.http.get("/")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/signin?next=/")


def test_edges_that_do_not_call_are_counted(aws: Aws) -> None:
    table, ports = aws.deployment.ports.edges, aws.deployment.ports
    assert isinstance(table, WatchedEdges)
    silent = SilentEdges(ports.edges, table._seen_table, aws.clock)
    assert silent.count() == 1, "it never called"
    aws.deployment.services.edge_auth.verify(aws.actor.call("GET", "/v1/edges/edge-1/bundle"))
    assert SilentEdges(ports.edges, table._seen_table, aws.clock).count() == 0
    aws.clock.pass_seconds(SILENT_SECONDS - 1)
    assert SilentEdges(ports.edges, table._seen_table, aws.clock).count() == 0
    aws.clock.pass_seconds(1)
    assert silent.count() == 1
    assert SEEN_SECONDS * 2 < SILENT_SECONDS


@pytest.mark.parametrize(
    "changes",
    [{"public_url": "https://x.execute-api.us-east-1.amazonaws.com/api"}, {"issuer": "http://issuer.example.com"},
     {"issuer_tokens": "cognito", "issuer_cli_client": ""}],
)  # fmt: skip
def test_settings_that_contradict_themselves_start_nothing(aws: Aws, changes: dict[str, Any]) -> None:
    settings = msgspec.structs.replace(aws.deployment.settings, **changes)
    with pytest.raises(Refused):
        deploy(settings, _clients(), aws.clock)


def test_a_queue_is_named_by_the_end_of_its_address() -> None:
    assert queue_name("https://sqs.us-east-1.amazonaws.com/123456789012/twokeys-prod-due") == "twokeys-prod-due"


def sent_mails() -> list[Any]:
    return list(sesv2_backends["123456789012"]["us-east-1"].core_backend.sent_messages)
