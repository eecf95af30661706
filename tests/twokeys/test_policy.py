"""Policies: worst object wins, nothing matches means Deny, and what fails to evaluate denies."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twokeys.caller import Caller, CallerKind
from twokeys.decision import Outcome, RowBudget
from twokeys.effect import DATABASE, Access, Classification, Effect, ObjectKind, ObjectRef
from twokeys.errors import InvalidInput, Refused
from twokeys.policy import (
    MAX_APPROVALS,
    MAX_POLICIES,
    MAX_POLICY_BYTES,
    NEVERS_TEXT,
    STARTER_TEXT,
    Asked,
    Policies,
    principal_for,
    refuse_unless_allowed,
)

AGENT = Caller("agent-7", CallerKind.MACHINE, "ann", ("bots",))
UNSPONSORED = Caller("ci-deploy", CallerKind.MACHINE)
ANN = principal_for("ann", ("reviewers",))
ORDERS = ObjectRef(ObjectKind.TABLE, "public.orders")
USERS = ObjectRef(ObjectKind.TABLE, "public.users")
F = ObjectRef(ObjectKind.FUNCTION, "public.f")
PERMIT_ALL = '@id("all") permit (principal, action, resource);'
EFFECTS = tuple(Effect)


def touching(*accesses: Access, certain: bool = True) -> Classification:
    return Classification("X", tuple(sorted(set(accesses))), "x", certain)


def outcome(text: str, caller: Caller, *accesses: Access) -> Outcome:
    return Policies(text, 1).decide(caller, "db", touching(*accesses), "simple").outcome


@pytest.mark.parametrize("effect", EFFECTS)
@pytest.mark.parametrize("object_", [DATABASE, ORDERS, F])
def test_an_empty_policy_forwards_nothing(effect: Effect, object_: ObjectRef) -> None:
    for text in ("", "// nothing but a comment\n"):
        for caller in (AGENT, UNSPONSORED, ANN):
            assert outcome(text, caller, Access(object_, effect)) is Outcome.DENY


@pytest.mark.parametrize("effect", EFFECTS)
def test_the_starter_policy_lets_read_and_holds_the_rest(effect: Effect) -> None:
    expected = Outcome.ALLOW if effect is Effect.READ else Outcome.HOLD
    assert outcome(STARTER_TEXT, AGENT, Access(ORDERS, effect)) is expected


PER_OBJECT = """
@id("t-allow") permit (principal, action in [Action::"read", Action::"write"], resource == Table::"db.public.a");
@id("t-hold") @approvals("2") permit (principal, action in [Action::"requestRead", Action::"requestWrite"],
                                      resource == Table::"db.public.h");
