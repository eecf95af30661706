"""Votes: who can't, what can't, and what happens when two people press at once."""

from __future__ import annotations

import threading

import msgspec
import pytest

from control_plane.chalicelib.adapters.embedded.deployment import Deployment
from control_plane.chalicelib.ports.requests import Stored
from control_plane.chalicelib.services.decisions import Verdict
from control_plane.chalicelib.services.people import MachineFacts
from control_plane.chalicelib.services.policies import PolicyVerdict
from tests.control_plane.world import World
from twokeys.caller import Person
from twokeys.errors import Conflict, InvalidInput, Refused, TwokeysError
from twokeys.request import State


def test_one_approval_approves_and_wakes_the_edge(a_world: World) -> None:
    opened = a_world.open().id
    assert a_world.vote("rob", opened).state is State.APPROVED
    assert a_world.ports.waker.wait("edge-1", 0, []) == [opened]
    (record,) = a_world.records("decision")
    assert (record["person"], record["outcome"], record["request"]) == ("rob", "approved", opened)


def test_a_denial_needs_a_reason_and_is_final(a_world: World) -> None:
    opened = a_world.open().id
    with pytest.raises(InvalidInput, match="needs a reason"):
        a_world.services.decisions.vote(a_world.person("rob"), opened, _verdict(a_world, opened, False, "  "))
    with pytest.raises(InvalidInput, match="2000"):
        a_world.services.decisions.vote(a_world.person("rob"), opened, _verdict(a_world, opened, False, "x" * 2001))
    assert a_world.vote("rob", opened, False, "Not before the backup.").state is State.DENIED
    with pytest.raises(Conflict):
        a_world.vote("rob", opened)
    assert a_world.services.requests.look(a_world.edge, opened).reason == "Not before the backup."


def test_a4_a_vote_on_another_digest_than_the_requests_is_refused(a_world: World) -> None:
    opened = a_world.open().id
    with pytest.raises(Refused, match="another command"):
        a_world.services.decisions.vote(a_world.person("rob"), opened, Verdict(True, "", "0" * 64))
    assert a_world.stored(opened).state is State.PENDING


def test_a6_the_sponsor_cannot_decide(a_world: World) -> None:
    opened = a_world.open().id
    for approve in (True, False):
        with pytest.raises(Refused, match="You answer for agent-7"):
            a_world.vote("ann", opened, approve)


def test_a6_who_became_the_sponsor_meanwhile_cannot_decide(a_world: World) -> None:
    opened = a_world.open().id
    a_world.services.registry.put_machine(a_world.person("ann"), MachineFacts("agent-7", "rob", []))
    for person in ("ann", "rob"):
        with pytest.raises(Refused, match="You answer for agent-7"):
            a_world.vote(person, opened)


def test_the_last_owner_stays_one(a_world: World) -> None:
    ann = a_world.person("ann")
    with pytest.raises(Refused, match="Nobody would be left"):
        a_world.services.registry.put_person(ann, Person("ann", "ann@example.com", (), ("reviewers",)), ann.revision)


def test_a6_a_person_cannot_decide_about_their_own_request(a_world: World) -> None:
    opened = a_world.open(caller="rob").id
    with pytest.raises(Refused, match="You asked for it"):
        a_world.vote("rob", opened)
    assert a_world.vote("ann", opened).state is State.APPROVED


def test_a6_a_second_account_of_the_requester_cannot_decide(a_world: World) -> None:
    a_world.add_person("zoe", "reviewers", accounts=("zoe-admin", "U123"))
    opened = a_world.open(caller="zoe").id
    assert {"zoe", "zoe-admin", "U123"} <= set(a_world.stored(opened).asked.excluded)
    with pytest.raises(Refused):
        a_world.vote("zoe", opened)


def test_a6_an_account_that_is_linked_after_the_opening_counts_too(a_world: World) -> None:
    a_world.add_person("zoe", "reviewers")
    a_world.services.registry.put_machine(a_world.person("ann"), MachineFacts("ci-deploy", "rob", []))
    opened = a_world.open(caller="ci-deploy").id
    entry = a_world.person("zoe")
    linked = Person("zoe", entry.person.email, ("rob-2",), entry.person.groups)
    a_world.services.registry.put_person(a_world.person("ann"), linked, entry.revision)
    assert a_world.vote("zoe", opened).state is State.APPROVED
    opened = a_world.open(caller="zoe").id
    with pytest.raises(Refused):
        a_world.vote("zoe", opened)


