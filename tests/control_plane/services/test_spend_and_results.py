"""The spend happens at most once, and every outcome is known or marked in doubt."""

from __future__ import annotations

import threading

import msgspec
import pytest

from tests.control_plane.services.test_requests import previewed
from tests.control_plane.world import World
from twokeys.approval import Approval, check
from twokeys.digest import from_base64
from twokeys.errors import Conflict, InvalidInput, Refused, TwokeysError
from twokeys.messages import SpendReply
from twokeys.request import State
from twokeys.signature import KeyRole, Signature


def test_an_approval_is_signed_for_exactly_this_spend(a_world: World) -> None:
    opened = a_world.in_state(State.APPROVED)
    reply = a_world.spend(opened)
    keys = {key.key_id: key for key in a_world.ports.signer.public_keys() if key.role is KeyRole.APPROVAL}
    fields = {**reply.approval, "approvers": tuple(reply.approval["approvers"])}
    asked = a_world.stored(opened).asked
    expected = Approval(
        opened, "edge-1", "a" * 32, asked.opened.command_digest, asked.opened.requirement, ("rob",),
        a_world.actor.head.sequence, a_world.actor.head.hash,
    )  # fmt: skip
    check(Approval(**fields), Signature(reply.key_id, from_base64(reply.signature)), expected, keys)
    assert a_world.stored(opened).state is State.SPENDING


def test_the_approval_names_the_preview_and_how_many_rows_it_counted(a_world: World) -> None:
    opened = a_world.open(**previewed()).id
    a_world.vote("rob", opened)
    approval = a_world.spend(opened).approval
    assert approval["preview_digest"] == a_world.stored(opened).asked.opened.preview_digest
    assert approval["most_rows"] == 1


def test_a5_the_same_nonce_again_gets_the_very_same_bytes_and_another_gets_nothing(a_world: World) -> None:
    opened = a_world.in_state(State.APPROVED)
    first = a_world.spend(opened)
    assert a_world.spend(opened) == first
    a_world.reopen()
    assert a_world.spend(opened) == first
    with pytest.raises(Conflict):
        a_world.spend(opened, nonce="b" * 32)
    assert len(a_world.records("spend")) == 1


def test_a5_after_the_result_not_even_the_same_nonce_gets_it(a_world: World) -> None:
    opened = a_world.in_state(State.DONE)
    with pytest.raises(Conflict):
        a_world.spend(opened)


def test_a5_an_approval_lapses_even_before_the_timer_ran(a_world: World) -> None:
    opened = a_world.in_state(State.APPROVED)
    a_world.clock.pass_seconds(60)
    with pytest.raises(Conflict, match="lapsed"):
        a_world.spend(opened)
    a_world.services.timeouts.remind(opened)
    assert a_world.stored(opened).state is State.LAPSED


def test_a5_another_edge_and_another_digest_get_nothing(a_world: World) -> None:
    opened = a_world.in_state(State.APPROVED)
    with pytest.raises(Conflict):
        a_world.spend(opened, command_digest="0" * 64)
    a_world.edge = msgspec.structs.replace(a_world.edge, edge_id="edge-2")
    with pytest.raises(InvalidInput, match="no such request"):
        a_world.spend(opened)
    assert a_world.stored(opened).state is State.APPROVED


@pytest.mark.parametrize("state", sorted(set(State) - {State.APPROVED, State.SPENDING}))
def test_a5_nothing_but_approved_can_be_spent(a_world: World, state: State) -> None:
    opened = a_world.in_state(state)
    with pytest.raises(Conflict):
        a_world.spend(opened, nonce="c" * 32)
    assert a_world.stored(opened).state is state


def test_of_many_spends_at_once_one_wins(a_world: World) -> None:
    opened = a_world.in_state(State.APPROVED)
    start, won, lost = threading.Barrier(8), list[SpendReply](), list[TwokeysError]()

    def spend(number: int) -> None:
        start.wait()
        try:
            won.append(a_world.spend(opened, nonce=f"{number:032x}"))
        except TwokeysError as error:
            lost.append(error)

    threads = [threading.Thread(target=spend, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), len(lost)) == (1, 7)


def test_a_result_twice_is_once_and_another_one_is_refused(a_world: World) -> None:
    opened = a_world.in_state(State.SPENDING)
    for _ in range(2):
        assert a_world.report(opened, "done", rows=3).state == "done"
    assert len(a_world.records("result")) == 1
    with pytest.raises(Conflict):
        a_world.report(opened, "failed")
    assert a_world.stored(opened).outcome.rows == 3


def test_a_result_with_another_nonce_is_refused(a_world: World) -> None:
    opened = a_world.in_state(State.SPENDING)
    with pytest.raises(Conflict, match="another spend"):
        a_world.report(opened, nonce="b" * 32)


def test_no_result_in_time_is_a_doubt_and_a_late_one_settles_it(a_world: World) -> None:
    opened = a_world.in_state(State.SPENDING)
    a_world.clock.pass_seconds(600)
    a_world.services.timeouts.remind(opened)
    assert a_world.stored(opened).state is State.IN_DOUBT
    assert a_world.report(opened, "done", reason="the transaction committed").state == "done"


def test_a_person_settles_a_doubt_with_a_reason(a_world: World) -> None:
    opened = a_world.in_state(State.IN_DOUBT)
    settle = a_world.services.results.settle
    with pytest.raises(InvalidInput):
        settle(a_world.person("rob"), opened, "done", " ")
    with pytest.raises(InvalidInput):
        settle(a_world.person("rob"), opened, "approved", "x")
    with pytest.raises(Refused):
        settle(a_world.person("ann"), opened, "done", "I looked.")
    stored = settle(a_world.person("rob"), opened, "failed", "The row is unchanged.")
    assert (stored.state, stored.outcome.settled_by) == (State.FAILED, "rob")
    with pytest.raises(Conflict):
        settle(a_world.person("rob"), opened, "done", "No, it is there.")


@pytest.mark.parametrize("state", sorted(set(State) - {State.SPENDING, State.IN_DOUBT}))
def test_nothing_else_can_be_settled(a_world: World, state: State) -> None:
    opened = a_world.in_state(state)
    with pytest.raises(Conflict):
        a_world.services.results.settle(a_world.person("rob"), opened, "done", "I looked.")
    if state not in (State.DONE, State.FAILED):
        with pytest.raises(Conflict):
            a_world.report(opened, "done")


def test_an_early_reminder_changes_nothing(a_world: World) -> None:
    for state in (State.PENDING, State.APPROVED, State.SPENDING):
        opened = a_world.in_state(state)
        a_world.services.timeouts.remind(opened)
        assert a_world.stored(opened).state is state
