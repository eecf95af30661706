"""What a backend gives to the port suites: its ports, a clock that the test moves, and a restart."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from control_plane.chalicelib.bootstrap import Ports
from control_plane.chalicelib.ports.people import PersonChange
from control_plane.chalicelib.ports.requests import Asked, Ballot, Outcome, Spend, Spending, Stored
from control_plane.chalicelib.services.notes import about, note
from tests.control_plane.world import ManualClock, fresh_id
from twokeys.caller import Person
from twokeys.messages import OpenRequest
from twokeys.record import RecordType
from twokeys.request import Event, State

DIGEST = "d" * 64
NOTE = note(RecordType.REFUSED, reason="a test")


class Backend(Protocol):
    """One backend under test. The policy in force has revision 1; rob is a registered person with revision 1."""

    clock: ManualClock

    @property
    def ports(self) -> Ports:
        """The ports; others after `reopen`."""

    def reopen(self) -> None:
        """End the process, start another one on the same data."""


def asked(request_id: str = "", **changes: Any) -> Asked:
    """What never changes of a Request."""
    opened = OpenRequest(
        id=request_id or fresh_id(), target="db", database="shop", session="ses_1", caller="agent-7",
        caller_kind="machine", sponsor="ann", command_digest=DIGEST, fingerprint="a" * 64, command_sha256="e" * 64,
        command_bytes=9, excerpt="UPDATE t", statement="UPDATE t", kind="UPDATE", protocol="simple", certain=True,
        statements=1, accesses=["write:table:public.t"], requirement="f" * 64, bundle=1, hold_seconds=60,
    )  # fmt: skip
    fields: dict[str, Any] = {
        "opened": opened, "content_sha256": "c" * 64, "edge_id": "edge-1", "policies": ["p"], "policy_revision": 1,
        "requirement": "f" * 64, "approvals": 1, "excluded": ["agent-7", "ann"], "opened_at": 0,
    }  # fmt: skip
    return Asked(**{**fields, **changes})


def opened(backend: Backend, what: Asked | None = None, seconds: int = 60) -> Stored:
    """A pending Request."""
    what = what or asked()
    return backend.ports.requests.open(what, seconds * 1000, 1000, about(RecordType.OPEN, what))[0]


def ballot(request_id: str, person_id: str = "rob", approve: bool = True, **changes: Any) -> Ballot:
    """A vote that would count."""
    fields: dict[str, Any] = {
        "request_id": request_id, "person_id": person_id, "approve": approve, "reason": "" if approve else "No.",
        "command_digest": DIGEST, "person_revision": 1, "policy_revision": 1, "lapse_milliseconds": 60_000,
    }  # fmt: skip
    return Ballot(**{**fields, **changes})


def spend(request_id: str, nonce: str = "a" * 32, **changes: Any) -> Spend:
    """A spend that would succeed."""
    fields: dict[str, Any] = {
        "request_id": request_id, "edge_id": "edge-1", "command_digest": DIGEST, "result_milliseconds": 60_000,
        "spending": Spending(nonce=nonce, xid="7", chain_sequence=3, chain_hash="9" * 64),
    }  # fmt: skip
    return Spend(**{**fields, **changes})


def approved(backend: Backend, what: Asked | None = None) -> Stored:
    """An approved Request."""
    return backend.ports.requests.decide(ballot(opened(backend, what).asked.id), NOTE)


def in_state(backend: Backend, state: State) -> Stored:
    """A Request in any state, by the table's arrows."""
    requests = backend.ports.requests
    last = {State.DONE: Event.SUCCEED, State.FAILED: Event.FAIL, State.IN_DOUBT: Event.DOUBT,
            State.EXPIRED: Event.EXPIRE, State.WITHDRAWN: Event.WITHDRAW, State.LAPSED: Event.LAPSE}  # fmt: skip
    if state in (State.PENDING, State.DENIED, State.EXPIRED, State.WITHDRAWN):
        stored = opened(backend)
    else:
        stored = approved(backend)
    if state is State.DENIED:
        stored = requests.decide(ballot(stored.asked.id, approve=False), NOTE)
    if state in (State.SPENDING, State.DONE, State.FAILED, State.IN_DOUBT):
        stored = requests.spend(spend(stored.asked.id), NOTE)
    if state in last:
        stored = requests.end(stored.asked.id, last[state], Outcome(), NOTE)
    assert stored.state is state
    return stored


def add_person(backend: Backend, person_id: str, *groups: str, accounts: tuple[str, ...] = ()) -> None:
    """A person, with revision 1."""
    person = Person(person_id, f"{person_id}@example.com", accounts, tuple(sorted(groups)))
    backend.ports.people.put_person(PersonChange(person=person, revision=0, edits=[]), "test", NOTE)


def records(backend: Backend) -> list[dict[str, Any]]:
    """Every Record that is kept."""
    return [msgspec.json.decode(line) for line in backend.ports.records.after(0, 10_000).lines]