def test_a6_who_is_in_no_reviewer_group_is_told_that_there_is_no_such_request(a_world: World) -> None:
    a_world.add_person("zoe")
    opened = a_world.open().id
    with pytest.raises(InvalidInput, match="no such request"):
        a_world.vote("zoe", opened)


def test_a6_who_edited_a_reviewer_group_within_a_day_cannot_decide(a_world: World) -> None:
    a_world.add_person("olga", "owners", "reviewers")
    entry = a_world.person("rob")
    changed = Person("rob", "rob@example.com", (), ("auditors",))
    a_world.services.registry.put_person(a_world.person("olga"), changed, entry.revision)
    opened = a_world.open(hold_seconds=3600).id
    with pytest.raises(Refused, match="group reviewers within the last 24 h"):
        a_world.vote("olga", opened)
    a_world.clock.pass_seconds(24 * 3600 + 1)
    later = a_world.open().id
    assert a_world.vote("olga", later).state is State.APPROVED


def test_a6_who_added_themself_minutes_ago_cannot_decide(a_world: World) -> None:
    a_world.add_person("olga", "owners")
    opened = a_world.open().id
    entry = a_world.person("olga")
    promoted = Person("olga", "olga@example.com", (), ("owners", "reviewers"))
    a_world.services.registry.put_person(entry, promoted, entry.revision)
    with pytest.raises(Refused, match="within the last 24 h"):
        a_world.vote("olga", opened)


def test_a6_who_edited_the_deciding_policy_cannot_decide_and_who_edited_another_can(a_world: World) -> None:
    a_world.add_person("olga", "owners", "reviewers")
    text = a_world.ports.policies.current().text
    more = '\n@id("other")\nforbid (principal, action == Action::"ddl", resource);\n'
    _put(a_world, "olga", text + more)
    assert a_world.vote("olga", a_world.open().id).state is State.APPROVED
    _put(a_world, "olga", (text + more).replace('@id("starter-request")', '@id("starter-request")\n@advice("Hi.")'))
    with pytest.raises(Refused, match="policy starter-request within"):
        a_world.vote("olga", a_world.open().id)


def test_a6_who_removed_a_forbid_cannot_decide(a_world: World) -> None:
    a_world.add_person("olga", "owners", "reviewers")
    text = a_world.ports.policies.current().text
    a_world.clock.at -= 48 * 3600 * 1000
    _put(a_world, "olga", text + '\n@id("no-ddl")\nforbid (principal, action == Action::"requestDdl", resource);\n')
    a_world.clock.at += 48 * 3600 * 1000
    assert a_world.vote("olga", a_world.open().id).state is State.APPROVED
    _put(a_world, "olga", text)
    with pytest.raises(Refused, match="the policy within"):
        a_world.vote("olga", a_world.open().id)


def test_a_vote_judged_before_people_or_policy_moved_does_not_count(a_world: World) -> None:
    opened = a_world.open().id
    stale = a_world.person("rob")
    changed = Person("rob", "rob@example.com", (), ("auditors",))
    a_world.services.registry.put_person(a_world.person("ann"), changed, stale.revision)
    digest = a_world.stored(opened).asked.opened.command_digest
    with pytest.raises(Conflict, match="changed while"):
        a_world.services.decisions.vote(stale, opened, Verdict(True, "", digest))
    assert a_world.stored(opened).state is State.PENDING


def test_a5_a_decision_after_the_deadline_does_not_count_even_before_the_timer_ran(a_world: World) -> None:
    opened = a_world.open().id
    a_world.clock.pass_seconds(60)
    with pytest.raises(Conflict, match="time is over"):
        a_world.vote("rob", opened)
    a_world.services.timeouts.remind(opened)
    assert a_world.stored(opened).state is State.EXPIRED
    with pytest.raises(Conflict):
        a_world.vote("rob", opened)


