"""A token counts for one target, from a trusted issuer, by the key's own algorithm, in its time; nothing else does."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from edge_agent.protocols.postgres.oidc_password import LEEWAY_SECONDS, verify_token
from twokeys.caller import Caller, CallerKind
from twokeys.errors import InvalidInput, Refused
from twokeys.issuer_keys import IssuerKeys
from twokeys.subject import Subjects

NOW = 1_790_000_000
ISSUER = "https://issuer.example"
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
SMALL = rsa.generate_private_key(public_exponent=65537, key_size=1024)
EC = ec.generate_private_key(ec.SECP256R1())
EC384 = ec.generate_private_key(ec.SECP384R1())
ED = ed25519.Ed25519PrivateKey.generate()
JWKS: dict[str, Any] = {
    "keys": [
        {**RSAAlgorithm.to_jwk(RSA.public_key(), as_dict=True), "kid": "rsa", "use": "sig"},
        {**ECAlgorithm.to_jwk(EC.public_key(), as_dict=True), "kid": "ec", "alg": "ES256"},
        {**OKPAlgorithm.to_jwk(ED.public_key(), as_dict=True), "kid": "ed"},
        {**RSAAlgorithm.to_jwk(SMALL.public_key(), as_dict=True), "kid": "small"},
        {**ECAlgorithm.to_jwk(EC384.public_key(), as_dict=True), "kid": "ec384"},
        {**RSAAlgorithm.to_jwk(RSA.public_key(), as_dict=True), "kid": "enc", "use": "enc"},
        {**RSAAlgorithm.to_jwk(RSA.public_key(), as_dict=True), "kid": "rs512", "alg": "RS512"},
        {"kty": "oct", "k": "c2VjcmV0", "kid": "oct"},
        {"kty": "new"},
        "no key",
    ]
}
KEYS = IssuerKeys.from_jwks(ISSUER, JWKS, sponsor_claim="twokeys_sponsor", groups_claim="groups")
CLAIMS: dict[str, Any] = {
    "iss": ISSUER,
    "sub": "ci-deploy",
    "aud": "twokeys:edge:prod-db",
    "exp": NOW + 300,
    "iat": NOW - 5,
    "nbf": NOW - 5,
    "twokeys_sponsor": "ann",
    "groups": ["staff", "deploy"],
}


def token(
    changes: dict[str, Any] | None = None,
    *,
    kid: str | None = "rsa",
    alg: str = "RS256",
    key: Any = RSA,
    without: str = "",
    headers: dict[str, Any] | None = None,
) -> str:
    claims = {name: value for name, value in {**CLAIMS, **(changes or {})}.items() if name != without}
    # Encoded by hand where the library would refuse to make it.
    return jwt.PyJWS().encode(
        json.dumps(claims).encode(), key, alg, headers={**({"kid": kid} if kid else {}), **(headers or {})}
    )


def refusal(text: str, *, target: str = "prod-db", now: int = NOW, issuers: tuple[IssuerKeys, ...] = (KEYS,)) -> str:
    with pytest.raises(Refused) as caught:
        verify_token(text, issuers, target, now)
    assert caught.value.happened == "The token is not good for this target."
    return caught.value.code


@pytest.mark.parametrize(("kid", "alg", "key"), [("rsa", "RS256", RSA), ("ec", "ES256", EC), ("ed", "EdDSA", ED)])
def test_a_good_token_says_who(kid: str, alg: str, key: Any) -> None:
    identity = verify_token(token(kid=kid, alg=alg, key=key), [KEYS], "prod-db", NOW)
    assert (identity.subject, identity.sponsor, identity.groups) == ("ci-deploy", "ann", ("deploy", "staff"))
    assert identity.expires_at == NOW + 300
    assert identity.caller(None) == Caller("ci-deploy", CallerKind.MACHINE, "ann", ("deploy", "staff"))


def test_a_registered_caller_is_as_registered() -> None:
    ann = Caller("ci-deploy", CallerKind.PERSON)
    assert verify_token(token(), [KEYS], "prod-db", NOW).caller(ann) is ann


def test_a7_subject_and_groups_stand_behind_their_issuers_prefix() -> None:
    keys = IssuerKeys.from_jwks(ISSUER, JWKS, groups_claim="groups", subject_prefix="ci+")
    identity = verify_token(token(), [keys], "prod-db", NOW)
    assert (identity.subject, identity.groups) == ("ci+ci-deploy", ("ci+deploy", "ci+staff"))
    assert refusal(token({"sub": ""}), issuers=(keys,)) == "bad_claims"
    refusal(token({"sub": "x" * 127}), issuers=(keys,))


LISTED = IssuerKeys.from_jwks(ISSUER, JWKS, subject_prefix="gh+", subjects=Subjects(("repo:org/app:*", "deploy")))
"""An issuer that signs for other repositories, too."""


@pytest.mark.parametrize(
    ("subject", "caller"),
    [
        ("deploy", "gh+deploy"),
        ("repo:org/app:pull_request", "gh+repo+3Aorg+2Fapp+3Apull_request"),
        ("repo:org/app:ref:refs/heads/main", "gh+repo+3Aorg+2Fapp+3Aref+3Arefs+2Fheads+2Fmain"),
    ],
)
def test_a_listed_subject_is_spelled_as_a_caller(subject: str, caller: str) -> None:
    assert verify_token(token({"sub": subject}), [LISTED], "prod-db", NOW).subject == caller


@pytest.mark.parametrize(
    "subject",
    [
        "repo:evil/app:ref:refs/heads/main",
        "repo:org/app-evil:ref:refs/heads/main",
        "repo:org/app",
        "repo:org/app:",
        "repo:org/APP:x",
        "REPO:org/app:x",
        "Deploy",
        "deploy ",
        " deploy",
        "deploy\n",
        "deploy\t",
        "deploy\x00",
        "deploy\u200b",
        "depl\u043ey",
        "\uff44eploy",
        "repo:org/\u0430pp:x",
        "repo:org/app\uff1ax",
        "repo+3Aorg+2Fapp+3Ax",
        "repo%3Aorg%2Fapp%3Ax",
        "repo:org/app:*\u00a0",
        "gh+deploy",
        "*",
        "repo:org/app:" + "x" * 243,
    ],
)
def test_a7_a_token_of_another_subject_is_refused(subject: str) -> None:
    assert refusal(token({"sub": subject}), issuers=(LISTED,)) == "foreign_subject"


@pytest.mark.parametrize("subject", ["", None, 7, 7.5, True, [], ["deploy"], ["repo:org/app:x"], {"deploy": 1}, {}])
def test_a7_a_subject_that_is_no_text_is_refused(subject: Any) -> None:
    for issuer in (LISTED, KEYS):
        assert refusal(token({"sub": subject}), issuers=(issuer,)) in ("bad_claims", "bad_token")


def test_a7_what_is_listed_is_the_subject_not_another_claim() -> None:
    claims = {"sub": "repo:evil/app:x", "twokeys_sponsor": "deploy", "repository": "org/app", "Sub": "deploy"}
    assert refusal(token(claims), issuers=(LISTED,)) == "foreign_subject"


@given(st.text(max_size=40))
def test_a7_no_text_but_a_listed_one_signs_in(subject: str) -> None:
    listed = subject == "deploy" or (subject.startswith("repo:org/app:") and subject.isascii())
    if not listed:
        assert refusal(token({"sub": subject}), issuers=(LISTED,)) in ("foreign_subject", "bad_claims")


def test_sponsor_and_groups_are_believed_only_when_configured() -> None:
    identity = verify_token(token(), [IssuerKeys.from_jwks(ISSUER, JWKS)], "prod-db", NOW)
    assert (identity.sponsor, identity.groups) == ("", ())


@pytest.mark.parametrize(
    "audience",
    [
        "twokeys:edge:other-db",
        "twokeys:edge:",
        "twokeys",
        "prod-db",
        ["twokeys:edge:prod-db", "other"],
        [],
        "",
        ["twokeys:edge:prod-db", "twokeys:edge:prod-db"],
        "twokeys:edge:prod-db ",
        {"twokeys:edge:prod-db": 1},
        7,
        None,
    ],
)
def test_a5_a_token_for_another_audience_is_refused(audience: Any) -> None:
    assert refusal(token({"aud": audience})) in ("foreign_audience", "bad_token")


def test_the_audience_may_be_a_list_of_one() -> None:
    verify_token(token({"aud": ["twokeys:edge:prod-db"]}), [KEYS], "prod-db", NOW)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"exp": NOW - LEEWAY_SECONDS}, "expired_token"),
        ({"iat": NOW + LEEWAY_SECONDS + 1}, "early_token"),
        ({"nbf": NOW + LEEWAY_SECONDS + 1}, "early_token"),
        ({"iat": NOW - 90_000}, "long_lived_token"),
        ({"exp": NOW - 6, "iat": NOW - 5}, "long_lived_token"),
        ({"exp": "soon"}, "bad_time"),
        ({"exp": True}, "bad_time"),
        ({"exp": float("nan")}, "bad_time"),
        ({"exp": float("inf")}, "bad_time"),
        ({"iat": -1}, "bad_time"),
        ({"nbf": None}, "bad_time"),
        ({"exp": 10**30}, "bad_time"),
        ({"iss": "https://other.example"}, "foreign_issuer"),
        ({"iss": ISSUER + "/"}, "foreign_issuer"),
        ({"iss": [ISSUER]}, "foreign_issuer"),
        ({"sub": "a b"}, "invalidinput"),
        ({"sub": ""}, "bad_claims"),
        ({"sub": 7}, "bad_token"),
        ({"twokeys_sponsor": ["ann"]}, "bad_claims"),
        ({"twokeys_sponsor": "a b"}, "invalidinput"),
        ({"groups": "staff"}, "bad_claims"),
        ({"groups": [1]}, "bad_claims"),
        ({"groups": ["x" * 129]}, "bad_claims"),
        ({"groups": [str(i) for i in range(201)]}, "bad_claims"),
    ],
)
def test_a5_a_claim_out_of_order_is_refused(changes: dict[str, Any], code: str) -> None:
    assert refusal(token(changes)) == code


@pytest.mark.parametrize("claim", ["exp", "iat", "nbf", "sub", "aud", "iss"])
def test_a_token_that_lacks_a_claim_is_refused(claim: str) -> None:
    assert refusal(token(without=claim)) in ("bad_token", "no_nbf", "foreign_issuer")


def test_an_issuer_that_never_sends_nbf_can_be_configured() -> None:
    verify_token(token(without="nbf"), [IssuerKeys.from_jwks(ISSUER, JWKS, require_nbf=False)], "prod-db", NOW)


def test_the_leeway_is_small_and_works_both_ways() -> None:
    verify_token(token({"exp": NOW - LEEWAY_SECONDS + 1, "iat": NOW - 99, "nbf": NOW - 99}), [KEYS], "prod-db", NOW)
    verify_token(token({"iat": NOW + LEEWAY_SECONDS, "nbf": NOW + LEEWAY_SECONDS}), [KEYS], "prod-db", NOW)


def public_pem() -> bytes:
    return RSA.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def forged(header: dict[str, Any], signature: bytes = b"") -> str:
    parts = (json.dumps(header).encode(), json.dumps(CLAIMS).encode(), signature)
    return ".".join(urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


@pytest.mark.parametrize(
    "text",
    [
        forged({"alg": "none", "kid": "rsa"}),
        forged({"alg": "None"}),
        forged({"alg": "HS256", "kid": "rsa"}, public_pem()),
        forged({"alg": "RS256", "kid": "rsa"}, b"x" * 256),
        forged({"alg": "HS256", "kid": "oct"}, b"x" * 32),
        token(kid="ec"),
        token(kid="unknown"),
        token(kid=None),
        token(kid="small"),
        token(kid="enc"),
        token(kid="rs512", alg="RS512"),
        token(kid="rsa", alg="RS512"),
        token(kid="rsa", alg="PS256"),
        token(kid="ec384", alg="ES384", key=EC384),
        token(headers={"crit": ["b64"], "b64": False}),
        token(headers={"crit": ["exp"]}),
        forged({"alg": "RS256", "kid": ["rsa"]}),
        forged({"alg": "RS256", "kid": {}}),
        token() + "x",
        token()[:-8],
        "",
        "a.b.c",
        "..",
        "x" * 8193,
        token() + "\N{KEY}",
    ],
)
def test_a_forged_token_is_refused(text: str) -> None:
    refusal(text)


def test_another_issuers_key_does_not_count() -> None:
    other = IssuerKeys.from_jwks(
        "https://other.example", {"keys": [{**OKPAlgorithm.to_jwk(ED.public_key(), as_dict=True), "kid": "ed"}]}
    )
    only_rsa = IssuerKeys.from_jwks(ISSUER, {"keys": JWKS["keys"][:1]})
    assert refusal(token(kid="ed", alg="EdDSA", key=ED), issuers=(other, only_rsa)) == "foreign_key"


def test_no_issuer_means_no_token() -> None:
    assert refusal(token(), issuers=()) == "foreign_issuer"


@pytest.mark.parametrize(
    "jwks",
    [
        {},
        {"keys": {}},
        {"keys": []},
        {"keys": JWKS["keys"][3:]},
        {"keys": JWKS["keys"][:1] * 2},
        {"keys": JWKS["keys"][:1] * 51},
        {"keys": [{**JWKS["keys"][0], "kid": 7}]},
        {"keys": [{**JWKS["keys"][0], "key_ops": 7}]},
        {"keys": [{**JWKS["keys"][0], "key_ops": ["sign"]}]},
        {"keys": [{**JWKS["keys"][0], "n": 7}]},
    ],
)
def test_keys_that_can_not_be_used_are_refused(jwks: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        IssuerKeys.from_jwks(ISSUER, jwks)


@given(st.text(max_size=60), st.text(max_size=60))
def test_any_text_is_refused_with_the_one_error(left: str, right: str) -> None:
    head = urlsafe_b64encode(left.encode("utf-8", "replace")).decode()
    for text in (left, f"{head}.{right}.{left}", f"{token().split('.')[0]}.{head}.{right}"):
        refusal(text)
