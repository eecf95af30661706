"""Who may sign in by the Bundle: no token stands for another issuer's caller, nor behind a prefix for a person."""

from __future__ import annotations

from typing import Any

import pytest

from edge_agent.directory import BundleDirectory
from edge_agent.net.postgres_listener import registration
from edge_agent.protocols.postgres.oidc_password import verify_token
from edge_agent.protocols.postgres.startup_rules import OidcUser, ScramUser
from tests.edge_agent.protocols.postgres.test_oidc_password import JWKS, NOW, token
from tests.twokeys.test_bundle import bundle
from twokeys.bundle import CallerEntry, Issuer, Verifier
from twokeys.caller import Caller, CallerKind
from twokeys.errors import Refused
from twokeys.verifier import mint_verifier

CI, OTHER, BARE = "https://ci.example", "https://other.example", "https://bare.example"
MACHINES = [
    CallerEntry(id="ci+deploy", kind="machine", sponsor="ann"),
    CallerEntry(id="ann", kind="person"),
    CallerEntry(id="ci+rob", kind="person"),
    CallerEntry(id="agent-7", kind="machine", sponsor="ann"),
]
AGENT = Verifier(caller="agent-7", target="prod-db", verifier=mint_verifier("p" * 32, bytes(16)).to_text())


def issuer(name: str, **more: Any) -> Issuer:
    return Issuer(issuer=name, jwks=JWKS, **more)


def directory(*issuers: Issuer) -> BundleDirectory:
    return BundleDirectory(bundle(issuers=list(issuers), callers=MACHINES, verifiers=[AGENT]), "prod-db")


def issuers_for(who: BundleDirectory, user: str) -> list[str]:
    match who.lookup(user):
        case OidcUser(keys):
            return [one.issuer for one in keys]
        case _:
            return []


TWO = (issuer(CI, subject_prefix="ci+"), issuer(OTHER, subject_prefix="other+"))


def test_a7_a_name_belongs_to_the_issuer_whose_prefix_it_has() -> None:
    who = directory(*TWO, issuer(BARE, bare_subjects=True))
    assert issuers_for(who, "ci+deploy") == [CI]
    assert issuers_for(who, "other+deploy") == [OTHER]
    assert issuers_for(who, "deploy") == [BARE]
    assert issuers_for(who, "cideploy") == [BARE]


def test_a7_without_a_bare_issuer_a_token_names_nobody_without_prefix() -> None:
    who = directory(*TWO)
    assert [issuers_for(who, user) for user in ("ann", "deploy", "agent-8")] == [[], [], []]


def test_a7_another_issuers_token_does_not_sign_in_as_its_neighbours_caller() -> None:
    found = directory(*TWO).lookup("ci+deploy")
    assert isinstance(found, OidcUser)
    assert verify_token(token({"iss": CI, "sub": "deploy"}), found.issuers, "prod-db", NOW).subject == "ci+deploy"
    for claims in ({"iss": OTHER, "sub": "deploy"}, {"iss": OTHER, "sub": "ci+deploy"}):
        with pytest.raises(Refused) as caught:
            verify_token(token(claims), found.issuers, "prod-db", NOW)
        assert caught.value.code == "foreign_issuer"


def test_a7_a_bare_subject_cannot_spell_a_prefix_even_when_that_issuers_keys_are_useless() -> None:
    broken = Issuer(issuer=CI, jwks={"keys": []}, subject_prefix="ci+")
    assert issuers_for(directory(broken, issuer(BARE, bare_subjects=True)), "ci+deploy") == []


def test_a7_an_issuer_that_says_nothing_about_its_subjects_names_nobody() -> None:
    assert issuers_for(directory(issuer(CI)), "ci-deploy") == []


def test_a7_two_issuers_with_one_prefix_or_two_bare_ones_name_nobody() -> None:
    who = directory(issuer(CI, subject_prefix="ci+"), issuer(OTHER, subject_prefix="ci+"))
    assert issuers_for(who, "ci+deploy") == []
    assert issuers_for(directory(issuer(CI, bare_subjects=True), issuer(OTHER, bare_subjects=True)), "x") == []


def test_a7_behind_a_prefix_no_token_stands_for_a_person() -> None:
    who = directory(*TWO, issuer(BARE, bare_subjects=True))
    assert issuers_for(who, "ci+rob") == []
    assert issuers_for(who, "ann") == [BARE]


