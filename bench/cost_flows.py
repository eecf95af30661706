"""The pieces of work that cost: run once each, on moto, by the same services that run on Lambda.

What an Edge's HTTP call costs beside its service (checking the signature, the nonce) is run with it. Time spent is
assumed (`cost_prices.MEASURED_NOWHERE`), for moto's is not AWS's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import boto3
import requests
from moto import mock_aws

from bench.cost_meter import Meter, Usage
from bench.cost_prices import MEASURED_NOWHERE, Unit
from control_plane.chalicelib.adapters.aws.clients import Clients
from control_plane.chalicelib.adapters.aws.deployment import Deployment, deploy
from control_plane.chalicelib.ports.edges import Edge
from control_plane.chalicelib.ports.people import MachineChange, PersonChange
from control_plane.chalicelib.services.decisions import Verdict
from control_plane.chalicelib.services.notes import note
from tests.control_plane.world import EdgeActor, ManualClock, message
from tests.support.aws import REGION, make_resources
from twokeys.caller import Caller, CallerKind, Person
from twokeys.digest import sha256
from twokeys.messages import MAX_POLL_SECONDS, OpenRequest, ResultReport, SealRequest, SpendRequest, UploadRequest
from twokeys.policy import STARTER_TEXT
from twokeys.record import RecordType, extend, line
from twokeys.seal import segment_id
from twokeys.segment_files import pack_body, pack_lines

API_GB: Final = 1.0
WORKER_GB: Final = 0.5
"""Memory of the functions, as control_plane/.chalice/config.json sets it."""

SEGMENT_RECORDS: Final = 200
"""Records of the Segment that is sealed once; a busy Edge has more in each, an idle one none."""

HEADER: Final = {
    "type": "command", "source": "edge-1", "time": "2026-11-22T10:00:00.000Z", "caller": "agent-7", "effect": "read",
    "target": "sample-db", "outcome": "allow", "statement": "SELECT * FROM shop.orders WHERE id = ?",
    "objects": ["read:table:shop.orders"],
}  # fmt: skip
"""A record of an ordinary read, without its session."""

MACHINE: Final = Path(__file__).parents[1] / "infra" / "state_machine.asl.json"


@dataclass
class Bench:
    """A deployment on moto that is counted."""

    deployment: Deployment
    meter: Meter
    clock: ManualClock
    actor: EdgeActor
    edge: Edge

    @contextmanager
    def counting(self) -> Iterator[Usage]:
        """Count one piece of work."""
        with self.meter.counting() as usage:
            yield usage

    def called(self, usage: Usage, method: str, path: str, seconds: float = MEASURED_NOWHERE["api_seconds"]) -> None:
        """An Edge's signed call: what checking it costs."""
        self.deployment.services.edge_auth.verify(self.actor.call(method, path))
        _invoked(usage, seconds, API_GB, http=True)


def _invoked(usage: Usage, seconds: float, gigabytes: float, *, http: bool) -> None:
    if http:
        usage.add(Unit.HTTP, 1)
    usage.add(Unit.INVOCATION, 1)
    usage.add(Unit.GB_SECOND, seconds * gigabytes)
    usage.add(Unit.LOG_GB, MEASURED_NOWHERE["log_kilobytes"] / 1024**2)


@contextmanager
def opened() -> Iterator[Bench]:
    """A deployment with an owner, a reviewer, a machine and one Edge."""
    with mock_aws():
        session = boto3.session.Session(region_name=REGION)
        meter = Meter(boto3.client("dynamodb", region_name=REGION))
        meter.watch(session)
        session.events.register("after-call.kms.GetPublicKey", _said_as_kms_does)
        clients = Clients(session.client)
        settings = make_resources(clients)
        machine = {"StartAt": "A", "States": {"A": {"Type": "Wait", "Seconds": 1, "End": True}}}
        clients.of("stepfunctions").create_state_machine(
            name="twokeys-test-timer", definition=json.dumps(machine), roleArn="arn:aws:iam::123456789012:role/timer"
        )
        clock = ManualClock(1_795_379_462_000)
        made = deploy(settings, clients, clock)
        _people(made)
        actor = EdgeActor(clock)
        token = made.services.enrolment.make_token("edge-1", ["sample-db"], "ann")
        made.services.enrolment.enrol(actor.enrol_request(token))
        edge = made.ports.edges.edge("edge-1")
        assert edge is not None
        yield Bench(made, meter, clock, actor, edge)