"""
OBJECTS = {"a": Outcome.ALLOW, "h": Outcome.HOLD, "d": Outcome.DENY}


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.tuples(st.sampled_from(sorted(OBJECTS)), st.sampled_from([Effect.READ, Effect.WRITE])),
        min_size=1,
        max_size=6,
    )
)
def test_the_worst_object_wins(touched: list[tuple[str, Effect]]) -> None:
    accesses = [Access(ObjectRef(ObjectKind.TABLE, f"public.{name}"), effect) for name, effect in touched]
    decision = Policies(PER_OBJECT, 7).decide(AGENT, "db", touching(*accesses), "simple")
    assert decision.outcome is max(OBJECTS[name] for name, _ in touched)
    assert decision.revision == 7
    assert (
        decision.policies
        == {Outcome.ALLOW: ("t-allow",), Outcome.HOLD: ("t-hold",), Outcome.DENY: ()}[decision.outcome]
    )
    assert decision.approvals == (2 if decision.outcome is Outcome.HOLD else 1)


def test_a_policy_for_one_target_says_nothing_about_another() -> None:
    text = '@id("one") permit (principal, action, resource in Database::"db");'
    policies = Policies(text, 1)
    read = touching(Access(ORDERS, Effect.READ))
    assert policies.decide(AGENT, "db", read, "simple").outcome is Outcome.ALLOW
    assert policies.decide(AGENT, "db2", read, "simple").outcome is Outcome.DENY


def test_a_forbid_on_write_alone_makes_a_hold_and_on_both_a_denial() -> None:
    hold = PERMIT_ALL + '@id("no") @advice("ask") forbid (principal, action == Action::"write", resource);'
    deny = PERMIT_ALL + '@id("no") forbid (principal, action in [Action::"write", Action::"requestWrite"], resource);'
    write = Access(ORDERS, Effect.WRITE)
    assert outcome(hold, AGENT, write) is Outcome.HOLD
    assert outcome(deny, AGENT, write) is Outcome.DENY
    decision = Policies(hold, 1).decide(AGENT, "db", touching(write), "simple")
    assert (decision.policies, decision.advice) == (("all", "no"), ("ask",))


def test_unknown_asks_as_privileged() -> None:
    text = '@id("w") permit (principal, action in [Action::"read", Action::"write", Action::"ddl"], resource);'
    assert outcome(text, AGENT, Access(DATABASE, Effect.PRIVILEGED)) is Outcome.DENY
    with pytest.raises(ValueError, match="privileged"):
        touching(Access(DATABASE, Effect.WRITE), certain=False)
    with pytest.raises(ValueError, match="at least one"):
        Classification("X", (), "")


COMMAND_ACTIONS = ",".join(
    f'Action::"{one}"'
    for one in ("read", "write", "ddl", "privileged", "requestRead", "requestWrite", "requestDdl", "requestPrivileged")
)
OVERFLOW = "when { context.statements + 9223372036854775807 > 0 }"


@pytest.mark.parametrize("effect", EFFECTS)
@pytest.mark.parametrize("kind", ["permit", "forbid"])
def test_a_policy_that_errors_at_evaluation_denies(effect: Effect, kind: str) -> None:
    text = PERMIT_ALL + f'@id("broken") {kind} (principal, action in [{COMMAND_ACTIONS}], resource) {OVERFLOW};'
    assert outcome(text, AGENT, Access(ORDERS, effect)) is Outcome.DENY


def test_a_forbid_that_errors_on_approval_denies_it() -> None:
    text = (
        STARTER_TEXT
        + """@id("broken") forbid (principal, action == Action::"approve", resource)
        when { resource.excluded.contains(principal) || 9223372036854775807 + 1 > 0 };"""
    )
    try:
        policies = Policies(text, 1)
    except InvalidInput:
        return  # a validator that finds the overflow itself is as good
    assert policies.may_approve(ANN, asked()).outcome is Outcome.DENY


def asked(requester: str = "agent-7", excluded: tuple[str, ...] = ()) -> Asked:
    return Asked("req_x", "db", requester, Effect.WRITE, frozenset(excluded))


NEVER_CASES = list(
    itertools.product(
        [CallerKind.PERSON, CallerKind.MACHINE],
        ["rob", "agent-7"],
        [(), ("rob",), ("agent-7",), ("rob", "eve")],
        [STARTER_TEXT, PERMIT_ALL, STARTER_TEXT + PERMIT_ALL],
    )
)


@pytest.mark.parametrize(("kind", "requester", "excluded", "text"), NEVER_CASES)
def test_a6_nevers_hold_whatever_policies_say(
    kind: CallerKind, requester: str, excluded: tuple[str, ...], text: str
) -> None:
    rob = Caller("rob", kind, groups=("owners", "reviewers"))
    may = kind is CallerKind.PERSON and requester != "rob" and "rob" not in excluded
    decision = Policies(text, 1).may_approve(rob, asked(requester, excluded))
    assert (decision.outcome is Outcome.ALLOW) == may
    assert decision.outcome in (Outcome.ALLOW, Outcome.DENY)
    expected = {"twokeys-never-machine"} if kind is CallerKind.MACHINE else set()
    expected |= {"twokeys-never-own"} if requester == "rob" or "rob" in excluded else set()
    assert may or set(decision.policies) == expected


def test_nobody_approves_without_a_policy_that_permits_it() -> None:
    assert Policies("", 1).may_approve(ANN, asked()).outcome is Outcome.DENY
    stranger = principal_for("joe", ("others",))
    assert Policies(STARTER_TEXT, 1).may_approve(stranger, asked()).outcome is Outcome.DENY
    assert Policies(STARTER_TEXT, 1).may_approve(ANN, asked()).outcome is Outcome.ALLOW


@pytest.mark.parametrize("effect", EFFECTS)
def test_a_machine_without_a_sponsor_gets_no_write(effect: Effect) -> None:
    expected = Outcome.ALLOW if effect is Effect.READ else Outcome.DENY
    for text in (PERMIT_ALL, PERMIT_ALL + STARTER_TEXT):
        assert outcome(text, UNSPONSORED, Access(ORDERS, effect)) is expected
    assert not UNSPONSORED.may_request


def test_a_sensitive_read_says_so_and_a_denial_carries_advice() -> None:
    text = """@id("s") @sensitive("true")
              permit (principal, action == Action::"read", resource == Table::"db.public.users");
              @id("r") permit (principal, action == Action::"read", resource == Table::"db.public.orders");"""
    policies = Policies(text, 1)
    reads = [Access(ORDERS, Effect.READ), Access(USERS, Effect.READ)]
    assert policies.decide(AGENT, "db", touching(*reads), "simple").sensitive
    assert not policies.decide(AGENT, "db", touching(reads[0]), "simple").sensitive
    refused = Policies(PERMIT_ALL, 1).decide(UNSPONSORED, "db", touching(Access(ORDERS, Effect.WRITE)), "simple")
    with pytest.raises(Refused, match="register a sponsor"):
        refuse_unless_allowed(refused, "write")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("permit (principal, action, resource);", "no @id"),
        ('@id("") permit (principal, action, resource);', "no @id"),
        (PERMIT_ALL + PERMIT_ALL, "stands twice"),
        ('@id("twokeys-x") permit (principal, action, resource);', "reserved"),
        ('@id("a") @approvals("0") permit (principal, action, resource);', "@approvals"),
        ('@id("a") @rows("0") permit (principal, action, resource);', "@rows"),
        ('@id("a") @minutes("5") permit (principal, action, resource);', "@minutes"),
        ('@id("a") @wait("-1") permit (principal, action, resource);', "@wait"),
        ('@id("a") @wait("86401") permit (principal, action, resource);', "@wait"),
        ('@id("a") @in_transaction("0") permit (principal, action, resource);', "@in_transaction"),
        ('@id("a") @approvals("²") permit (principal, action, resource);', "@approvals"),
        (f'@id("a") @approvals("{MAX_APPROVALS + 1}") permit (principal, action, resource);', "@approvals"),
        ('@id("a") @sensitive("false") permit (principal, action, resource);', "@sensitive"),
        ('@id("a") @aproovals("2") permit (principal, action, resource);', "unknown annotation"),
        ('@id("a") permit (principal == ?principal, action, resource);', "template"),
        ('@id("a") permit (principal, action == Action::"wirte", resource);', "wirte"),
        ('@id("a") permit (principal, action, resource) when { context.nosuch };', "nosuch"),
        ('@id("a") permit (principal, action, resource', ""),
        ("not cedar", ""),
        ("/" * (MAX_POLICY_BYTES + 1), "over"),
        ("".join(f'@id("p{n}") permit (principal, action, resource);' for n in range(MAX_POLICIES + 1)), "over"),
    ],
    ids=lambda value: value[:40],
)
def test_a_policy_that_is_not_valid_is_not_taken_and_says_why(text: str, why: str) -> None:
    with pytest.raises(InvalidInput, match=why or None) as refusal:
        Policies(text, 1)
    assert refusal.value.code == "invalid_policy"


def test_a_validation_error_names_the_policy_by_its_id() -> None:
    good = "".join(f'@id("good-{n}") permit (principal, action, resource);' for n in range(12))
    with pytest.raises(InvalidInput, match="'my-rule'"):
        Policies(good + '@id("my-rule") permit (principal, action, resource) when { context.nosuch };' + PERMIT_ALL, 1)


def test_a_policy_text_cannot_take_the_nevers_away() -> None:
    for text in ("/* " + PERMIT_ALL, PERMIT_ALL + " //", NEVERS_TEXT):
        try:
            policies = Policies(text, 1)
        except InvalidInput:
            continue
        assert policies.may_approve(principal_for("rob", ()), asked("rob")).outcome is Outcome.DENY
        assert (
            policies.decide(UNSPONSORED, "db", touching(Access(ORDERS, Effect.WRITE)), "simple").outcome is Outcome.DENY
        )


@pytest.mark.parametrize("name", ['a"b', "a\\b", "a\nb", "a\0b", "é", "Ünïcode.täble", "a.b.c", ".", ""])
def test_hostile_object_names_are_data(name: str) -> None:
    for kind in (ObjectKind.TABLE, ObjectKind.FUNCTION):
        assert outcome(PER_OBJECT, AGENT, Access(ObjectRef(kind, name), Effect.WRITE)) is Outcome.DENY
        assert outcome(STARTER_TEXT, AGENT, Access(ObjectRef(kind, name), Effect.WRITE)) is Outcome.HOLD


BUDGETED = """
@id("few") @rows("5") @minutes("30")
permit (principal, action == Action::"requestWrite", resource == Table::"db.public.a");
@id("fewer") @rows("3") permit (principal, action == Action::"requestWrite", resource == Table::"db.public.a");
@id("people") permit (principal, action in [Action::"requestWrite", Action::"requestDdl"], resource);
@id("reads") permit (principal, action == Action::"read", resource);
"""


def budget(
    *touched: tuple[str, Effect], kind: str = "UPDATE", text: str = BUDGETED, statements: int = 1
) -> RowBudget | None:
    accesses = tuple(sorted(Access(ObjectRef(ObjectKind.TABLE, f"public.{name}"), effect) for name, effect in touched))
    what = Classification(kind, accesses, kind, statements=statements)
    return Policies(text, 1).decide(AGENT, "db", what, "simple").budget


def test_the_least_budget_counts_over_the_longest_time() -> None:
    assert budget(("a", Effect.WRITE)) == RowBudget(3, 60)
    assert budget(("a", Effect.WRITE), ("b", Effect.READ)) == RowBudget(3, 60)


def test_a7_every_object_needs_a_budget_and_nothing_uncounted_has_one() -> None:
    assert budget(("a", Effect.WRITE), ("b", Effect.WRITE)) is None
    assert budget(("a", Effect.DDL)) is None
    assert budget(("a", Effect.WRITE), statements=2) is None
    for kind in ("COPY", "SELECT", "CALL", "TRUNCATE", "EXPLAIN", "EXECUTE", "UNKNOWN"):
        assert budget(("a", Effect.WRITE), kind=kind) is None, kind
    forbidden = BUDGETED + '@id("no") forbid (principal, action == Action::"write", resource);'
    assert budget(("a", Effect.WRITE), text=forbidden) is None
