"""The functions' code runs over the deployed stack, and each call it makes is one that its own policy allows.

moto enforces nothing, so every call is heard and judged by the documents. Each function has clients of its own, as it
has a role of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import msgspec
import pytest

from control_plane.aws.first_start import FirstPerson, bootstrap
from control_plane.chalicelib.adapters.aws.deployment import Deployment, deploy, recordings_of
from control_plane.chalicelib.adapters.aws.secret_values import SecretValues
from control_plane.chalicelib.adapters.aws.settings import Settings, read_settings
from control_plane.chalicelib.adapters.aws.table import Table
from control_plane.chalicelib.adapters.aws.wake_queues import WakeQueues
from control_plane.chalicelib.adapters.aws.web_sessions import DynamoWebSessions
from control_plane.chalicelib.ports.people import PersonEntry
from control_plane.chalicelib.ports.recordings import Published
from control_plane.chalicelib.ports.session_keys import KeptKey
from control_plane.chalicelib.services.decisions import Verdict
from control_plane.chalicelib.services.notes import note
from control_plane.chalicelib.services.people import MachineFacts
from control_plane.chalicelib.services.policies import PolicyVerdict
from control_plane.chalicelib.services.sessions import Sessions
from tests.control_plane.ports.storage_suites import RecordingsSuite
from tests.control_plane.world import TARGET, EdgeActor, ManualClock, message
from tests.infra.calls import Watched
from tests.infra.deployed import Deployed
from tests.support.aws_faults import refusing
from twokeys.caller import Person
from twokeys.digest import sha256
from twokeys.errors import TwokeysError
from twokeys.messages import ResultReport, SealRequest, SpendRequest, UploadRequest, WithdrawRequest
from twokeys.record import RecordType, extend, genesis, line
from twokeys.request import State
from twokeys.seal import segment_id
from twokeys.segment_files import pack_body, pack_lines

FUNCTIONS = ("api_handler", "due", "notices", "export", "reconcile")


@dataclass
class Running:
    """Each function as a process of its own over one stack."""

    stack: Deployed
    clock: ManualClock
    watched: dict[str, Watched]
    functions: dict[str, Deployment]
    actor: EdgeActor

    @property
    def api(self) -> Deployment:
        return self.functions["api_handler"]

    def open(self) -> str:
        edge = self.api.ports.edges.edge("edge-1")
        assert edge is not None
        text = "UPDATE shop.orders SET paid = true WHERE id = 4"
        return self.api.services.requests.open(edge, message(self.api.ports, text)).id

    def approve(self, request_id: str) -> str:
        rob, stored = self.api.ports.people.person("rob"), self.api.ports.requests.find(request_id)
        assert rob is not None
        assert stored is not None
        digest = stored.asked.opened.command_digest
        self.api.services.decisions.vote(rob, request_id, Verdict(True, "", digest))
        return digest

    def state(self, request_id: str) -> State:
        found = self.api.ports.requests.find(request_id)
        assert found is not None
        return found.state

    def refused(self) -> list[str]:
        """Calls that a function made and its policy does not allow."""
        found = set()
        for who, watched in self.watched.items():
            for one in watched.wanted:
                resource = self.stack.outputs["DataKey"] if one.resource == "data" else one.resource
                if not self.stack.may(who, one.action, resource, **one.context):
                    found.add(f"{who}: {one.action} {resource} {dict(one.context)}")
        return sorted(found)

    def actions(self, who: str) -> set[str]:
        return {one.action for one in self.watched[who].wanted}


def _put_in_force(settings: Settings, owner: Watched, clock: ManualClock) -> None:
    """As the owner does, by an administrator's role: what the keys and the bucket say holds for it too."""
    ann, rob = (FirstPerson(name, f"s-{name}", f"{name}@example.com") for name in ("ann", "rob"))
    ports = deploy(settings, owner.clients, clock).ports
    bootstrap(ports, ann, [rob], recordings_of(settings, owner.clients).publish_keys)
    assert any(one.resource.endswith("/keys.json") for one in owner.wanted if one.action == "s3:PutObject")


