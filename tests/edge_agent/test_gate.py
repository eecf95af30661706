"""The gate is the one door: what it forwards was allowed, or was approved for exactly this."""

from __future__ import annotations

import dataclasses

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from edge_agent.gate import Gate, Pass, Standing, World
from twokeys.approval import TYPE, Approval
from twokeys.caller import Caller, CallerKind
from twokeys.decision import Decision, Outcome
from twokeys.effect import DATABASE, Access, Classification, Effect
from twokeys.errors import Refused
from twokeys.policy import STARTER_TEXT, Policies
from twokeys.signature import KeyRole, PublicKey, sign

CALLER = Caller("agent-7", CallerKind.MACHINE, "ann")
READ = Classification("SELECT", (Access(DATABASE, Effect.READ),), "select ?")
WRITE = Classification("UPDATE", (Access(DATABASE, Effect.WRITE),), "update t set a = ?")
KEY = ec.generate_private_key(ec.SECP256R1())


def public(key: ec.EllipticCurvePrivateKey, role: KeyRole) -> PublicKey:
    der = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return PublicKey.from_der(der, role)


def world(text: str = STARTER_TEXT, revision: int = 1, role: KeyRole = KeyRole.APPROVAL) -> World:
    key = public(KEY, role)
    return World("edge-1", revision, Policies(text, revision), {key.key_id: key})


def standing_gate(text: str = STARTER_TEXT, revision: int = 1, role: KeyRole = KeyRole.APPROVAL) -> Gate:
    gate = Gate()
    gate.stand(Standing())
    gate.enter(world(text, revision, role))
    return gate


def approval(decision: Decision) -> Approval:
    return Approval("req_" + "a" * 26, "edge-1", "0" * 32, "d" * 64, decision.requirement, ("rob",), 7, "c" * 64)


def test_a_gate_without_a_world_forwards_nothing() -> None:
    gate = Gate()
    assert gate.decide(CALLER, "db", READ, "simple").outcome is Outcome.DENY
    gate.stand(Standing())
    assert gate.decide(CALLER, "db", READ, "simple").outcome is Outcome.DENY


def test_an_empty_policy_forwards_nothing() -> None:
    assert standing_gate("").decide(CALLER, "db", READ, "simple").outcome is Outcome.DENY


def test_reads_pass_and_writes_are_held_by_the_starter_policy() -> None:
    gate = standing_gate()
    assert gate.admit(gate.decide(CALLER, "db", READ, "simple")).decision.outcome is Outcome.ALLOW
    assert gate.decide(CALLER, "db", WRITE, "simple").outcome is Outcome.HOLD


def test_nobody_else_builds_a_pass() -> None:
    with pytest.raises(TypeError):
        Pass(object(), Decision(Outcome.ALLOW), "")


@pytest.mark.parametrize("outcome", [Outcome.HOLD, Outcome.DENY])
def test_only_an_allowing_decision_is_admitted(outcome: Outcome) -> None:
    with pytest.raises(Refused):
        standing_gate().admit(Decision(outcome, revision=1))


def test_a_decision_of_an_older_bundle_is_not_admitted() -> None:
    gate = standing_gate()
    old = gate.decide(CALLER, "db", READ, "simple")
    gate.enter(world(revision=2))
    with pytest.raises(Refused):
        gate.admit(old)


def test_a_pass_is_spent_once() -> None:
    gate = standing_gate()
    permission = gate.admit(gate.decide(CALLER, "db", READ, "simple"))
    permission.spend()
    with pytest.raises(Refused):
        permission.spend()


def test_a11_an_older_bundle_is_refused_and_the_newer_stays() -> None:
    gate = standing_gate(revision=5)
    with pytest.raises(Refused):
        gate.enter(world(revision=4))
    assert gate.revision == 5


def test_a10_a_stale_bundle_denies_writes_then_reads() -> None:
    gate = standing_gate()
    gate.stand(Standing(writes_denied="the bundle is too old"))
    assert gate.decide(CALLER, "db", READ, "simple").outcome is Outcome.ALLOW
    assert gate.decide(CALLER, "db", WRITE, "simple").outcome is Outcome.DENY
    gate.stand(Standing(writes_denied="the bundle is too old", reads_denied="the bundle is too old"))
    assert gate.decide(CALLER, "db", READ, "simple").outcome is Outcome.DENY


def test_the_generation_moves_with_every_change_that_matters() -> None:
    gate = standing_gate()
    before = gate.generation
    gate.stand(Standing())
    assert gate.generation == before
    gate.stand(Standing(writes_denied="low disk"))
    gate.enter(world(revision=2))
    assert gate.generation == before + 2


