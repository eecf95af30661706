"""Issuers that sign for everybody are trusted for named subjects alone, whichever way they come in."""

from __future__ import annotations

import pytest

from tests.twokeys.test_issuer import PUBLIC
from twokeys.errors import InvalidInput
from twokeys.issuer_keys import IssuerKeys
from twokeys.shared_issuer import SHARED, SharedIssuer, admitted, shared
from twokeys.subject import EVERY, Subjects

GITHUB, GITLAB, BUILDKITE, TERRAFORM, GOOGLE = (one.issuer for one in SHARED)
JWKS = {"keys": [PUBLIC]}


@pytest.mark.parametrize("known", SHARED, ids=lambda one: one.issuer)
def test_a7_an_issuer_that_signs_for_everybody_needs_subjects(known: SharedIssuer) -> None:
    with pytest.raises(InvalidInput) as caught:
        admitted(known.issuer, [])
    assert caught.value.code == "subjects_needed"
    assert known.example in caught.value.advice
    assert admitted(known.issuer, [known.example]).entries == (known.example,)


@pytest.mark.parametrize("known", SHARED, ids=lambda one: one.issuer)
def test_a7_not_even_the_keys_of_such_an_issuer_can_be_held_without_subjects(known: SharedIssuer) -> None:
    with pytest.raises(InvalidInput):
        IssuerKeys.from_jwks(known.issuer, JWKS)
    with pytest.raises(InvalidInput):
        IssuerKeys(known.issuer, {})
    assert IssuerKeys.from_jwks(known.issuer, JWKS, subjects=Subjects((known.example,))).issuer == known.issuer


@pytest.mark.parametrize(
    ("issuer", "entry"),
    [
        (GITHUB, "repo:*"), (GITHUB, "repo:/*"), (GITHUB, "repo:org"), (GITHUB, "environment:prod"), (GITHUB, "x"),
        (GITHUB, "workflow:repo:org/app:*"), (GITHUB, "job_workflow_ref:org/app/*"), (GITHUB, "actor:ann"),
        (GITHUB, "repository_owner_id:*"), (GITHUB, "repository_id:7x"), (GITHUB, "REPO:org/app"),
        (GITLAB, "project_path:*"), (GITLAB, "project_path:/*"), (GITLAB, "ref_type:branch:ref:main"),
        (BUILDKITE, "organization:*"), (BUILDKITE, "pipeline:app:*"), (TERRAFORM, "organization:*"),
        (GOOGLE, "1/*"), (GOOGLE, "1:*"), (GOOGLE, "ann@example.com"),
    ],
)  # fmt: skip
def test_a7_a_subject_of_everybody_is_no_subject(issuer: str, entry: str) -> None:
    for entries in ([entry], [next(one.example for one in SHARED if one.issuer == issuer), entry]):
        with pytest.raises(InvalidInput) as caught:
            admitted(issuer, entries)
        assert caught.value.code == "subjects_needed"


@pytest.mark.parametrize(
    ("issuer", "entry"),
    [
        (GITHUB, "repo:org/*"), (GITHUB, "repo:org/app:ref:refs/heads/main"), (GITHUB, "repo:org@12/app@34:*"),
        (GITHUB, "repository_owner_id:65:*"), (GITHUB, "repository_id:74"),
        (GITLAB, "project_path:group/*"), (GITLAB, "project_path:group/app:ref_type:branch:ref:main"),
        (BUILDKITE, "organization:org:*"), (GOOGLE, "12"),
        (TERRAFORM, "organization:org:project:app:workspace:prod:run_phase:apply"),
    ],
)  # fmt: skip
def test_a_subject_that_names_its_owner_is_taken(issuer: str, entry: str) -> None:
    assert admitted(issuer, [entry]).entries == (entry,)


@pytest.mark.parametrize(
    "name", [GITHUB.upper(), GITHUB + "/", "gitlab.com", "HTTPS://GitLab.com//", " https://gitlab.com"]
)
def test_a7_another_spelling_of_its_name_is_the_same_issuer(name: str) -> None:
    with pytest.raises(InvalidInput):
        admitted(name, [])


@pytest.mark.parametrize(
    "name", ["https://ci.example", "https://gitlab.example", GITHUB + "/an-enterprise", "https://gitlab.com.example"]
)
def test_an_issuer_of_ones_own_needs_none(name: str) -> None:
    assert (shared(name), admitted(name, [])) == (None, EVERY)
