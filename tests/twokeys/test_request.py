"""The one transition table: not in the table, does not exist."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twokeys.errors import Conflict
from twokeys.request import FINAL, TRANSITIONS, Event, State, Vote, sources, tally, transition

DRAWN = {  # the diagram of the module's docstring, arrow by arrow
    "pending": {"approved", "denied", "expired", "withdrawn"},
    "approved": {"spending", "withdrawn", "lapsed"},
    "spending": {"done", "failed", "in_doubt"},
    "in_doubt": {"done", "failed"},
}
EVENTS = st.lists(st.sampled_from(Event), max_size=30)
VOTES = st.lists(st.builds(Vote, st.sampled_from(["ann", "rob", "eve", "joe"]), st.booleans()), max_size=12)


def walk(events: list[Event]) -> list[State]:
    """The states a Request goes through when these events arrive; what the table lacks changes nothing."""
    path = [State.PENDING]
    for event in events:
        try:
            path.append(transition(path[-1], event))
        except Conflict:
            assert (path[-1], event) not in TRANSITIONS
    return path


def test_the_table_is_the_diagram() -> None:
    arrows: dict[str, set[str]] = {}
    for (state, _), target in TRANSITIONS.items():
        arrows.setdefault(state.value, set()).add(target.value)
    assert arrows == DRAWN


def test_the_table_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        TRANSITIONS[State.DENIED, Event.APPROVE] = State.APPROVED  # type: ignore[index]


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("event", Event)
def test_every_pair_is_an_arrow_or_a_conflict(state: State, event: Event) -> None:
    if (state, event) in TRANSITIONS:
        assert transition(state, event) is TRANSITIONS[state, event]
        return
    with pytest.raises(Conflict) as conflict:
        transition(state, event)
    assert conflict.value.code == "no_such_transition"


@given(EVENTS)
def test_no_path_leaves_a_final_state(events: list[Event]) -> None:
    path = walk(events)
    assert all(state not in FINAL for state in path[:-1])


@given(EVENTS)
def test_spending_is_entered_at_most_once_and_only_from_approved(events: list[Event]) -> None:
    path = walk(events)
    assert path.count(State.SPENDING) <= 1
    if State.SPENDING in path:
        assert path[path.index(State.SPENDING) - 1] is State.APPROVED


@given(EVENTS)
def test_nothing_is_done_without_an_approval_and_a_spend(events: list[Event]) -> None:
    path = walk(events)
    if path[-1] in {State.DONE, State.FAILED, State.IN_DOUBT}:
        assert path[:3] == [State.PENDING, State.APPROVED, State.SPENDING]


@given(EVENTS)
def test_a10_silence_crash_or_doubled_messages_never_turn_a_denial(events: list[Event]) -> None:
    for refused in (State.DENIED, State.EXPIRED, State.WITHDRAWN, State.LAPSED):
        for event in events:
            with pytest.raises(Conflict):
                transition(refused, event)


def test_every_state_is_reached_and_all_but_final_ones_go_on() -> None:
    assert set(TRANSITIONS.values()) | {State.PENDING} == set(State)
    assert set(State) - FINAL == {state for state, _ in TRANSITIONS}
    assert State.IN_DOUBT not in FINAL


@pytest.mark.parametrize("event", Event)
def test_sources_are_exactly_the_states_with_that_arrow(event: Event) -> None:
    assert sources(event) == {state for state in State if (state, event) in TRANSITIONS}


@given(VOTES, st.integers(1, 9))
def test_one_denial_denies_whatever_else_is_cast(votes: list[Vote], required: int) -> None:
    denied = any(not vote.approve for vote in votes)
    assert (tally(votes, required) is Event.DENY) == denied


@given(VOTES, st.integers(1, 9))
def test_an_approval_needs_as_many_distinct_people_as_required(votes: list[Vote], required: int) -> None:
    approvers = {vote.person_id for vote in votes if vote.approve}
    if tally(votes, required) is Event.APPROVE:
        assert len(approvers) >= required
    if len(approvers) < required:
        assert tally(votes, required) is not Event.APPROVE


@given(VOTES, st.integers(1, 9), st.randoms(use_true_random=False))
def test_the_order_and_doubling_of_votes_change_nothing(votes: list[Vote], required: int, random: object) -> None:
    shuffled = [*votes, *votes]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert tally(shuffled, required) is tally(votes, required)


@pytest.mark.parametrize("required", [0, -1])
def test_an_empty_requirement_does_not_approve(required: int) -> None:
    with pytest.raises(ValueError, match="at least one"):
        tally([], required)