def test_two_approvals_are_two_people(a_world: World) -> None:
    a_world.add_person("zoe", "reviewers")
    text = a_world.ports.policies.current().text
    _put(a_world, "ann", text.replace('@id("starter-request")', '@id("starter-request")\n@approvals("2")'))
    opened = a_world.open().id
    assert a_world.vote("rob", opened).state is State.PENDING
    assert a_world.vote("rob", opened).state is State.PENDING
    assert len(a_world.stored(opened).votes) == 1
    with pytest.raises(Conflict, match="voted"):
        a_world.vote("rob", opened, False, "Changed my mind.")
    assert a_world.vote("zoe", opened).state is State.APPROVED
    assert a_world.spend(opened).approval["approvers"] == ["rob", "zoe"]


def test_one_denial_denies_after_an_approval(a_world: World) -> None:
    a_world.add_person("zoe", "reviewers")
    text = a_world.ports.policies.current().text
    _put(a_world, "ann", text.replace('@id("starter-request")', '@id("starter-request")\n@approvals("2")'))
    opened = a_world.open().id
    a_world.vote("rob", opened)
    assert a_world.vote("zoe", opened, False, "No.").state is State.DENIED


def test_a5_of_an_approval_and_a_denial_at_once_exactly_one_counts(a_world: World) -> None:
    a_world.add_person("zoe", "reviewers")
    for _ in range(10):
        opened = a_world.open().id
        start, won, lost = threading.Barrier(2), list[Stored](), list[TwokeysError]()

        def press(person: str, approve: bool, opened: str = opened, start: threading.Barrier = start,
                  won: list[Stored] = won, lost: list[TwokeysError] = lost) -> None:  # fmt: skip
            start.wait()
            try:
                won.append(a_world.vote(person, opened, approve))
            except TwokeysError as error:
                lost.append(error)

        threads = [threading.Thread(target=press, args=one) for one in (("rob", True), ("zoe", False))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (len(won), len(lost)) == (1, 1)
        assert isinstance(lost[0], Conflict)
        stored = a_world.stored(opened)
        assert stored.state is won[0].state
        assert len(stored.votes) == 1


@pytest.mark.parametrize("state", sorted(set(State) - {State.PENDING, State.APPROVED}))
def test_a5_nothing_but_pending_can_be_decided(a_world: World, state: State) -> None:
    opened = a_world.in_state(state)
    a_world.add_person("zoe", "reviewers")
    before = a_world.stored(opened)
    for approve in (True, False):
        with pytest.raises(Conflict):
            a_world.vote("zoe", opened, approve)
    assert a_world.stored(opened) == before


@pytest.mark.parametrize("state", sorted(State))
def test_every_state_survives_a_restart(a_world: World, state: State) -> None:
    opened = a_world.in_state(state)
    before = a_world.stored(opened)
    a_world.reopen()
    assert isinstance(a_world.deployment, Deployment)
    assert a_world.stored(opened) == before


def _verdict(world: World, request_id: str, approve: bool, reason: str) -> Verdict:
    return Verdict(approve, reason, world.stored(request_id).asked.opened.command_digest)


def _put(world: World, author: str, text: str) -> None:
    revision = world.ports.policies.current().revision
    proposal = world.services.policies.propose(world.person(author), text, "test", revision)
    world.services.policies.decide(world.person("rob"), proposal.id, PolicyVerdict(True, "", proposal.text_sha256))
    assert msgspec.structs.asdict(world.ports.policies.current())["text"] == text


def test_a6_who_must_not_decide_and_tries_is_on_record(a_world: World) -> None:
    opened = a_world.open().id
    with pytest.raises(Refused):
        a_world.vote("ann", opened)
    (record,) = [one for one in a_world.records("refused") if one.get("request") == opened]
    assert (record["person"], record["outcome"], record["sponsor"]) == ("ann", "excluded", "ann")
    assert "You answer for agent-7" in record["reason"]


def test_a_hundred_tries_do_not_fill_the_chain(a_world: World) -> None:
    opened = a_world.open().id
    for _ in range(100):
        with pytest.raises(Refused):
            a_world.vote("ann", opened)
    assert len(a_world.records("refused")) == 10
    a_world.clock.pass_seconds(11)
    with pytest.raises(Refused):
        a_world.vote("ann", opened)
    assert "90 more like it" in a_world.records("refused")[-1]["reason"]
