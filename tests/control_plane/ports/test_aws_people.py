"""People, policies and web sessions in DynamoDB: the port suites, and what only a shared table can get wrong."""

from __future__ import annotations

import threading
from collections.abc import Callable

import msgspec
import pytest
from botocore.exceptions import ConnectionClosedError

from control_plane.chalicelib.adapters.aws.people import DynamoPeople
from control_plane.chalicelib.adapters.aws.policies import MAX_MARKED, DynamoPolicies
from control_plane.chalicelib.adapters.aws.table import ConditionFailed, Key, Put, Table
from control_plane.chalicelib.adapters.aws.web_sessions import KEPT_SECONDS, DynamoWebSessions
from control_plane.chalicelib.ports.people import MachineChange, PersonChange
from control_plane.chalicelib.ports.policies import PolicyBallot, Proposal
from tests.control_plane.pages.test_web_sessions import (
    kept,
    test_a_person_has_a_limited_number_of_sessions,
    test_a_session_is_found_touched_and_removed,
    test_a_token_fits_one_purpose_of_one_session,
    test_the_oldest_of_a_persons_sessions_go,
    test_what_was_shown_goes_with_its_session,
)
from tests.control_plane.ports.aws_backend import AwsBackend, backend
from tests.control_plane.ports.backend import NOTE, add_person
from tests.control_plane.ports.registry_suites import PeopleSuite, PoliciesSuite
from twokeys.bundle import Issuer
from twokeys.caller import Caller, CallerKind, Person
from twokeys.errors import Conflict, InvalidInput, TwokeysError, Unavailable

__all__ = [
    "backend",
    "test_a_person_has_a_limited_number_of_sessions",
    "test_a_session_is_found_touched_and_removed",
    "test_a_token_fits_one_purpose_of_one_session",
    "test_the_oldest_of_a_persons_sessions_go",
    "test_what_was_shown_goes_with_its_session",
]


class TestPeople(PeopleSuite):
    """DynamoDB."""


class TestPolicies(PoliciesSuite):
    """DynamoDB."""


@pytest.fixture
def table(backend: AwsBackend) -> Table:
    return Table(backend.clients, backend.settings.table, lambda seconds: None)


@pytest.fixture
def store(backend: AwsBackend, table: Table) -> DynamoWebSessions:
    return DynamoWebSessions(table, backend.clock)


