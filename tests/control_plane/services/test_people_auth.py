"""Which tokens open the API: one kind for each deployment, of one issuer, for us; every confusion is refused."""

from __future__ import annotations

from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from control_plane.chalicelib.ports.oidc import AccessTokens, CliClient, CognitoTokens, StandardTokens
from control_plane.chalicelib.services.people_auth import PeopleAuth
from tests.control_plane.pages.test_signing_in import FixedIssuer, public_jwk
from tests.control_plane.world import World
from twokeys.errors import Refused

KEY = ec.generate_private_key(ec.SECP256R1())
OTHER_KEY = ec.generate_private_key(ec.SECP256R1())
CLI = "3n4b5urk1ft4fl3mg5e62d9ado"
STANDARD, COGNITO = StandardTokens(), CognitoTokens(CLI)


class Tokens:
    """Signs tokens, and asks who they stand for."""

    def __init__(self, world: World, kind: AccessTokens) -> None:
        self.issuer = FixedIssuer()
        self.issuer.keys = [public_jwk(KEY, "a")]
        self.issuer.access_tokens = kind  # type: ignore[assignment]
        self.issuer.cli = CliClient(CLI)
        self.now = world.clock.now() // 1000
        self.auth = PeopleAuth(self.issuer, world.ports.people, world.clock)

    def standard(self, **changes: Any) -> dict[str, Any]:
        return {"iss": self.issuer.issuer, "sub": "rob", "aud": "twokeys:control", "client_id": CLI, "iat": self.now,
                "exp": self.now + 600, **changes}  # fmt: skip

    def cognito(self, **changes: Any) -> dict[str, Any]:
        return {"iss": self.issuer.issuer, "sub": "rob", "client_id": CLI, "token_use": "access", "scope": "openid",
                "auth_time": self.now, "iat": self.now, "exp": self.now + 600, **changes}  # fmt: skip

    def who(self, claims: dict[str, Any], typ: str | None = "at+jwt", key: Any = KEY, alg: str = "ES256",
            kid: str | None = "a") -> str:  # fmt: skip
        headers = {"typ": typ} | ({"kid": kid} if kid is not None else {})
        return self.auth.person(f"Bearer {jwt.encode(claims, key, alg, headers)}").person.id


def test_an_access_token_for_us_is_taken(a_world: World) -> None:
    tokens = Tokens(a_world, STANDARD)
    for typ in ("at+jwt", "application/at+jwt"):
        assert tokens.who(tokens.standard(), typ) == "rob"
    assert tokens.who(tokens.standard(aud=["twokeys:control"])) == "rob"
    assert tokens.who(tokens.standard(iat=tokens.now + 29)) == "rob"


def test_an_access_token_of_cognito_is_taken_where_the_deployment_says_so(a_world: World) -> None:
    tokens = Tokens(a_world, COGNITO)
    assert tokens.who(tokens.cognito(), None) == "rob"
    assert tokens.who(tokens.cognito(), "JWT") == "rob"
    assert refused(Tokens(a_world, STANDARD), tokens.cognito(), None)
    assert refused(tokens, tokens.standard(), "at+jwt")


def test_an_id_token_is_no_access_token(a_world: World) -> None:
    standard, cognito = Tokens(a_world, STANDARD), Tokens(a_world, COGNITO)
    assert refused(standard, standard.standard(), "JWT")
    assert refused(standard, standard.standard(), None)
    own = cognito.cognito(token_use="id", aud=CLI)
    own.pop("client_id")
    assert refused(cognito, own, None)
    assert refused(cognito, cognito.cognito(token_use="id"), None)


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": "another-client"}, {"client_id": ""}, {"client_id": [CLI]}, {"token_use": None},
        {"aud": CLI}, {"aud": "twokeys:control"}, {"aud": "twokeys:edge:sample-db"}, {"aud": ""}, {"aud": []},
    ],
)  # fmt: skip
def test_cognito_tokens_of_another_client_or_for_anything_are_refused(a_world: World, changes: dict[str, Any]) -> None:
    tokens = Tokens(a_world, COGNITO)
    assert refused(tokens, tokens.cognito(**changes), None)