def test_a_signed_approval_of_exactly_this_is_redeemed() -> None:
    gate = standing_gate()
    held = gate.decide(CALLER, "db", WRITE, "simple")
    paper = approval(held)
    permission = gate.redeem(paper, paper, sign(TYPE, paper.to_json(), KEY), held)
    assert permission.command_digest == paper.command_digest


@pytest.mark.parametrize(
    "change",
    [
        {"request_id": "req_" + "b" * 26},
        {"edge_id": "edge-2"},
        {"nonce": "1" * 32},
        {"command_digest": "e" * 64},
        {"requirement": "f" * 64},
        {"chain_sequence": 8},
        {"chain_hash": "b" * 64},
    ],
)
def test_a5_an_approval_for_something_else_is_refused(change: dict[str, object]) -> None:
    gate = standing_gate()
    held = gate.decide(CALLER, "db", WRITE, "simple")
    expected = approval(held)
    other = dataclasses.replace(expected, **change)  # type: ignore[arg-type]
    with pytest.raises(Refused, match="something else"):
        gate.redeem(expected, other, sign(TYPE, other.to_json(), KEY), held)


def test_a5_a_forged_approval_is_refused() -> None:
    gate = standing_gate()
    held = gate.decide(CALLER, "db", WRITE, "simple")
    paper = approval(held)
    with pytest.raises(Refused, match="no key trusted"):
        gate.redeem(paper, paper, sign(TYPE, paper.to_json(), ec.generate_private_key(ec.SECP256R1())), held)
    with pytest.raises(Refused, match="does not hold"):
        gate.redeem(paper, paper, sign("seal", paper.to_json(), KEY), held)


def test_a_seal_key_signs_no_approval() -> None:
    gate = standing_gate(role=KeyRole.SEAL)
    held = gate.decide(CALLER, "db", WRITE, "simple")
    paper = approval(held)
    with pytest.raises(Refused, match="no key trusted"):
        gate.redeem(paper, paper, sign(TYPE, paper.to_json(), KEY), held)


def test_a_policy_that_denies_meanwhile_undoes_an_approval() -> None:
    gate = standing_gate()
    held = gate.decide(CALLER, "db", WRITE, "simple")
    paper = approval(held)
    gate.enter(world('@id("only-read") permit(principal, action == Action::"read", resource);', revision=2))
    with pytest.raises(Refused, match="denies it now"):
        gate.redeem(paper, paper, sign(TYPE, paper.to_json(), KEY), gate.decide(CALLER, "db", WRITE, "simple"))


def test_a_policy_that_asks_for_more_meanwhile_undoes_an_approval() -> None:
    gate = standing_gate()
    held = gate.decide(CALLER, "db", WRITE, "simple")
    paper = approval(held)
    gate.enter(
        world('@id("two") @approvals("2") permit(principal, action == Action::"requestWrite", resource);', revision=2)
    )
    with pytest.raises(Refused, match="another approval"):
        gate.redeem(paper, paper, sign(TYPE, paper.to_json(), KEY), gate.decide(CALLER, "db", WRITE, "simple"))


def test_a_pass_within_a_budget_needs_one_and_no_more_rows_than_it_has() -> None:
    gate = standing_gate()
    gate.enter(
        world('@id("few") @rows("5") permit(principal, action == Action::"requestWrite", resource);', revision=2)
    )
    assert gate.decide(CALLER, "db", dataclasses.replace(WRITE, kind="COPY"), "simple").budget is None
    counted = gate.decide(CALLER, "db", WRITE, "simple")
    assert counted.outcome is Outcome.HOLD
    assert gate.admit_within(counted, 5).within == 5
    for decision, rows in ((counted, 6), (counted, 0), (dataclasses.replace(counted, budget=None), 1)):
        with pytest.raises(Refused):
            gate.admit_within(decision, rows)
    gate.stand(Standing(writes_denied="The disk is full."))
    with pytest.raises(Refused):
        gate.admit_within(counted, 1)


def test_w6_a_pass_says_how_many_rows_were_approved() -> None:
    gate = standing_gate()
    decision = gate.decide(CALLER, "db", WRITE, "simple")
    paper = dataclasses.replace(approval(decision), preview_digest="b" * 64, most_rows=3)
    assert gate.redeem(paper, paper, sign(TYPE, paper.to_json(), KEY), decision).most_rows == 3
