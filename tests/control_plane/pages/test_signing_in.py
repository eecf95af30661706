"""The relying party takes one id_token: signed by a pinned key, for us, for this sign-in, not expired."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Mapping
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from control_plane.chalicelib.ports.oidc import CliClient, StandardTokens
from control_plane.chalicelib.services.signing_in import BEGUN_SECONDS, SigningIn
from tests.control_plane.pages.site import query_of
from twokeys.errors import Refused

NOW = 1_795_379_462.0
KEY = ec.generate_private_key(ec.SECP256R1())
OTHER_KEY = ec.generate_private_key(ec.SECP256R1())
RSA_KEY = rsa.generate_private_key(65537, 2048)


class FixedIssuer:
    """Implements `OidcClient`: answers with the token it was given."""

    issuer = "https://issuer.example"
    authorization_endpoint = "https://issuer.example/authorize"
    client_id = "twokeys:control"
    access_tokens = StandardTokens()
    cli = CliClient("twokeys-cli")
    max_age_seconds = 0

    def __init__(self) -> None:
        self.token = ""
        self.keys: list[dict[str, Any]] = [public_jwk(KEY, "a")]

    def jwks(self, kid: str = "") -> Mapping[str, Any]:
        return {"keys": self.keys}

    def exchange(self, code: str, verifier: str, redirect_uri: str) -> str:
        return self.token


def public_jwk(key: ec.EllipticCurvePrivateKey, kid: str) -> dict[str, Any]:
    algorithm: Any = jwt.get_algorithm_by_name("ES256")
    return {**json.loads(algorithm.to_jwk(key.public_key())), "kid": kid, "alg": "ES256", "use": "sig"}


def sign_in(
    change: Mapping[str, Any] | None = None,
    key: Any = KEY,
    algorithm: str = "ES256",
    kid: str = "a",
    without: str = "",
    issuer: FixedIssuer | None = None,
) -> str:
    """A whole sign-in with an id_token changed like this; returns who came back."""
    client = issuer or FixedIssuer()
    signing = SigningIn(client, "https://twokeys.example", b"k" * 32, lambda: NOW)
    location, cookie = signing.begin("/")
    asked = query_of(location)
    claims = {
        "iss": client.issuer, "aud": client.client_id, "sub": "rob", "nonce": asked["nonce"],
        "iat": int(NOW), "exp": int(NOW) + 300, "auth_time": int(NOW),
    } | dict(change or {})  # fmt: skip
    claims.pop(without, None)
    client.token = jwt.encode(claims, key, algorithm=algorithm, headers={"kid": kid})
    return signing.finish(cookie, {"code": "c", "state": asked["state"]}).subject


def test_the_right_token_is_taken() -> None:
    assert sign_in() == "rob"
    assert sign_in({"exp": int(NOW) - 30}) == "rob", "a minute of clock difference is accepted"


@pytest.mark.parametrize(
    "change",
    [
        {"iss": "https://evil.example"},
        {"aud": "another"},
        {"aud": "twokeys:edge:sample-db"},
        {"aud": ["twokeys:control", "twokeys:edge:sample-db"]},
        {"nonce": "another"},
        {"exp": int(NOW) - 61},
        {"exp": "soon"},
        {"sub": ""},
    ],
)
def test_a_token_for_others_or_other_times_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(Refused):
        sign_in(change)


@pytest.mark.parametrize("without", ["iss", "aud", "sub", "nonce", "exp", "iat"])
def test_a_token_that_lacks_a_claim_is_refused(without: str) -> None:
    with pytest.raises(Refused):
        sign_in(without=without)


def test_a_recent_proof_that_was_asked_for_must_be_told() -> None:
    issuer = FixedIssuer()
    issuer.max_age_seconds = 900
    assert sign_in(issuer=issuer) == "rob"
    assert sign_in({"auth_time": int(NOW) - 900}, issuer=issuer) == "rob"
    for proved in (int(NOW) - 961, int(NOW) + 61, "now", None):
        with pytest.raises(Refused, match="just now"):
            sign_in({"auth_time": proved}, issuer=issuer)
    with pytest.raises(Refused, match="just now"):
        sign_in(without="auth_time", issuer=issuer)


def test_a_recent_proof_is_asked_of_the_issuer() -> None:
    issuer = FixedIssuer()
    issuer.authorization_endpoint += "?tenant=1"
    for seconds, asked in ((0, None), (900, "900")):
        issuer.max_age_seconds = seconds
        location, _ = SigningIn(issuer, "https://twokeys.example", lambda: b"k" * 32, lambda: NOW).begin("/")
        assert (query_of(location).get("max_age"), query_of(location)["tenant"]) == (asked, "1")


def test_a_token_signed_by_another_key_or_way_is_refused() -> None:
    public = public_jwk(KEY, "a")["x"].encode()
    for key, algorithm, kid in (
        (OTHER_KEY, "ES256", "a"),
        (KEY, "ES256", "unknown"),
        (None, "none", "a"),
        (public, "HS256", "a"),
        (RSA_KEY, "RS256", "a"),
    ):
        with pytest.raises(Refused):
            sign_in(key=key, algorithm=algorithm, kid=kid)


def test_a_shared_secret_among_the_keys_is_no_key() -> None:
    issuer = FixedIssuer()
    secret = secrets.token_bytes(32)
    spelled = base64.urlsafe_b64encode(secret).rstrip(b"=").decode()
    issuer.keys = [{"kty": "oct", "k": spelled, "kid": "a", "alg": "HS256"}]
    with pytest.raises(Refused):
        sign_in(key=secret, algorithm="HS256", issuer=issuer)


def test_two_keys_of_one_id_are_no_key() -> None:
    issuer = FixedIssuer()
    issuer.keys = [public_jwk(OTHER_KEY, "a"), public_jwk(KEY, "a")]
    with pytest.raises(Refused):
        sign_in(issuer=issuer)


def test_the_cookie_is_sealed_and_short_lived() -> None:
    now = [NOW]
    signing = SigningIn(FixedIssuer(), "https://twokeys.example", b"k" * 32, lambda: now[0])
    location, cookie = signing.begin("/")
    state = query_of(location)["state"]
    assert state not in base64.urlsafe_b64decode(cookie + "==").decode("latin-1")
    other = SigningIn(FixedIssuer(), "https://twokeys.example", b"x" * 32, lambda: now[0])
    flipped = cookie[:20] + ("A" if cookie[20] != "A" else "B") + cookie[21:]
    for party, value in (
        (other, cookie),
        (signing, flipped),
        (signing, ""),
        (signing, "\u00e9"),
        (signing, cookie[:10]),
    ):
        with pytest.raises(Refused, match="not begun in this browser"):
            party.finish(value, {"code": "c", "state": state})
    now[0] += BEGUN_SECONDS
    with pytest.raises(Refused, match="too long"):
        signing.finish(cookie, {"code": "c", "state": state})


@pytest.mark.parametrize(
    "answer", [{"error": "access_denied"}, {"code": ""}, {"code": "c", "iss": "https://evil.example"}]
)
def test_an_issuers_no_and_another_issuers_yes_are_refused(answer: dict[str, str]) -> None:
    signing = SigningIn(FixedIssuer(), "https://twokeys.example", b"k" * 32, lambda: NOW)
    location, cookie = signing.begin("/")
    with pytest.raises(Refused):
        signing.finish(cookie, answer | {"state": query_of(location)["state"]})