def test_a_caller_with_a_credential_signs_in_with_it_whatever_an_issuer_says() -> None:
    assert isinstance(directory(issuer(BARE, bare_subjects=True)).lookup("agent-7"), ScramUser)


def test_registered_callers_are_as_registered() -> None:
    found = directory(*TWO).lookup("ci+deploy")
    assert isinstance(found, OidcUser)
    assert found.registered == Caller("ci+deploy", CallerKind.MACHINE, "ann")


def test_what_the_owner_said_of_an_issuer_is_applied() -> None:
    rules = issuer(CI, subject_prefix="ci+", sponsor_claim="twokeys_sponsor", groups_claim="groups", require_nbf=False)
    found = directory(rules).lookup("ci+x")
    assert isinstance(found, OidcUser)
    [keys] = found.issuers
    assert (keys.sponsor_claim, keys.groups_claim, keys.require_nbf) == ("twokeys_sponsor", "groups", False)


GITHUB = "https://token.actions.githubusercontent.com"


def test_a7_an_issuer_that_signs_for_everybody_names_nobody_without_subjects() -> None:
    """Though a Bundle brings it, signed, as a control plane of before would."""
    for subjects in ([], ["repo:*"], ["environment:prod"], ["repo:org/app:*", "*"]):
        for more in ({"subject_prefix": "gh+"}, {"bare_subjects": True}):
            who = directory(issuer(GITHUB, subjects=subjects, **more), issuer(CI, subject_prefix="ci+"))
            assert [issuers_for(who, user) for user in ("gh+deploy", "deploy")] == [[], []]
            assert issuers_for(who, "ci+deploy") == [CI], "others sign in as before"


def test_a7_an_issuer_with_an_entry_that_is_none_names_nobody() -> None:
    for entry in ("*", "repo:*/app", "repo:org/app*", " x"):
        assert issuers_for(directory(issuer(CI, subject_prefix="ci+", subjects=["deploy", entry])), "ci+deploy") == []


def test_a7_a_strangers_repository_does_not_sign_in() -> None:
    gh = issuer(GITHUB, subject_prefix="gh+", subjects=["repo:org/app:*"])
    mine, strangers = "repo:org/app:ref:refs/heads/main", "repo:evil/app:ref:refs/heads/main"
    found = directory(gh).lookup("gh+repo+3Aorg+2Fapp+3Aref+3Arefs+2Fheads+2Fmain")
    assert isinstance(found, OidcUser)
    identity = verify_token(token({"iss": GITHUB, "sub": mine}), found.issuers, "prod-db", NOW)
    assert identity.subject == "gh+repo+3Aorg+2Fapp+3Aref+3Arefs+2Fheads+2Fmain"
    with pytest.raises(Refused) as caught:
        verify_token(token({"iss": GITHUB, "sub": strangers}), found.issuers, "prod-db", NOW)
    assert caught.value.code == "foreign_subject"


def test_a7_a_registered_caller_whose_subject_is_not_listed_does_not_sign_in_by_token() -> None:
    found = directory(issuer(CI, subject_prefix="ci+", subjects=["migrate"])).lookup("ci+deploy")
    assert isinstance(found, OidcUser)
    with pytest.raises(Refused) as caught:
        verify_token(token({"iss": CI, "sub": "deploy"}), found.issuers, "prod-db", NOW)
    assert caught.value.code == "foreign_subject"


def test_a7_a_session_rests_on_its_subject_being_listed_and_the_name_is_asked_for_a_token_either_way() -> None:
    every, listed = (issuer(CI, subject_prefix="ci+", subjects=subjects) for subjects in ([], ["migrate", "a:*"]))
    for user, wanted in (("ci+migrate", True), ("ci+a+3Ab", True), ("ci+deploy", False), ("ci+a+3ab", False)):
        before, after = directory(every).lookup(user), directory(listed).lookup(user)
        assert isinstance(before, OidcUser)
        assert isinstance(after, OidcUser)
        assert (before.listed, after.listed) == (True, wanted)
        assert (registration(before) == registration(after)) is wanted
    assert registration(directory(listed).lookup("ci+deploy")) == registration(None)