def at_once(*tasks: Callable[[], object]) -> list[object]:
    """What each returned or raised, run by a thread each from one starting line."""
    line = threading.Barrier(len(tasks))
    results: list[object] = [None] * len(tasks)

    def run(place: int, task: Callable[[], object]) -> None:
        line.wait()
        try:
            results[place] = task()
        except TwokeysError as error:
            results[place] = error

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(tasks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


def notes(table: Table) -> int:
    return sum(len(list(table.query(f"NOTES#{shard}"))) for shard in range(8))


def bundle(table: Table) -> int:
    item = table.get(Key("META", "BUNDLE"))
    assert item is not None
    return int(item["revision"])


def person_change(person: Person, revision: int = 0, *edits: str) -> PersonChange:
    return PersonChange(person=person, revision=revision, edits=list(edits))


def test_of_two_changes_of_a_person_at_once_one_counts(backend: AwsBackend, table: Table) -> None:
    before = (notes(table), bundle(table))

    def change(number: int) -> Callable[[], object]:
        person = Person("rob", f"{number}@example.com", (f"U{number}",), ("reviewers",))
        return lambda: DynamoPeople(table, backend.clock).put_person(person_change(person, 1, "x"), "ann", NOTE)

    results = at_once(*(change(number) for number in range(4)))
    assert sum(isinstance(one, Conflict) and one.code == "revision_moved" for one in results) == 3
    rob = backend.ports.people.person("rob")
    assert rob is not None
    assert rob.revision == 2
    assert [n for n in range(4) if backend.ports.people.person_of(f"U{n}")] == [int(rob.person.email[0])]
    assert (notes(table), bundle(table)) == (before[0] + 1, before[1] + 1)
    assert len(backend.ports.people.edits_since(0)) == 1


def test_a_change_whose_answer_was_lost_is_not_done_twice(backend: AwsBackend, table: Table) -> None:
    events = backend.clients.of("dynamodb").meta.events
    event = "after-call.dynamodb.TransactWriteItems"

    def lose(**_: object) -> None:
        events.unregister(event, lose)
        raise ConnectionClosedError(endpoint_url="https://dynamodb")

    events.register(event, lose)
    count, change = notes(table), person_change(Person("zoe", ""), 0, "group:g")
    people = backend.ports.people
    with pytest.raises(Unavailable):
        people.put_person(change, "rob", NOTE)
    with pytest.raises(Conflict):
        people.put_person(change, "rob", NOTE)
    assert (notes(table), len(people.edits_since(0))) == (count + 1, 1)


def test_of_three_that_claim_one_account_one_gets_it(backend: AwsBackend, table: Table) -> None:
    people = DynamoPeople(table, backend.clock)
    results = at_once(
        lambda: people.put_person(person_change(Person("zoe", "", ("U1",))), "x", NOTE),
        lambda: people.put_person(person_change(Person("U1", "")), "x", NOTE),
        lambda: people.put_machine(MachineChange(machine=Caller("U1", CallerKind.MACHINE, "rob"), edits=[]), "x", NOTE),
    )
    assert sum(isinstance(one, Conflict) and one.code == "id_taken" for one in results) == 2
    assert [people.person("zoe"), people.person("U1")].count(None) >= 1


def test_every_edit_of_one_editor_raises_their_revision(backend: AwsBackend, table: Table) -> None:
    people = DynamoPeople(table, backend.clock)

    def edit(number: int) -> Callable[[], object]:
        change = person_change(Person(f"p{number}", ""), 0, f"person:p{number}", "group:g")
        return lambda: people.put_person(change, "rob", NOTE)

    at_once(*(edit(number) for number in range(4)))
    rob = people.person("rob")
    assert rob is not None
    assert rob.revision == 5
    assert len(people.edits_since(backend.clock.now())) == 8


def test_who_edits_their_own_entry_counts_as_editor(backend: AwsBackend) -> None:
    people = backend.ports.people
    entry = people.put_person(person_change(Person("rob", ""), 1, "group:reviewers"), "rob", NOTE)
    assert (entry, entry.revision) == (people.person("rob"), 3)


def test_an_account_that_was_given_up_is_free_again(backend: AwsBackend) -> None:
    add_person(backend, "zoe", accounts=("U1", "U2"))
    people = backend.ports.people
    people.put_person(person_change(Person("zoe", "", ("U2",)), 1), "x", NOTE)
    assert people.person_of("U1") is None
    add_person(backend, "max", accounts=("U1",))
    found = people.person_of("U1")
    assert found is not None
    assert found.person.id == "max"


def test_a_subject_that_can_be_no_key_is_nobodys(backend: AwsBackend) -> None:
    people = backend.ports.people
    for subject in ("", "x" * 5000, "\ud800", "a\x00b"):
        assert (people.person_of(subject), people.person(subject), people.caller(subject)) == (None, None, None)


def test_a_person_with_too_many_accounts_is_refused(backend: AwsBackend) -> None:
    person = Person("zoe", "", tuple(f"U{number}" for number in range(50)))
    with pytest.raises(InvalidInput):
        backend.ports.people.put_person(person_change(person), "x", NOTE)


def test_issuers_are_kept_replaced_and_removed(backend: AwsBackend, table: Table) -> None:
    people = backend.ports.people
    first, again = (Issuer(issuer="https://b", jwks={"keys": []}, groups_claim=claim) for claim in ("", "groups"))
    other = Issuer(issuer="https://a", jwks={"keys": []})
    revision = bundle(table)
    for issuer in (first, other, again):
        people.put_issuer(issuer, "rob", ["issuer"], NOTE)
    assert people.issuers() == [other, again]
    assert bundle(table) == revision + 3
    assert people.remove_issuer("https://a", "rob", ["issuer"], NOTE)
    count = notes(table)
    assert not people.remove_issuer("https://a", "rob", ["issuer"], NOTE)
    assert (people.issuers(), notes(table)) == ([again], count)
    rob = people.person("rob")
    assert rob is not None
    assert rob.revision == 5


def proposal(backend: AwsBackend, number: int, author: str = "ann", text: str = "") -> Proposal:
    made = PoliciesSuite.propose(backend, author, str(number), 200) if not text else None
    if made is None:
        made = Proposal(id=f"pol_{number}", text=text, text_sha256="0" * 64, author=author, reason="",
                        base_revision=1, created_at=backend.clock.now())  # fmt: skip
        backend.ports.policies.propose(made, 200, NOTE)
    return made


def ballot(made: Proposal, person: str = "rob", approve: bool = True) -> PolicyBallot:
    return msgspec.structs.replace(PoliciesSuite.ballot(made), person_id=person, approve=approve)


def test_of_two_policies_approved_at_once_one_comes_in_force(backend: AwsBackend, table: Table) -> None:
    add_person(backend, "zoe", "reviewers")
    made = [proposal(backend, number) for number in range(2)]
    before = notes(table)

    def decide(one: Proposal, person: str) -> Callable[[], object]:
        return lambda: DynamoPolicies(table, backend.clock).decide(ballot(one, person), NOTE)

    results = at_once(decide(made[0], "rob"), decide(made[1], "zoe"))
    assert sum(isinstance(one, Conflict) and one.code == "moved" for one in results) == 1
    assert backend.ports.policies.current().revision == 2
    assert notes(table) == before + 1


def test_an_approval_and_a_denial_of_one_proposal_end_as_one_of_them(backend: AwsBackend, table: Table) -> None:
    add_person(backend, "zoe", "reviewers")
    made = proposal(backend, 1)
    policies = DynamoPolicies(table, backend.clock)
    results = at_once(
        lambda: policies.decide(ballot(made), NOTE), lambda: policies.decide(ballot(made, "zoe", False), NOTE)
    )
    decided = policies.proposal(made.id)
    assert decided is not None
    assert sum(isinstance(one, Conflict) for one in results) == 1
    assert policies.current().revision == (2 if decided.state == "approved" else 1)


def test_a6_a_vote_judged_before_the_voter_edited_does_not_count(backend: AwsBackend, table: Table) -> None:
    made = proposal(backend, 1)
    change = person_change(Person("zoe", ""), 0, "group:reviewers")
    results = at_once(
        lambda: DynamoPeople(table, backend.clock).put_person(change, "rob", NOTE),
        lambda: DynamoPolicies(table, backend.clock).decide(ballot(made), NOTE),
    )
    in_force = backend.ports.policies.current().revision
    # Either the vote was first, or it did not count; never an edit first and a vote after it.
    assert in_force == (1 if isinstance(results[1], Conflict) else 2)
    with pytest.raises(Conflict):
        DynamoPolicies(table, backend.clock).decide(ballot(made), NOTE)


def test_places_for_proposals_are_given_out_once_and_come_back(backend: AwsBackend, table: Table) -> None:
    def propose(number: int) -> Callable[[], object]:
        return lambda: PoliciesSuite.propose(backend, "ann", str(number), 2)

    results = at_once(*(propose(number) for number in range(4)))
    made = [one for one in results if isinstance(one, Proposal)]
    assert len(made) == 2
    backend.ports.policies.decide(ballot(made[0], approve=False), NOTE)
    assert isinstance(at_once(propose(7))[0], Proposal)
    backend.ports.policies.decide(ballot(made[1]), NOTE)
    count = table.get(Key("POLICY", "COUNT"))
    assert count is not None
    assert count["proposals"] == 0


def test_a_proposal_sent_twice_is_one(backend: AwsBackend, table: Table) -> None:
    made = proposal(backend, 1)
    before = notes(table)
    backend.ports.policies.propose(made, 9, NOTE)
    assert notes(table) == before
    with pytest.raises(Conflict):
        backend.ports.policies.propose(msgspec.structs.replace(made, text="other"), 9, NOTE)


def test_a11_many_or_long_proposals_do_not_keep_a_policy_from_coming_in_force(backend: AwsBackend) -> None:
    policies = backend.ports.policies
    made = [proposal(backend, number) for number in range(MAX_MARKED + 5)]
    long = [proposal(backend, 900 + number, text="\n" * 250_000) for number in range(9)]
    policies.decide(ballot(made[0]), NOTE)
    assert policies.open_proposals() == []
    for one in (*made[1:], *long):
        found = policies.proposal(one.id)
        assert found is not None
        assert found.state == "outdated"
        with pytest.raises(Conflict):
            policies.decide(ballot(one), NOTE)


def test_a_session_is_never_shown_anything_after_it_is_gone(store: DynamoWebSessions, table: Table) -> None:
    for number in range(120):
        if number == 0:
            store.add(kept(1), 10)
        store.mark_shown(kept(1).id_hash, "req_x", "d", number)
    store.remove(kept(1).id_hash)
    store.mark_shown(kept(1).id_hash, "req_x", "d", 0)
    assert list(table.query(f"WEB#{kept(1).id_hash}")) == []
    assert list(table.query("WEBS#rob")) == []


def test_what_is_dropped_by_ttl_leaves_nothing_that_matters(
    backend: AwsBackend, store: DynamoWebSessions, table: Table
) -> None:
    store.add(kept(1), 10)
    table.write(Put({"pk": "WEBS#rob", "sk": "0000000000000001#gone", "list_pk": "WEBS", "list_sk": "0#gone"}))
    store.remove_created_before(kept(1).created_at)
    (left,) = table.query("WEBS#rob")
    assert left["sk"].endswith(kept(1).id_hash)
    with pytest.raises(ConditionFailed):
        store.add(kept(1), 10)
    backend.clock.pass_seconds(KEPT_SECONDS + 1)
    assert store.find(kept(1).id_hash) is None
