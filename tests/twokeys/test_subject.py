"""Which subjects are callers: exactly the listed ones, and no two of them are one caller."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.twokeys.vectors_reader import vectors
from twokeys.caller import Caller, CallerKind
from twokeys.errors import InvalidInput
from twokeys.subject import EVERY, MAX_SUBJECT, MAX_SUBJECTS, Subjects, caller_id, is_subject, subject_of

APP = "repo:org/app:ref:refs/heads/main"
SIGNS = st.sampled_from("ab+:/*2BF3A.-_@% ")
SUBJECTS = st.text(SIGNS, min_size=1, max_size=12) | st.text(
    st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=40
)


@pytest.mark.parametrize("vector", vectors("subjects")["callers"], ids=lambda vector: vector["caller"])
def test_a_subject_is_spelled_as_a_caller(vector: dict[str, str]) -> None:
    prefix, subject, caller = vector["prefix"], vector["subject"], vector["caller"]
    assert caller_id(prefix, subject) == Caller(caller, CallerKind.MACHINE).id
    assert subject_of(prefix, caller) == subject


@pytest.mark.parametrize("vector", vectors("subjects")["entries"], ids=lambda vector: vector["entry"])
def test_a7_an_entry_takes_in_what_it_says_and_nothing_beside(vector: dict[str, Any]) -> None:
    subjects = Subjects((vector["entry"],))
    assert [one for one in vector["in"] if not subjects.admits(one)] == []
    assert [one for one in vector["out"] if subjects.admits(one)] == []


@pytest.mark.parametrize("entry", vectors("subjects")["bad_entries"])
def test_a7_a_wildcard_elsewhere_and_what_is_no_subject_is_no_entry(entry: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        Subjects(("repo:org/app:*", entry))
    assert caught.value.code == "bad_subject"


def test_there_is_a_limit() -> None:
    most = tuple(f"job-{at}" for at in range(MAX_SUBJECTS))
    assert Subjects(most).admits("job-63")
    with pytest.raises(InvalidInput) as caught:
        Subjects((*most, "one-more"))
    assert caught.value.code == "too_many_subjects"


@pytest.mark.parametrize(
    "claim", ["", "x" * (MAX_SUBJECT + 1), "a\nb", "a\x00", "\u00e4", None, 7, True, [APP], {APP: 1}]
)
def test_a7_a_claim_that_is_no_subject_is_never_a_caller(claim: Any) -> None:
    for subjects in (EVERY, Subjects((APP,)), Subjects(("repo:org/*",))):
        assert not subjects.admits(claim)
    assert not is_subject(claim)


@pytest.mark.parametrize("text", ["", "x" * 256, "a\nb", "a\x00", "\u00e4"])
def test_what_is_no_subject_is_not_spelled(text: str) -> None:
    with pytest.raises(InvalidInput):
        caller_id("ci+", text)


def test_without_entries_every_subject_is_a_caller() -> None:
    assert [one for one in (APP, "deploy", "a b", "*") if not EVERY.admits(one)] == []


@given(SUBJECTS, SUBJECTS)
def test_a7_no_two_subjects_are_one_caller(one: str, other: str) -> None:
    assert (caller_id("ci+", one) == caller_id("ci+", other)) == (one == other)


@given(SUBJECTS)
def test_a7_a_spelled_subject_is_no_plain_one_and_can_be_read_back(subject: str) -> None:
    """A plain id is a subject as it stands behind the prefix: a spelled one would have to be that, too."""
    spelled = caller_id("ci+", subject)
    assert subject_of("ci+", spelled) == subject
    plain = spelled.removeprefix("ci+")
    assert plain == subject or caller_id("ci+", plain) != spelled
    if len(spelled) <= 128:
        Caller(spelled, CallerKind.MACHINE)


@given(st.text(SIGNS, max_size=12))
def test_a7_each_id_is_of_one_subject_or_none(rest: str) -> None:
    subject = subject_of("ci+", "ci+" + rest)
    assert subject is None or caller_id("ci+", subject) == "ci+" + rest


@given(SUBJECTS, SUBJECTS)
def test_a7_a_beginning_ends_at_its_boundary(organisation: str, subject: str) -> None:
    assume("*" not in organisation and organisation == organisation.strip())
    for boundary in ":/":
        admits = Subjects((f"{organisation}{boundary}*",)).admits(subject)
        assert admits == (subject.startswith(organisation + boundary) and subject != organisation + boundary)


def test_a7_a_bare_subject_is_never_spelled() -> None:
    assert (caller_id("", "repo:org"), subject_of("", "a+2Fb")) == ("repo:org", "a+2Fb")
    with pytest.raises(InvalidInput):
        Caller(caller_id("", "repo:org"), CallerKind.MACHINE)


@pytest.mark.parametrize(
    "caller", ["ci+", "ci+a+2b", "ci+a+2", "ci+a+61", "ci+a+", "ci+a+00b", "ci+a+FFb", "other+a", "c"]
)
def test_a7_an_id_that_no_subject_is_spelled_as_has_none(caller: str) -> None:
    assert subject_of("ci+", caller) is None
