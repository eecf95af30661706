"""A deployment under test: real stores in a folder, a clock that the test moves, an Edge with a real key, people."""

from __future__ import annotations

import secrets
import shutil
from base64 import b32encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from control_plane.chalicelib.adapters.embedded.clock import SystemClock
from control_plane.chalicelib.adapters.embedded.deployment import Deployment
from control_plane.chalicelib.bootstrap import Ports, Services
from control_plane.chalicelib.ports.edges import Edge
from control_plane.chalicelib.ports.people import PersonEntry
from control_plane.chalicelib.ports.requests import Stored
from control_plane.chalicelib.services.decisions import Verdict
from control_plane.chalicelib.services.edge_auth import Call
from control_plane.chalicelib.services.limits import Limits
from twokeys.caller import Caller, CallerKind, Person
from twokeys.command import PostgresCommand, QueryProtocol, Setting, command_digest
from twokeys.digest import canonical, sha256, to_base64
from twokeys.edge_call import CALL_HEADER, SIGNATURE_HEADER, TYPE, EdgeCall
from twokeys.effect import Access, Classification, Effect, ObjectKind, ObjectRef
from twokeys.messages import (
    EnrolRequest,
    OpenRequest,
    RequestStatus,
    ResultReport,
    SpendReply,
    SpendRequest,
    WithdrawRequest,
)
from twokeys.policy import Policies
from twokeys.record import ChainHead, genesis
from twokeys.request import State
from twokeys.signature import sign

TARGET = "sample-db"
FINGERPRINT = "f" * 64


@dataclass
class ManualClock:
    """Time stands until the test moves it."""

    at: int

    def now(self) -> int:
        return self.at

    def pass_seconds(self, seconds: float) -> None:
        self.at += int(seconds * 1000)


@dataclass
class EdgeActor:
    """An Edge's side: its key, its chain head, its signed calls."""

    clock: ManualClock
    edge_id: str = "edge-1"
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    head: ChainHead = field(default_factory=lambda: genesis("edge-1"))

    def enrol_request(self, token: str) -> EnrolRequest:
        der = self.key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        proof = sign("edge-enrol", {"token_sha256": sha256(token.encode())}, self.key)
        return EnrolRequest(token=token, public_key=to_base64(der), proof=to_base64(proof.value))

    def signed(self, method: str, path: str, body: bytes = b"", **changes: Any) -> EdgeCall:
        fields: dict[str, Any] = {
            "edge_id": self.edge_id, "method": method, "path": path, "body_sha256": sha256(body),
            "nonce": secrets.token_hex(16), "time": self.clock.now(), "head": self.head, **changes,
        }  # fmt: skip
        return EdgeCall(**fields)

    def headers(self, call: EdgeCall) -> dict[str, str]:
        signature = sign(TYPE, call.to_json(), self.key)
        return {CALL_HEADER: call.header(), SIGNATURE_HEADER: to_base64(signature.value)}

    def call(self, method: str, path: str, body: bytes = b"", **changes: Any) -> Call:
        signed = self.signed(method, path, body, **changes)
        return Call(method, path, self.headers(signed), body)


