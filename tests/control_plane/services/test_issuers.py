"""Issuers of callers: owners alone, by the rules of the Edge, on record; and who sets one can't approve by it."""

from __future__ import annotations

from typing import Any

import pytest

from control_plane.chalicelib.services.notes import note
from tests.control_plane.world import World
from tests.twokeys.test_issuer import PUBLIC
from twokeys.bundle import Issuer
from twokeys.caller import Caller, CallerKind
from twokeys.errors import Conflict, InvalidInput, Refused
from twokeys.record import RecordType
from twokeys.request import State

URL = "https://ci.example"


def issuer(url: str = URL, prefix: str = "ci+", **more: Any) -> Issuer:
    return Issuer(**{
        "issuer": url, "jwks": {"keys": [PUBLIC]}, "subject_prefix": prefix, "sponsor_claim": "sponsor", **more
    })  # fmt: skip


def trust(world: World, asked: Issuer) -> Issuer:
    return world.services.issuers.put(world.person("ann"), asked)


def opened_by(world: World, caller: str, sponsor: str = "rob") -> str:
    decided_as = Caller(caller, CallerKind.MACHINE, sponsor)
    return world.open(caller=caller, sponsor=sponsor, decided_as=decided_as).id


def test_an_issuer_is_added_changed_and_removed_on_record_and_each_raises_the_bundle(a_world: World) -> None:
    issuers, revisions = a_world.services.issuers, [a_world.services.bundles.revision]
    trust(a_world, issuer(jwks={"keys": [PUBLIC, {"kty": "new"}], "more": 1}))
    revisions.append(a_world.services.bundles.revision)
    assert issuers.listed() == [issuer()]
    trust(a_world, issuer(prefix="build+"))
    revisions.append(a_world.services.bundles.revision)
    issuers.remove(a_world.person("ann"), URL)
    revisions.append(a_world.services.bundles.revision)
    assert issuers.listed() == []
    assert revisions == sorted(set(revisions))
    found = [(one["person"], one["outcome"], one["objects"]) for one in a_world.records("people")]
    assert found[-3:] == [
        ("ann", "issuer_added", ["issuer:ci+"]),
        ("ann", "issuer_changed", ["issuer:build+", "issuer:ci+"]),
        ("ann", "issuer_removed", ["issuer:build+"]),
    ]
    assert a_world.records("people")[-1]["reason"] == f"{URL}, subjects behind build+, sponsor from sponsor"


def test_only_owners_change_them(a_world: World) -> None:
    with pytest.raises(Refused, match="Only owners"):
        a_world.services.issuers.put(a_world.person("rob"), issuer())
    trust(a_world, issuer())
    with pytest.raises(Refused, match="Only owners"):
        a_world.services.issuers.remove(a_world.person("rob"), URL)
    assert a_world.services.issuers.listed() == [issuer()]


def test_what_an_edge_could_not_use_is_refused(a_world: World) -> None:
    trust(a_world, issuer())
    with pytest.raises(Conflict):
        trust(a_world, issuer("https://other.example"))
    for bad in (issuer(prefix=""), issuer(jwks={"keys": []}), issuer("http://ci.example")):
        with pytest.raises(InvalidInput):
            trust(a_world, bad)
    with pytest.raises(InvalidInput) as caught:
        a_world.services.issuers.remove(a_world.person("ann"), "https://nowhere.example")
    assert caught.value.code == "not_found"


def test_a6_who_set_an_issuers_keys_cannot_approve_what_its_callers_ask_for(a_world: World) -> None:
    a_world.add_person("eve", "reviewers")
    trust(a_world, issuer())
    opened = opened_by(a_world, "ci+deploy")
    with pytest.raises(Refused):
        a_world.vote("ann", opened)
    assert "ann" in a_world.stored(opened).asked.excluded
    assert a_world.vote("eve", opened).state is State.APPROVED


def test_a6_a_change_after_the_opening_counts_too_and_so_does_a_removal(a_world: World) -> None:
    trust(a_world, issuer())
    a_world.clock.pass_seconds(25 * 3600)
    opened = opened_by(a_world, "ci+deploy")
    assert "ann" not in a_world.stored(opened).asked.excluded
    a_world.services.issuers.remove(a_world.person("ann"), URL)
    with pytest.raises(Refused, match="You changed issuer ci"):
        a_world.vote("ann", opened)


def test_a6_a_bare_issuer_could_have_named_anybody(a_world: World) -> None:
    trust(a_world, issuer(prefix="", bare_subjects=True))
    opened = opened_by(a_world, "stranger")
    assert "ann" in a_world.stored(opened).asked.excluded


def test_an_issuer_does_not_keep_its_owner_from_deciding_about_others(a_world: World) -> None:
    trust(a_world, issuer())
    trust(a_world, issuer("https://other.example", "other+"))
    a_world.clock.pass_seconds(25 * 3600)
    trust(a_world, issuer())
    opened = opened_by(a_world, "other+deploy")
    assert a_world.vote("ann", opened).state is State.APPROVED


GITHUB = "https://token.actions.githubusercontent.com"


def test_a7_an_issuer_that_signs_for_everybody_is_trusted_for_named_subjects_alone(a_world: World) -> None:
    for subjects in ([], ["repo:*"], ["environment:prod"]):
        with pytest.raises(InvalidInput) as caught:
            trust(a_world, issuer(GITHUB, "gh+", subjects=subjects))
        assert caught.value.code == "subjects_needed"
        assert "--subject repo:" in caught.value.advice
    assert a_world.services.issuers.listed() == []
    mine = issuer(GITHUB, "gh+", subjects=["repo:org/app:*", "repo:org/lib:environment:prod"])
    assert trust(a_world, mine) == mine
    assert a_world.services.issuers.listed() == [mine]
    assert a_world.records("people")[-1]["reason"] == (
        f"{GITHUB}, subjects behind gh+, sponsor from sponsor, only repo:org/app:*, repo:org/lib:environment:prod"
    )


def test_a7_a_list_of_subjects_is_changed_not_dropped_and_each_raises_the_bundle(a_world: World) -> None:
    trust(a_world, issuer(subjects=["deploy"]))
    before = a_world.services.bundles.revision
    with pytest.raises(Conflict) as caught:
        trust(a_world, issuer())
    assert (caught.value.code, a_world.services.bundles.revision) == ("subjects_dropped", before)
    trust(a_world, issuer(subjects=["migrate"]))
    assert a_world.services.bundles.revision > before
    assert a_world.services.issuers.listed() == [issuer(subjects=["migrate"])]


def test_a7_a_caller_that_is_no_listed_subject_opens_nothing_whatever_its_edge_knows(a_world: World) -> None:
    trust(a_world, issuer(subjects=["deploy", "repo:org/app:*"]))
    assert opened_by(a_world, "ci+deploy")
    assert opened_by(a_world, "ci+repo+3Aorg+2Fapp+3Ax")
    trust(a_world, issuer(subjects=["repo:org/app:*"]))
    for caller in ("ci+deploy", "ci+repo+3Aevil+2Fapp+3Ax", "ci+repo+3aorg+2Fapp+3Ax"):
        with pytest.raises(Refused) as caught:
            opened_by(a_world, caller)
        assert caught.value.code == "foreign_subject"


def test_a7_a_store_of_before_gives_a_shared_issuers_callers_nothing(a_world: World) -> None:
    a_world.ports.people.put_issuer(issuer(GITHUB, "gh+"), "ann", [], note(RecordType.PEOPLE))
    with pytest.raises(Refused) as caught:
        opened_by(a_world, "gh+deploy")
    assert caught.value.code == "foreign_subject"
