"""Callers, people, effects and errors: what is illegal cannot be built."""

from __future__ import annotations

import pytest

from twokeys.caller import Caller, CallerKind, Person, checked_id
from twokeys.effect import Effect
from twokeys.errors import Conflict, InvalidInput, Refused, TwokeysError, Unavailable


@pytest.mark.parametrize("text", ["a", "agent-7", "rob@example.org", "A1._@+-", "a" * 128])
def test_legal_ids(text: str) -> None:
    assert checked_id(text, "caller") == text


@pytest.mark.parametrize("text", ["", "a" * 129, "-a", ".a", "a b", "a\n", "a/b", "../a", "é", "a\0", "а"])  # noqa: RUF001
def test_illegal_ids(text: str) -> None:
    with pytest.raises(InvalidInput):
        checked_id(text, "caller")


def test_callers_that_make_no_sense_cannot_be_built() -> None:
    machine: tuple[tuple[str, str, tuple[str, ...]], ...] = (
        ("a b", "", ()),
        ("x", "a b", ()),
        ("x", "ann", ("b", "a")),
        ("x", "ann", ("a", "a")),
    )
    for caller_id, sponsor, groups in machine:
        with pytest.raises(InvalidInput):
            Caller(caller_id, CallerKind.MACHINE, sponsor, groups)
    with pytest.raises(InvalidInput):
        Caller("ann", CallerKind.PERSON, "rob")


def test_only_who_is_answered_for_may_request() -> None:
    assert Caller("ann", CallerKind.PERSON).may_request
    assert Caller("agent-7", CallerKind.MACHINE, "ann").may_request
    assert not Caller("agent-7", CallerKind.MACHINE).may_request


def test_linked_accounts_are_the_same_human() -> None:
    ann = Person("ann", "ann@example.org", ("U123", "sub-9"))
    assert all(ann.is_same_human(one) for one in ("ann", "U123", "sub-9"))
    assert not ann.is_same_human("rob")


def test_effects_rise_and_have_one_spelling() -> None:
    assert [effect.word for effect in sorted(Effect)] == ["read", "write", "ddl", "privileged"]
    for effect in Effect:
        assert Effect.from_word(effect.word) is effect
    for word in ("", "Read", "READS", "unknown"):
        with pytest.raises(KeyError):
            Effect.from_word(word)


@pytest.mark.parametrize("kind", [InvalidInput, Refused, Unavailable, Conflict])
def test_an_error_says_what_happened_what_was_not_done_and_what_to_try(kind: type[TwokeysError]) -> None:
    error = kind("It broke.", not_done="Nothing was sent.", advice="Mend it.")
    assert str(error) == "It broke. Nothing was sent. Mend it."
    assert error.code == kind.__name__.lower()