@pytest.mark.parametrize(
    "audience",
    ["twokeys:edge:sample-db", ["twokeys:control", "twokeys:edge:sample-db"], ["twokeys:control"] * 2,
     "twokeys:CONTROL", "", [], None, {"twokeys:control": 1}],
)  # fmt: skip
def test_tokens_for_edges_or_for_somebody_else_too_are_refused(a_world: World, audience: Any) -> None:
    tokens = Tokens(a_world, STANDARD)
    assert refused(tokens, tokens.standard(aud=audience))


@pytest.mark.parametrize("kind", [STANDARD, COGNITO])
def test_tokens_of_other_issuers_keys_or_ways_are_refused(a_world: World, kind: AccessTokens) -> None:
    tokens = Tokens(a_world, kind)
    good, typ = (tokens.standard, "at+jwt") if kind is STANDARD else (tokens.cognito, None)
    assert tokens.who(good(), typ) == "rob"
    assert refused(tokens, good(iss="https://evil.example"), typ)
    secret = public_jwk(KEY, "a")["x"].encode()
    rsa_key = rsa.generate_private_key(65537, 2048)
    for key, alg, kid in ((OTHER_KEY, "ES256", "a"), (KEY, "ES256", "b"), (KEY, "ES256", None), (None, "none", "a"),
                          (secret, "HS256", "a"), (rsa_key, "RS256", "a")):  # fmt: skip
        assert refused(tokens, good(), typ, key=key, alg=alg, kid=kid), alg


@pytest.mark.parametrize("kind", [STANDARD, COGNITO])
@pytest.mark.parametrize("without", ["iss", "sub", "exp", "iat", "client"])
def test_tokens_that_lack_a_claim_are_refused(a_world: World, kind: AccessTokens, without: str) -> None:
    tokens = Tokens(a_world, kind)
    claims, typ = (tokens.standard(), "at+jwt") if kind is STANDARD else (tokens.cognito(), None)
    del claims[{"client": "aud" if kind is STANDARD else "client_id"}.get(without, without)]
    assert refused(tokens, claims, typ)


@pytest.mark.parametrize(
    "changes",
    [{"exp": 1}, {"exp": "soon"}, {"exp": True}, {"iat": 10**12}, {"nbf": 10**12}, {"nbf": "x"}, {"sub": ""},
     {"sub": 7}, {"sub": None}],
)  # fmt: skip
@pytest.mark.parametrize("kind", [STANDARD, COGNITO])
def test_tokens_of_other_times_or_nobody_are_refused(
    a_world: World, kind: AccessTokens, changes: dict[str, Any]
) -> None:
    tokens = Tokens(a_world, kind)
    good, typ = (tokens.standard, "at+jwt") if kind is STANDARD else (tokens.cognito, None)
    assert refused(tokens, good(**changes), typ)


def test_a_stranger_is_told_so(a_world: World) -> None:
    tokens = Tokens(a_world, COGNITO)
    with pytest.raises(Refused, match="not registered"):
        tokens.who(tokens.cognito(sub="5d1c-of-nobody"), None)


def test_cognito_tokens_need_a_named_client() -> None:
    with pytest.raises(ValueError, match="must be named"):
        CognitoTokens("")


def test_what_can_t_be_a_token_does_not_make_us_ask_the_issuer(a_world: World) -> None:
    tokens = Tokens(a_world, STANDARD)
    tokens.issuer.keys = None  # type: ignore[assignment]
    for word in ("", "Bearer", "Basic eA==", "Bearer a.b.c", "Bearer " + "a" * 9000):
        with pytest.raises(Refused):
            tokens.auth.person(word)
    assert refused(tokens, tokens.standard(), key=None, alg="none")


def refused(tokens: Tokens, claims: dict[str, Any], typ: str | None = "at+jwt", **how: Any) -> bool:
    """Whether it is refused as a token, and not because the person is unknown."""
    try:
        tokens.who(claims, typ, **how)
    except Refused as error:
        return error.code == "unauthenticated"
    return False