def _people(made: Deployment) -> None:
    """An owner, a reviewer, a machine that the owner answers for, and the starter policy."""
    people, said = made.ports.people, note(RecordType.BOOTSTRAP, person="bench")
    for name, groups in (("ann", ("auditors", "owners")), ("rob", ("reviewers",))):
        person = Person(name, f"{name}@example.com", (f"{name}-at-issuer",), groups)
        people.put_person(PersonChange(person=person, revision=0, edits=[]), "bench", said)
    machine = Caller("agent-7", CallerKind.MACHINE, "ann")
    people.put_machine(MachineChange(machine=machine, edits=[]), "bench", said)
    made.ports.policies.install(STARTER_TEXT, "bench", said)


def _said_as_kms_does(parsed: dict[str, Any], **_: Any) -> None:
    """moto leaves out `KeySpec` and gives the id where KMS gives the ARN."""
    parsed.setdefault("KeySpec", parsed["CustomerMasterKeySpec"])
    if not parsed["KeyId"].startswith("arn:"):
        parsed["KeyId"] = f"arn:aws:kms:{REGION}:123456789012:key/{parsed['KeyId']}"


def held_write(bench: Bench) -> Usage:
    """From open to done: the Edge's calls, the notice, one reviewer who reads it and approves, three timers."""
    services, ports = bench.deployment.services, bench.deployment.ports
    rob = ports.people.person("rob")
    assert rob is not None
    asked: OpenRequest = message(ports, "UPDATE shop.orders SET paid = true WHERE id = 4")
    with bench.counting() as usage:
        bench.called(usage, "POST", "/v1/requests")
        services.requests.open(bench.edge, asked)
        _told(bench, usage, asked.id)
        # The page, the whole text, the vote; the reviewer's session or token is one read each.
        for step in (
            lambda: services.facts.one(rob, asked.id),
            lambda: services.facts.body(rob, asked.id, 0),
            lambda: services.decisions.vote(rob, asked.id, Verdict(True, "", asked.command_digest)),
        ):
            ports.people.person_of("rob-at-issuer")
            step()
            _invoked(usage, MEASURED_NOWHERE["api_seconds"], API_GB, http=True)
        bench.called(usage, "GET", f"/v1/requests/{asked.id}/status")
        services.requests.look(bench.edge, asked.id)
        bench.called(usage, "POST", f"/v1/requests/{asked.id}/spend")
        spend = SpendRequest(nonce="a" * 32, command_digest=asked.command_digest, xid="771")
        services.spends.spend(bench.edge, asked.id, spend, bench.actor.head)
        bench.called(usage, "POST", f"/v1/requests/{asked.id}/result")
        services.results.report(bench.edge, asked.id, ResultReport(outcome="done", nonce="a" * 32, rows=1))
        timers(usage, usage.calls["stepfunctions:StartExecution"], fired=False)
    return usage


def _told(bench: Bench, usage: Usage, request_id: str) -> None:
    bench.deployment.work.tell(request_id)
    # Lambda's poller receives and deletes.
    usage.add(Unit.SQS, 2)
    usage.add(Unit.MAIL, 1 - usage.units.get(Unit.MAIL, 0))
    _invoked(usage, MEASURED_NOWHERE["worker_seconds"], WORKER_GB, http=False)


def timers(usage: Usage, count: int, *, fired: bool) -> None:
    """What so many executions of the state machine cost: those that are ended early, or that come to their time."""
    for state in walk(json.loads(MACHINE.read_text("utf-8")), fired=fired):
        usage.add(Unit.TRANSITION, count)
        match state.get("Resource", "").split(":states:::")[-1].split(".")[0]:
            case "aws-sdk:dynamodb:updateItem" | "dynamodb:updateItem":
                usage.add(Unit.WRITE, count)
            case "sqs:sendMessage":
                usage.add(Unit.SQS, count)


def walk(machine: dict[str, Any], *, fired: bool) -> list[dict[str, Any]]:
    """The states an execution passes: `fired` when its time comes, else when its wait is ended."""
    states, name, passed = machine["States"], str(machine["StartAt"]), []
    while name:
        state = states[name]
        passed.append(state)
        late = [one["Next"] for one in state.get("Catch", ()) if "States.Timeout" in one["ErrorEquals"]]
        name = str(late[0] if fired and late else state.get("Next", ""))
    return passed


def bundle_look(bench: Bench) -> Usage:
    """An Edge asks whether there is a newer Bundle, and there is none."""
    bundles = bench.deployment.services.bundles
    have = bundles.revision
    with bench.counting() as usage:
        bench.called(usage, "GET", f"/v1/bundle?have={have}")
        assert bundles.get(bench.edge, have) is None
    return usage