@dataclass
class World:
    """The deployment, opened, with its threads not started."""

    folder: Path
    clock: ManualClock
    facts: dict[str, Any]
    limits: Limits
    deployment: Deployment
    edge: Edge
    actor: EdgeActor

    @property
    def services(self) -> Services:
        return self.deployment.services

    @property
    def ports(self) -> Ports:
        return self.deployment.store.ports

    def reopen(self) -> None:
        """End the process and start another one on the same files."""
        self.deployment.site.close()
        self.deployment.store.close()
        self.deployment = Deployment(self.folder, self.limits, self.clock)

    def person(self, person_id: str) -> PersonEntry:
        entry = self.ports.people.person(person_id)
        assert entry is not None
        return entry

    def add_person(self, person_id: str, *groups: str, accounts: tuple[str, ...] = ()) -> PersonEntry:
        """Registered so long ago that nobody's edit counts any more."""
        before = self.clock.at
        self.clock.at -= 48 * 3600 * 1000
        person = Person(person_id, f"{person_id}@example.com", accounts, tuple(sorted(groups)))
        entry = self.services.registry.put_person(self.person("ann"), person, 0)
        self.clock.at = before
        return entry

    def message(self, text: str = "UPDATE shop.orders SET paid = true WHERE id = 4", **changes: Any) -> OpenRequest:
        return message(self.ports, text, **changes)

    def open(self, text: str = "UPDATE shop.orders SET paid = true WHERE id = 4", **changes: Any) -> RequestStatus:
        return self.services.requests.open(self.edge, self.message(text, **changes))

    def stored(self, request_id: str) -> Stored:
        found = self.ports.requests.find(request_id)
        assert found is not None
        return found

    def vote(self, person_id: str, request_id: str, approve: bool = True, reason: str = "") -> Stored:
        opened = self.stored(request_id).asked.opened
        verdict = Verdict(approve, reason or ("" if approve else "No."), opened.command_digest, opened.preview_digest)
        return self.services.decisions.vote(self.person(person_id), request_id, verdict)

    def spend(self, request_id: str, nonce: str = "a" * 32, **changes: Any) -> SpendReply:
        digest = self.stored(request_id).asked.opened.command_digest
        asked = SpendRequest(**{"nonce": nonce, "command_digest": digest, "xid": "771", **changes})
        return self.services.spends.spend(self.edge, request_id, asked, self.actor.head)

    def report(self, request_id: str, outcome: str = "done", nonce: str = "a" * 32, **more: Any) -> RequestStatus:
        report = ResultReport(outcome=outcome, nonce=nonce, **more)
        return self.services.results.report(self.edge, request_id, report)

    def in_state(self, state: State) -> str:
        """A Request that came to this state by its arrows."""
        opened = self.open().id
        match state:
            case State.DENIED:
                self.vote("rob", opened, approve=False)
            case State.EXPIRED:
                self.clock.pass_seconds(61)
                self.services.timeouts.remind(opened)
            case State.WITHDRAWN:
                self.services.requests.withdraw(self.edge, opened, WithdrawRequest(reason="hung up"))
            case State.PENDING:
                pass
            case _:
                self.vote("rob", opened)
        if state is State.LAPSED:
            self.clock.pass_seconds(61)
            self.services.timeouts.remind(opened)
        if state in (State.SPENDING, State.DONE, State.FAILED, State.IN_DOUBT):
            self.spend(opened)
        if state in (State.DONE, State.FAILED, State.IN_DOUBT):
            self.report(opened, state.value)
        assert self.stored(opened).state is state
        return opened

    def records(self, kind: str = "") -> list[dict[str, Any]]:
        """The control plane's own Records that are not exported yet."""
        sealed = self.ports.recordings.last_seal("control-plane")
        lines = self.ports.records.after(sealed.last_seq if sealed else 0, 100_000).lines
        found = [msgspec.json.decode(line) for line in lines]
        return [one for one in found if not kind or one["type"] == kind]


def fresh_id() -> str:
    return "req_" + b32encode(secrets.token_bytes(16)).decode().lower().rstrip("=")


def message(ports: Ports, text: str, **changes: Any) -> OpenRequest:
    """What an honest Edge would send about a write to shop.orders."""
    command = changes.pop("of", PostgresCommand(QueryProtocol.SIMPLE, text.encode()))
    caller_id = str(changes.get("caller", "agent-7"))
    data = canonical(command.to_json())
    version = ports.policies.current()
    caller = changes.pop("decided_as", None) or ports.people.caller(caller_id) or Caller(caller_id, CallerKind.MACHINE)
    accesses = (Access(ObjectRef(ObjectKind.TABLE, "shop.orders"), Effect.WRITE),)
    classification = Classification("UPDATE", accesses, "UPDATE shop.orders SET paid = ? WHERE id = ?")
    decision = Policies(version.text, version.revision).decide(caller, TARGET, classification, "simple")
    setting = Setting(changes.get("target", TARGET), changes.get("database", "shop"), caller_id, FINGERPRINT)
    fields: dict[str, Any] = {
        "id": fresh_id(), "target": TARGET, "database": "shop", "session": "ses_1", "caller": caller_id,
        "caller_kind": "machine", "client": "psql",
        "command_digest": command_digest(command, setting), "fingerprint": FINGERPRINT,
        "command_sha256": sha256(data), "command_bytes": len(data), "command": to_base64(data),
        "excerpt": text[:8192], "statement": classification.normalised, "kind": "UPDATE", "protocol": "simple",
        "certain": True, "statements": 1, "accesses": ["write:table:shop.orders"],
        "reasons": ["UPDATE changes rows."], "policies": list(decision.policies),
        "requirement": decision.requirement, "bundle": 1, "hold_seconds": 60,
    }  # fmt: skip
    return OpenRequest(**{**fields, **changes})


@contextmanager
def world(template: Path, facts: dict[str, Any], folder: Path, limits: Limits | None = None) -> Iterator[World]:
    """A world of its own, copied from a bootstrapped one."""
    shutil.copytree(template, folder)
    clock, wanted = ManualClock(SystemClock().now()), limits or Limits()
    deployment = Deployment(folder, wanted, clock)
    actor = EdgeActor(clock)
    deployment.services.enrolment.enrol(actor.enrol_request(facts["edge"]["token"]))
    edge = deployment.store.ports.edges.edge("edge-1")
    assert edge is not None
    made = World(folder, clock, facts, wanted, deployment, edge, actor)
    try:
        yield made
    finally:
        made.deployment.site.close()
        made.deployment.store.close()
