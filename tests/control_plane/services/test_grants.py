"""Session grants: who may ask, who may approve, what they cover, and when they end."""

from __future__ import annotations

from typing import Any

import pytest

from control_plane.chalicelib.services.policies import PolicyVerdict
from tests.control_plane.world import TARGET, World
from twokeys.effect import read_access
from twokeys.errors import Conflict, InvalidInput, Refused
from twokeys.grant import GrantTerms
from twokeys.request import State

ORDERS = "write:table:shop.orders"


def terms(**changes: Any) -> GrantTerms:
    """What ann asks for agent-7."""
    accesses = changes.pop("accesses", (ORDERS,))
    fields: dict[str, Any] = {
        "caller": "agent-7", "target": TARGET, "edge": "edge-1", "minutes": 15, "statements": 2,
        "accesses": tuple(sorted(read_access(one) for one in accesses)), "reason": "replay the import",
    }  # fmt: skip
    return GrantTerms(**{**fields, **changes})


def approved(world: World, **changes: Any) -> str:
    asked = world.services.grants.ask(world.person("ann"), terms(**changes))
    assert world.vote("rob", asked.asked.id).state is State.APPROVED
    return asked.asked.id


def put_policy(world: World, change: str, text: str = "") -> None:
    changes, version = world.services.policies, world.ports.policies.current()
    proposal = changes.propose(world.person("ann"), (text or version.text) + change, "test", version.revision)
    changes.decide(world.person("rob"), proposal.id, PolicyVerdict(True, "", proposal.text_sha256))


def test_covered_commands_are_approved_until_the_budget_is_used(a_world: World) -> None:
    grant = approved(a_world)
    for _ in range(2):
        status = a_world.open()
        assert (status.state, status.decided_by) == ("approved", ["rob"])
        assert a_world.spend(status.id).approval["grant"] == grant
        assert a_world.spend(status.id).approval["approvers"] == ["rob"]
    assert a_world.open().state == "pending"
    decisions = [one for one in a_world.records("decision") if one.get("reason") == f"by grant {grant}"]
    assert len(decisions) == 2 and decisions[0]["approvers"] == ["rob"]


def test_a_grant_is_no_command(a_world: World) -> None:
    grant = approved(a_world)
    with pytest.raises(InvalidInput, match="no such request"):
        a_world.spend(grant)


@pytest.mark.parametrize("person", ["ann", "agent-7"])
def test_a6_who_asks_or_answers_for_the_caller_may_not_approve_it(a_world: World, person: str) -> None:
    asked = a_world.services.grants.ask(a_world.person("ann"), terms())
    assert {"ann", "agent-7"} <= set(asked.asked.excluded)
    if person == "ann":
        with pytest.raises(Refused):
            a_world.vote("ann", asked.asked.id)
    assert a_world.open().state == "pending"


def test_a6_a_grant_for_somebody_elses_machine_is_refused(a_world: World) -> None:
    with pytest.raises(Refused, match="do not answer for"):
        a_world.services.grants.ask(a_world.person("rob"), terms())


@pytest.mark.parametrize(
    "accesses",
    [["write:table:shop.other"], ["ddl:table:shop.orders"]],
)
def test_a5_other_objects_and_effects_are_not_covered(a_world: World, accesses: list[str]) -> None:
    approved(a_world, accesses=accesses)
    assert a_world.open().state == "pending"


@pytest.mark.parametrize(
    "changes",
    [
        {"accesses": ["write:table:shop.lines", ORDERS]},
        {"accesses": ["privileged:function:shop.f", ORDERS]},
        {"accesses": ["privileged:database:"], "certain": False},
        {"statements": 2},
    ],
)
def test_a5_what_touches_more_or_is_not_known_is_asked_about(a_world: World, changes: dict[str, Any]) -> None:
    approved(a_world)
    assert a_world.open(**changes).state == "pending"


def test_reads_that_policy_allows_do_not_spoil_it(a_world: World) -> None:
    approved(a_world)
    assert a_world.open(accesses=["read:table:shop.lines", ORDERS]).state == "approved"


@pytest.mark.parametrize(
    "bad",
    [
        {"accesses": ("privileged:database:",)}, {"accesses": ("read:table:shop.orders",)},
        {"accesses": ("write:database:",)}, {"accesses": ("write:table:orders",)}, {"accesses": ()},
        {"minutes": 0}, {"minutes": 241}, {"statements": 0}, {"statements": 1001}, {"reason": " "},
    ],
)  # fmt: skip
def test_terms_that_can_not_be_granted(bad: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        terms(**bad)


def test_it_ends_with_its_time(a_world: World) -> None:
    grant = approved(a_world)
    a_world.clock.pass_seconds(15 * 60)
    assert a_world.open().state == "pending"
    a_world.services.timeouts.remind(grant)
    assert a_world.stored(grant).state is State.LAPSED


@pytest.mark.parametrize("person", ["ann", "rob"])
def test_it_ends_when_somebody_revokes_it(a_world: World, person: str) -> None:
    grant = approved(a_world)
    assert a_world.services.grants.revoke(a_world.person(person), grant, "enough").state is State.WITHDRAWN
    assert a_world.open().state == "pending"
    with pytest.raises(Conflict):
        a_world.services.grants.revoke(a_world.person(person), grant, "")


def test_it_ends_when_policy_denies_or_asks_for_more_people(a_world: World) -> None:
    approved(a_world)
    text = a_world.ports.policies.current().text
    put_policy(a_world, "", text.replace('@id("starter-request")', '@id("starter-request") @approvals("2")'))
    assert a_world.open().state == "pending"
    put_policy(a_world, '@id("no") forbid (principal, action == Action::"requestWrite", resource);')
    with pytest.raises(Refused):
        a_world.open()


def test_a6_an_approver_who_lost_the_right_counts_no_more(a_world: World) -> None:
    approved(a_world)
    entry = a_world.person("rob")
    a_world.add_person("zoe", "reviewers")
    a_world.services.registry.put_person(
        a_world.person("ann"), type(entry.person)("rob", "rob@example.com", (), ("auditors",)), entry.revision
    )
    assert a_world.open().state == "pending"


def test_what_policy_denies_or_allows_needs_no_grant(a_world: World) -> None:
    put_policy(a_world, '@id("free") permit (principal, action == Action::"write", resource);')
    with pytest.raises(InvalidInput, match="allows all"):
        a_world.services.grants.ask(a_world.person("ann"), terms())
    put_policy(a_world, '@id("no") forbid (principal, action in [Action::"write", Action::"requestWrite"], resource);')
    with pytest.raises(Refused, match="denies"):
        a_world.services.grants.ask(a_world.person("ann"), terms())


def test_the_edge_is_found_or_must_be_named(a_world: World) -> None:
    assert a_world.services.grants.edge_for(TARGET, "") == "edge-1"
    for target, edge in (("nowhere", ""), (TARGET, "edge-9")):
        with pytest.raises(InvalidInput):
            a_world.services.grants.edge_for(target, edge)
