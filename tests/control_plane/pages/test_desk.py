"""What a person sees of Requests, and why they may not decide."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from control_plane.chalicelib.ports.people import PersonEntry
from control_plane.chalicelib.ports.policies import PolicyVersion
from control_plane.chalicelib.ports.requests import Asked, CastVote, Outcome, Stored
from control_plane.chalicelib.services.desk import RequestDesk, Shelves
from control_plane.chalicelib.services.notify import Notice, Recipient
from control_plane.chalicelib.services.reviewing import Ballot
from control_plane.chalicelib.services.telling import Telling
from tests.control_plane.pages.samples import blob
from twokeys.caller import Person
from twokeys.digest import sha256
from twokeys.errors import InvalidInput, Refused
from twokeys.messages import OpenRequest
from twokeys.policy import STARTER_TEXT
from twokeys.request import State

NOW = 1_795_379_462_000
COMMAND = blob("UPDATE orders SET paid = true WHERE secret = 'literal-7'")
REQUEST = "req_" + "a" * 26


def person(name: str, *groups: str, accounts: tuple[str, ...] = ()) -> PersonEntry:
    return PersonEntry(person=Person(name, f"{name}@example.com", accounts, tuple(sorted(groups))), revision=1)


def opened(**changes: Any) -> OpenRequest:
    values: dict[str, Any] = {
        "id": REQUEST, "target": "sample-db", "database": "shop", "session": "s1", "caller": "agent-7",
        "caller_kind": "machine", "sponsor": "ann", "client": "psql", "command_digest": "3f" * 32,
        "fingerprint": "a" * 64, "command_sha256": sha256(COMMAND), "command_bytes": len(COMMAND),
        "excerpt": "UPDATE … 'literal-7'", "statement": "UPDATE orders SET paid = $1", "kind": "UPDATE",
        "protocol": "simple", "certain": True, "statements": 1,
        "accesses": ["write:table:public.orders", "read:database:"], "reasons": ["It has 'literal-7'."],
        "requirement": "ab" * 32, "bundle": 1, "hold_seconds": 300,
    }  # fmt: skip
    return OpenRequest(**(values | changes))


def stored(state: State = State.PENDING, votes: tuple[CastVote, ...] = (), **changes: Any) -> Stored:
    asked = Asked(
        opened=opened(**changes), content_sha256="", edge_id="edge-1", policies=["starter-request"], policy_revision=1,
        requirement="ab" * 32, approvals=1, excluded=["agent-7", "ann", "eve"], opened_at=NOW - 1000,
    )  # fmt: skip
    due = NOW + 299_000 if state is State.PENDING else 0
    return Stored(asked=asked, state=state, due_at=due, moved_at=NOW, votes=list(votes), outcome=Outcome(rows=3))


@dataclass
class Fixed:
    """All the ports the desk reads, answering from memory."""

    requests: dict[str, Stored] = field(default_factory=lambda: {REQUEST: stored()})
    everybody: tuple[PersonEntry, ...] = (
        person("ann", "owners", "reviewers"), person("rob", "reviewers"), person("eve", "reviewers"),
        person("sam", "auditors"), person("tom"), person("kim", "reviewers", accounts=("agent-7",)),
    )  # fmt: skip
    ballots: list[Ballot] = field(default_factory=list)
    reads: list[str] = field(default_factory=list)
    notices: list[tuple[Notice, list[Recipient]]] = field(default_factory=list)

    def find(self, request_id: str) -> Stored | None:
        return self.requests.get(request_id)

    def listed(self, state: State | None, most: int = 200) -> list[Stored]:
        return [one for one in self.requests.values() if state in (None, one.state)][:most]

    def person(self, person_id: str) -> PersonEntry | None:
        return next((one for one in self.everybody if one.person.id == person_id), None)

    def persons(self) -> list[PersonEntry]:
        return list(self.everybody)

    def current(self) -> PolicyVersion:
        return PolicyVersion(revision=1, text=STARTER_TEXT, author="ann", approver="", at=0)

    def get(self, digest: str) -> bytes | None:
        return COMMAND if digest == sha256(COMMAND) else None

    def now(self) -> int:
        return NOW

    def notify(self, notice: Notice, recipients: Any) -> None:
        self.notices.append((notice, list(recipients)))


def desk_of(fixed: Fixed) -> RequestDesk:
    ports = cast(Any, fixed)
    shelves = Shelves(ports, ports, ports, ports, ports)
    return RequestDesk(shelves, fixed.ballots.append, lambda one, who: fixed.reads.append(who))


def test_a_reviewer_sees_it_whole_and_may_decide() -> None:
    looked = desk_of(Fixed()).look(REQUEST, "rob")
    assert (looked.blob, looked.refusal, looked.command_digest) == (COMMAND, "", "3f" * 32)
    view = looked.request
    assert (view.effect, view.seconds_left, view.requester, view.sponsor) == ("write", 299, "agent-7", "ann")
    assert [(one.effect, one.label) for one in view.objects] == [("write", "public.orders"), ("read", "shop")]
    assert [rule.policy for rule in view.rules] == ["starter-request"]


@pytest.mark.parametrize(
    ("who", "why"),
    [
        ("ann", "You sponsor agent-7"),
        ("kim", "You asked for it yourself"),
        ("eve", "24 hours"),
        ("sam", "Policy does not let you"),
    ],
)
def test_a6_who_may_not_decide_is_told_why(who: str, why: str) -> None:
    assert why in desk_of(Fixed()).look(REQUEST, who).refusal


def test_who_has_nothing_to_do_with_it_does_not_learn_that_it_exists() -> None:
    desk = desk_of(Fixed())
    with pytest.raises(InvalidInput) as theirs:
        desk.look(REQUEST, "tom")
    with pytest.raises(InvalidInput) as none:
        desk.look("req_" + "b" * 26, "tom")
    assert str(theirs.value) == str(none.value)
    assert desk.listing("tom").mine == desk.listing("tom").others == desk.listing("tom").recent == ()


def test_who_is_not_registered_any_more_sees_nothing() -> None:
    desk = desk_of(Fixed())
    for ask in (
        lambda: desk.look(REQUEST, "gone"),
        lambda: desk.listing("gone"),
        lambda: desk.note_read(REQUEST, "gone"),
    ):
        with pytest.raises(Refused):
            ask()


def test_the_list_tells_mine_from_others() -> None:
    over = stored(State.DONE, (CastVote(person_id="rob", approve=True, reason="", at=NOW),), id="req_" + "c" * 26)
    fixed = Fixed({REQUEST: stored(), over.asked.id: over})
    rob, ann = desk_of(fixed).listing("rob"), desk_of(fixed).listing("ann")
    assert [one.id for one in rob.mine] == [REQUEST] and rob.others == ()
    assert ann.mine == () and [one.id for one in ann.others] == [REQUEST]
    assert rob.recent[0].outcome == "rob approved it. It ran, 3 rows affected."


def test_a_second_vote_is_not_offered() -> None:
    vote = CastVote(person_id="rob", approve=True, reason="", at=NOW)
    assert "voted already" in desk_of(Fixed({REQUEST: stored(votes=(vote,))})).look(REQUEST, "rob").refusal


def test_votes_and_readings_are_passed_on() -> None:
    fixed = Fixed()
    ballot = Ballot(REQUEST, "rob", 1, True, "", "3f" * 32)
    desk_of(fixed).vote(ballot)
    desk_of(fixed).note_read(REQUEST, "rob")
    assert (fixed.ballots, fixed.reads) == ([ballot], ["rob"])


def test_only_who_may_approve_is_told_and_no_value_is_in_it() -> None:
    fixed = Fixed()
    ports = cast(Any, fixed)
    assert Telling(desk_of(fixed), ports, ports, fixed).opened(stored()) == ["rob"]
    notice, recipients = fixed.notices[0]
    assert [one.email for one in recipients] == ["rob@example.com"]
    assert "literal-7" not in repr(notice)
    assert notice.objects == ("write public.orders", "read shop") and notice.seconds_left == 299
