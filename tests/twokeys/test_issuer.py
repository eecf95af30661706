"""Issuers side by side: each caller id belongs to one at most, and only public keys are kept."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm

from twokeys.bundle import Issuer, Prefix
from twokeys.caller import CallerKind
from twokeys.errors import Conflict, InvalidInput
from twokeys.issuer import MAX_ISSUERS, checked_issuer, issuer_of, may_be_caller, may_stand_for
from twokeys.shared_issuer import SHARED
from twokeys.subject import MAX_SUBJECT, MAX_SUBJECTS, caller_id

KEY = ec.generate_private_key(ec.SECP256R1())
PUBLIC: dict[str, Any] = {**ECAlgorithm.to_jwk(KEY.public_key(), as_dict=True), "kid": "k"}
LONG: dict[str, Any] = {
    "kty": "RSA", "kid": "long", "e": "AQAB",
    "n": urlsafe_b64encode(((1 << 16383) | 1).to_bytes(2048)).rstrip(b"=").decode(),
}  # fmt: skip
URL = "https://ci.example"


def issuer(url: str = URL, prefix: str = "ci+", **more: Any) -> Issuer:
    return Issuer(**{"issuer": url, "jwks": {"keys": [PUBLIC]}, "subject_prefix": prefix, **more})


def test_a_good_issuer_is_kept_with_its_usable_keys_alone() -> None:
    more = {"keys": [{**PUBLIC, "x5c": ["..."], "note": "x" * 9}, {"kty": "new"}, "no key"], "other": 1}
    assert checked_issuer(issuer(jwks=more), []).jwks == {"keys": [PUBLIC]}


@pytest.mark.parametrize(
    "url",
    ["", "ci.example", "http://ci.example", "https://", "https://u@ci.example", "https://ci.example?x=1",
     "https://ci.example#x", "https://ci.example ", "https://ci.ex\u00e4mple", "https://ci.example:0x", "https://[",
     "https://ci.example/" + "x" * 200, "https://ci.example?", "https://ci.example/\n"],
)  # fmt: skip
def test_an_address_that_is_no_issuers_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput):
        checked_issuer(issuer(url), [])


@pytest.mark.parametrize(
    "changes",
    [
        {"subject_prefix": ""}, {"bare_subjects": True}, {"subject_prefix": "ci"}, {"subject_prefix": "+"},
        {"subject_prefix": "c+i+"}, {"subject_prefix": "-ci+"}, {"subject_prefix": "ci+\n"},
        {"subject_prefix": "c" * 32 + "+"}, {"sponsor_claim": "x" * 65}, {"groups_claim": "a\nb"},
        {"jwks": {"keys": [{**PUBLIC, "kid": "k" * 257}]}}, {"jwks": {"keys": [LONG]}},
        {"jwks": {}}, {"jwks": {"keys": []}}, {"jwks": {"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}},
    ],
)  # fmt: skip
def test_a7_a_mapping_or_key_set_that_is_not_clear_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        checked_issuer(issuer(**changes), [])


def test_a_private_key_is_refused() -> None:
    private = {**ECAlgorithm.to_jwk(KEY, as_dict=True), "kid": "p"}
    with pytest.raises(InvalidInput) as caught:
        checked_issuer(issuer(jwks={"keys": [PUBLIC, private]}), [])
    assert caught.value.code == "private_key"


def test_a7_prefixes_differ_and_one_issuer_at_most_is_bare() -> None:
    bare = issuer("https://a.example", "", bare_subjects=True)
    for known in (issuer("https://a.example"), bare):
        again = msgspec.structs.replace(known, issuer=URL)
        with pytest.raises(Conflict) as caught:
            checked_issuer(again, [known])
        assert caught.value.code == "prefix_taken"
        assert checked_issuer(known, [known]) == known


def test_there_is_a_limit() -> None:
    many = [issuer(f"https://{at}.example", f"p{at}+") for at in range(MAX_ISSUERS)]
    with pytest.raises(Conflict):
        checked_issuer(issuer(), many)
    assert checked_issuer(many[0], many) == many[0]


PREFIXES = st.lists(
    st.from_regex(r"[ab.@-]{0,3}", fullmatch=True).map(lambda text: f"a{text}+"), min_size=1, max_size=5, unique=True
)
SUBJECTS = st.text("ab+.@-", min_size=1, max_size=6)


@given(PREFIXES, SUBJECTS, SUBJECTS)
def test_a7_no_two_issuers_can_name_the_same_caller(prefixes: list[str], first: str, second: str) -> None:
    issuers = [issuer(f"https://{at}.example", prefix) for at, prefix in enumerate(prefixes)]
    everybody = [*issuers, issuer("https://bare.example", "", bare_subjects=True)]
    for one in issuers:
        assert issuer_of(one.subject_prefix + first, everybody) is one
        for other in issuers:
            assert one is other or one.subject_prefix + first != other.subject_prefix + second
    if (owner := issuer_of(first, everybody)) is not None and owner.bare_subjects:
        assert not any(first.startswith(prefix) for prefix in prefixes)


def test_behind_a_prefix_no_token_stands_for_a_person() -> None:
    bare = issuer(prefix="", bare_subjects=True)
    found = [may_stand_for(one, kind) for one in (issuer(), bare) for kind in (CallerKind.PERSON, CallerKind.MACHINE)]
    assert found == [False, True, True, True]


@pytest.mark.parametrize("text", ["ci", "+", "a+b+", "a+b", "-+", "x" * 32 + "+"])
def test_the_wire_takes_the_same_prefixes(text: str) -> None:
    assert msgspec.convert("ci+", Prefix) == "ci+"
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(text, Prefix)


@pytest.mark.parametrize(
    "subjects",
    [["*"], ["repo:*/app"], [""], ["repo:org/app "], ["x"] * (MAX_SUBJECTS + 1), ["x" * (MAX_SUBJECT + 1)],
     ["x" * 126], ["repo:" + "/" * 50], ["repo:" + "/" * 50 + "*"]],
)  # fmt: skip
def test_a7_subjects_that_are_none_or_could_never_sign_in_are_refused(subjects: list[str]) -> None:
    with pytest.raises(InvalidInput):
        checked_issuer(issuer(subjects=subjects), [])
    good = issuer(subjects=["repo:org/app:*", "deploy", "x" * 125])
    assert checked_issuer(good, []) == good
    bare = issuer(prefix="", bare_subjects=True, subjects=["deploy"])
    assert checked_issuer(bare, []) == bare
    for entry in ("repo:org/app:*", "repo:org"):
        with pytest.raises(InvalidInput):
            checked_issuer(msgspec.structs.replace(bare, subjects=["deploy", entry]), [])


def test_a7_an_issuer_that_signs_for_everybody_is_refused_without_subjects() -> None:
    for known in SHARED:
        for changed in (issuer(known.issuer), issuer(known.issuer, "", bare_subjects=True)):
            with pytest.raises(InvalidInput) as caught:
                checked_issuer(changed, [])
            assert caught.value.code == "subjects_needed"
        good = issuer(known.issuer, subjects=[known.example])
        assert checked_issuer(good, []) == good


def test_a7_a_change_of_keys_does_not_drop_the_subjects() -> None:
    listed = issuer(subjects=["repo:org/app:*"])
    with pytest.raises(Conflict) as caught:
        checked_issuer(issuer(), [listed])
    assert caught.value.code == "subjects_dropped"
    assert checked_issuer(issuer(subjects=["deploy"]), [listed]).subjects == ["deploy"]
    assert checked_issuer(issuer(), [issuer(), issuer("https://other.example", "other+", subjects=["a"])]) == issuer()


def test_a7_a_caller_is_one_of_the_listed_subjects() -> None:
    listed = issuer(subjects=["repo:org/app:*", "deploy"])
    for subject, wanted in (
        ("deploy", True), ("repo:org/app:x", True), ("deploy2", False), ("repo:org/app-evil:x", False),
    ):  # fmt: skip
        assert may_be_caller(listed, caller_id("ci+", subject)) is wanted
        assert may_be_caller(issuer(), caller_id("ci+", subject))
    for caller in ("deploy", "ci+repo+3aorg+2Fapp+3Ax", "ci+", "other+deploy"):
        assert not may_be_caller(listed, caller)
    assert not may_be_caller(issuer(SHARED[0].issuer), "ci+deploy")


def test_the_wire_bounds_subjects() -> None:
    bounded = msgspec.convert({"issuer": URL, "jwks": {}, "subjects": ["x" * MAX_SUBJECT] * MAX_SUBJECTS}, Issuer)
    assert len(bounded.subjects) == MAX_SUBJECTS
    for subjects in (["x"] * (MAX_SUBJECTS + 1), ["x" * (MAX_SUBJECT + 1)], [""], [7], "x", {"x": 1}):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert({"issuer": URL, "jwks": {}, "subjects": subjects}, Issuer)
    assert b"subjects" not in msgspec.json.encode(issuer())
