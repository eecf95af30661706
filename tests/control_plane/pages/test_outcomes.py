"""Every state has its sentence, and each says whether anything ran."""

from __future__ import annotations

import pytest

from control_plane.chalicelib.pages.outcomes import Facts, outcome
from control_plane.chalicelib.pages.render import STATES
from twokeys.request import State


def test_every_state_has_a_word_and_a_sentence() -> None:
    assert set(STATES) == {state.value for state in State}
    for state in State:
        assert bool(outcome(Facts(state, ("rob",)))) is (state is not State.PENDING)


@pytest.mark.parametrize("state", [State.DENIED, State.EXPIRED, State.WITHDRAWN, State.LAPSED])
def test_what_did_not_run_says_so(state: State) -> None:
    assert outcome(Facts(state, ("rob",))).endswith("Nothing was run.")


def test_the_facts_are_told() -> None:
    assert outcome(Facts(State.DONE, ("ann", "rob"), rows=1)) == "ann and rob approved it. It ran, 1 row affected."
    failed = outcome(Facts(State.FAILED, ("rob",), "Division by zero.", sqlstate="22012"))
    assert failed == "rob approved it. The database refused it with error 22012: Division by zero."
    assert "isn't known" in outcome(Facts(State.IN_DOUBT, ("rob",)))


def test_a_grant_says_how_much_of_it_was_used() -> None:
    for state in (State.APPROVED, State.WITHDRAWN, State.LAPSED):
        assert "1 of its 5 statements was used." in outcome(Facts(state, ("rob",), drawn=(1, 5)))
    assert outcome(Facts(State.PENDING, drawn=(0, 5))) == ""
    assert outcome(Facts(State.DENIED, ("rob",), drawn=(0, 5))) == "rob denied it."