def bundle_renewed(bench: Bench) -> Usage:
    """An Edge gets a Bundle: half of the old one's life is over. It is built from the table, and signed."""
    with bench.counting() as usage:
        bench.called(usage, "GET", "/v1/bundle?have=0")
        assert bench.deployment.services.bundles.get(bench.edge, 0) is not None
    return usage


def queue_hour(bench: Bench) -> Usage:
    """An hour of waiting at the Edge's own queue: receives of 20 s, credentials renewed after three quarters of it."""
    access = bench.deployment.ports.wake_access
    assert access is not None
    with bench.counting() as usage:
        bench.called(usage, "POST", "/v1/wake-access")
        access.credentials("edge-1")
    usage.units = {unit: count * 4 / 3 for unit, count in usage.units.items()}
    usage.add(Unit.SQS, 3600 / MAX_POLL_SECONDS)
    return usage


def long_poll_hour(bench: Bench) -> Usage:
    """An hour of waiting by HTTP: each poll holds a function for its whole time, and looks each second."""
    with bench.counting() as usage:
        bench.called(usage, "POST", "/v1/poll", float(MAX_POLL_SECONDS))
        # One slice is run; a poll has as many as it has seconds.
        bench.deployment.ports.waker.wait("edge-1", 1.0, [])
    slices = float(MAX_POLL_SECONDS)
    for unit in (Unit.SQS, Unit.READ):
        usage.units[unit] = usage.units.get(unit, 0.0) * slices
    return usage.times(3600 / MAX_POLL_SECONDS)


def sealed_segment(bench: Bench) -> Usage:
    """One Segment of an Edge: two uploads, verified, sealed, published."""
    services, ports = bench.deployment.services, bench.deployment.ports
    head, lines, bodies = bench.actor.head, b"", b""
    for number in range(SEGMENT_RECORDS):
        cipher = b"c" * 400
        header = {**HEADER, "session": f"ses_{number % 5}"}
        text = line(head.sequence + 1, header, sha256(cipher))
        head = extend(head, text)
        lines += text + b"\n"
        bodies += pack_body(head.sequence, cipher)
    before = bench.actor.head
    segment = segment_id("edge-1", before.sequence + 1)
    with bench.counting() as usage:
        for kind, data in (("lines", pack_lines(lines)), ("bodies", bodies)):
            bench.called(usage, "POST", "/v1/uploads")
            ticket = ports.recordings.ticket(
                UploadRequest(kind=kind, name=segment, sha256=sha256(data), length=len(data))
            )
            requests.put(ticket.url, data=data, headers=ticket.headers, timeout=10).raise_for_status()
            usage.add(Unit.S3_PUT, 1)
        bench.called(usage, "POST", f"/v1/segments/{segment}/seal")
        services.seals.seal_for(
            bench.edge, segment,
            SealRequest(
                first_seq=before.sequence + 1, last_seq=head.sequence, previous_hash=before.hash, last_hash=head.hash,
                lines_sha256=sha256(lines), bodies_sha256=sha256(bodies),
            ),
        )  # fmt: skip
    bench.actor.head = head
    return usage


def exported(bench: Bench) -> Usage:
    """One run of the exporter: what waits of the control plane's own Records is chained, sealed and published."""
    with bench.counting() as usage:
        bench.deployment.work.export()
    return usage


FLOWS: Final[dict[str, Callable[[Bench], Usage]]] = {
    "held_write": held_write,
    "bundle_look": bundle_look,
    "bundle_renewed": bundle_renewed,
    "queue_hour": queue_hour,
    "long_poll_hour": long_poll_hour,
    "sealed_segment": sealed_segment,
}
"""Each piece of work, in the order in which they are run."""


def measure() -> dict[str, Usage]:
    """Run each piece of work, and count the second time, so that what is made once is not counted.

    `own_records` is one held write's share of a run of the exporter, `export_run` what a run costs besides.
    """
    many = 10
    with opened() as bench:
        for flow in FLOWS.values():
            flow(bench)
        found = {name: flow(bench) for name, flow in FLOWS.items()}
        exported(bench)
        held_write(bench)
        one = exported(bench)
        for _ in range(1 + many):
            held_write(bench)
        more = exported(bench)
        found["own_records"] = more.less(one).times(1 / many)
        found["export_run"] = one.less(found["own_records"])
        return found