@pytest.fixture
def running(stack: Deployed, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("POWERTOOLS_TRACE_DISABLED", "true")
    stack.client("sesv2").create_email_identity(EmailIdentity="twokeys@example.com")
    settings, clock = read_settings(stack.outputs.environment()), ManualClock(1_795_379_462_000)
    settings = msgspec.structs.replace(settings, slack_secret="")
    watched = {name: Watched() for name in (*FUNCTIONS, "administrator")}
    functions = {name: deploy(settings, watched[name].clients, clock) for name in FUNCTIONS}
    _put_in_force(settings, watched["administrator"], clock)
    api, actor = functions["api_handler"], EdgeActor(clock)
    token = api.services.enrolment.make_token("edge-1", [TARGET], "ann")
    api.services.enrolment.enrol(actor.enrol_request(token))
    ann = api.ports.people.person("ann")
    assert ann is not None
    api.services.registry.put_machine(ann, MachineFacts("agent-7", "ann", []))
    clock.pass_seconds(25 * 3600)
    yield Running(stack, clock, watched, functions, actor)


def test_every_call_of_every_function_is_one_that_its_policy_allows(running: Running) -> None:
    _a_write_is_approved_and_done(running)
    _others_end_by_themselves(running)
    _edges_call_and_upload(running)
    _a_segment_of_an_edge_is_sealed(running)
    _people_sign_in_and_change_the_rules(running)
    _an_edge_is_revoked(running)
    _workers_work(running)
    assert running.refused() == []
    assert {"kms:Sign", "dynamodb:PutItem", "s3:PutObject", "sts:AssumeRole"} <= running.actions("api_handler")
    assert {"kms:Sign", "s3:PutObject", "s3:GetObject"} <= running.actions("export")
    assert {"s3:PutObject", "dynamodb:UpdateItem"} <= running.actions("reconcile")
    assert "ses:SendEmail" in running.actions("notices")
    for who in ("due", "reconcile"):
        assert "dynamodb:UpdateItem" in running.actions(who) or "dynamodb:PutItem" in running.actions(who)


def _a_write_is_approved_and_done(running: Running) -> None:
    request_id = running.open()
    running.functions["notices"].work.tell(request_id)
    digest = running.approve(request_id)
    edge = running.api.ports.edges.edge("edge-1")
    assert edge is not None
    nonce = "a" * 32
    asked = SpendRequest(nonce=nonce, command_digest=digest, xid="771")
    running.api.services.spends.spend(edge, request_id, asked, running.actor.head)
    running.api.services.results.report(edge, request_id, ResultReport(outcome="done", nonce=nonce))
    assert running.state(request_id) is State.DONE


def _others_end_by_themselves(running: Running) -> None:
    """One withdrawn; one reminded of by the machine; one that only the reconciler finds."""
    edge = running.api.ports.edges.edge("edge-1")
    assert edge is not None
    withdrawn, reminded, missed = running.open(), running.open(), running.open()
    running.api.services.requests.withdraw(edge, withdrawn, WithdrawRequest(reason="hung up"))
    running.functions["reconcile"].work.reconcile()
    running.clock.pass_seconds(61)
    running.functions["due"].work.remind(reminded)
    running.functions["reconcile"].work.reconcile()
    running.functions["reconcile"].work.silent_edges()
    assert running.state(reminded) is running.state(missed) is State.EXPIRED


def _edges_call_and_upload(running: Running) -> None:
    api, actor = running.api, running.actor
    edge, _ = api.services.edge_auth.verify(actor.call("GET", "/v1/bundle"))
    api.services.bundles.get(edge, 0)
    api.ports.waker.wait("edge-1", 0, [])
    assert api.ports.wake_access is not None
    api.ports.wake_access.credentials("edge-1")
    for kind in ("lines", "bodies", "command"):
        name = sha256(b"x") if kind == "command" else "edge-1-0000000000000001"
        api.ports.recordings.ticket(UploadRequest(kind=kind, name=name, sha256=sha256(b"x"), length=1))
    # What is wrong with a key is found after it was used.
    with suppress(TwokeysError):
        api.ports.wrapping.unwrap(api.ports.wrapping.key_id, b"x" * 512)


def _a_segment_of_an_edge_is_sealed(running: Running) -> None:
    api, edge = running.api, running.api.ports.edges.edge("edge-1")
    assert edge is not None
    first, body = genesis("edge-1"), pack_body(1, b"ciphertext")
    one = line(1, {"source": "edge-1", "time": "2026-11-22T23:00:00.000Z", "type": "session_start",
                   "session": "ses_1", "caller": "agent-7"}, sha256(b"ciphertext"))  # fmt: skip
    name = segment_id("edge-1", 1)
    api.ports.recordings.put("lines", name, pack_lines(one + b"\n"))
    api.ports.recordings.put("bodies", name, body)
    request = SealRequest(
        first_seq=1, last_seq=1, previous_hash=first.hash, last_hash=extend(first, one).hash,
        lines_sha256=sha256(one + b"\n"), bodies_sha256=sha256(body),
    )  # fmt: skip
    api.services.seals.seal_for(edge, name, request)
    api.services.seals.seal_for(edge, name, request)
    api.ports.session_keys.put(
        KeptKey(edge_id="edge-1", session="ses_1", wrapping_key_id=api.ports.wrapping.key_id, wrapped=b"w" * 512)
    )
    with suppress(TwokeysError):
        api.services.bodies.page(_person(running, "ann"), "ses_1", "")
    assert "kms:Decrypt" in running.actions("api_handler")
    api.services.erasing.erase(_person(running, "ann"), "ses_1", "asked for")


def _people_sign_in_and_change_the_rules(running: Running) -> None:
    api, ann = running.api, _person(running, "ann")
    table = Table(running.watched["api_handler"].clients, api.settings.table)
    sessions = Sessions(DynamoWebSessions(table, running.clock), lambda: running.clock.now() / 1000)
    session = sessions.begin("rob", running.clock.now() // 1000)
    sessions.mark_shown(session, "req_1", "d" * 64, 0)
    running.clock.pass_seconds(120)
    assert sessions.current(session.secret) is not None
    sessions.end(session)
    SecretValues(running.watched["api_handler"].clients, running.clock).cookie_key(api.settings.cookie_secret)
    api.services.credentials.mint(ann, "agent-7", TARGET)
    api.services.registry.put_person(ann, Person("joe", "joe@example.com", ("s-joe",), ("reviewers",)), 0)
    version, _ = api.services.policies.show()
    text = version.text + "\n// reviewed\n"
    proposal = api.services.policies.propose(ann, text, "A comment.", version.revision)
    verdict = PolicyVerdict(True, "", sha256(proposal.text.encode()))
    api.services.policies.decide(_person(running, "rob"), proposal.id, verdict)


def _an_edge_is_revoked(running: Running) -> None:
    api = running.api
    api.ports.edges.revoke("edge-1", note(RecordType.ENROLMENT, person="ann", outcome="revoked"))
    WakeQueues(running.watched["api_handler"].clients, api.settings.wake_queue_prefix).remove("edge-1")
    assert "sqs:DeleteQueue" in running.actions("api_handler")


def _a_publishing_that_was_cut_off_is_ended(running: Running) -> None:
    ports, sealed = running.api.ports, RecordingsSuite.sealed(1, 3)
    ports.recordings.put("lines", sealed.segment, b"lines")
    client = running.watched["api_handler"].clients.of("s3")
    with refusing(client, "CopyObject", "SlowDown"), suppress(TwokeysError):
        ports.recordings.add_seal(sealed)
    assert running.functions["reconcile"].work.publish() == Published(1)


def _person(running: Running, name: str) -> PersonEntry:
    found = running.api.ports.people.person(name)
    assert found is not None
    return found


def _workers_work(running: Running) -> None:
    assert running.functions["export"].work.export() > 0
    _a_publishing_that_was_cut_off_is_ended(running)
    running.functions["due"].work.poisoned("due", "m-1", "It is no message of ours.")
    running.functions["notices"].work.poisoned("notices", "m-2", "It is no message of ours.")
