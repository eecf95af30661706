"""Signing in at the control plane: a relying party of OpenID Connect, code flow with PKCE.

    /signin ──begin──▶ authorize address + sealed cookie        /callback ──finish──▶ who, and when they proved it

What must survive the way to the issuer and back (state, nonce, verifier, where to go then) travels in a cookie that
is encrypted and authenticated, bound to this browser and short-lived; nothing is stored for a visitor who isn't
signed in.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

import jwt
import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from twokeys.errors import Refused

from ..ports.oidc import OidcClient

COOKIE: Final = "__Host-twokeys-signin"
"""Carries a sign-in that is under way."""

BEGUN_SECONDS: Final = 600
"""How long a sign-in may take."""

ALGORITHMS: Final = ("ES256", "RS256", "PS256", "EdDSA")
"""Accepted signatures of an id_token; the key says which one it is for. Never `none`, never a shared secret."""

LEEWAY_SECONDS: Final = 60
"""Clock difference to the issuer that is accepted."""

_EDGE_AUDIENCE: Final = "twokeys:edge:"
_ASSOCIATED: Final = b"twokeys/sign-in/v1"
_MAX_NEXT: Final = 512


class _Begun(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    state: str
    nonce: str
    verifier: str
    next: str
    expires_at: float


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Who came back from the issuer.

    Args:
        subject: The id_token's `sub`.
        auth_time: When they proved it, seconds since the epoch; 0 when the issuer doesn't tell.
        next: Local path to go to.
    """

    subject: str
    auth_time: int
    next: str


class SigningIn:
    """The relying party."""

    def __init__(
        self,
        client: OidcClient,
        public_url: str,
        cookie_key: bytes | Callable[[], bytes],
        clock: Callable[[], float],
    ) -> None:
        """Wire it.

        Args:
            client: The issuer, as one of its clients.
            public_url: Where people reach us, without a slash at the end.
            cookie_key: 32 secret bytes, the same on every instance; or what fetches them when they are needed.
            clock: Seconds since the epoch.
        """
        self._client = client
        self._redirect = f"{public_url}/callback"
        self._cookie_key = cookie_key
        self._clock = clock

    def begin(self, next_path: str) -> tuple[str, str]:
        """Start a sign-in.

        Returns:
            The address at the issuer to redirect to, and the value of the cookie to set with it.
        """
        begun = _Begun(secrets.token_urlsafe(32), secrets.token_urlsafe(32), secrets.token_urlsafe(48),
                       local_path(next_path), self._clock() + BEGUN_SECONDS)  # fmt: skip
        challenge = _unpadded(hashlib.sha256(begun.verifier.encode()).digest())
        asked = {
            "response_type": "code", "scope": "openid", "client_id": self._client.client_id,
            "redirect_uri": self._redirect, "state": begun.state, "nonce": begun.nonce,
            "code_challenge": challenge, "code_challenge_method": "S256",
        }  # fmt: skip
        if self._client.max_age_seconds:
            asked["max_age"] = str(self._client.max_age_seconds)
        endpoint = self._client.authorization_endpoint
        # It may have a query of its own (RFC 6749 section 3.1).
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(asked)}", self._seal(begun)

    def finish(self, cookie: str, answer: Mapping[str, str]) -> SignedIn:
        """Check what the issuer's redirect brought, get the id_token and check that.

        Args:
            cookie: The cookie's value.
            answer: Query parameters of the callback.

        Raises:
            Refused: unless this browser began this sign-in and the issuer vouches for the person.
            Unavailable: when the issuer can't be reached.
        """
        begun = self._open(cookie)
        if begun is None or not hmac.compare_digest(begun.state.encode(), answer.get("state", "").encode()):
            raise _refused("The sign-in was not begun in this browser, or took too long")
        if answer.get("iss", self._client.issuer) != self._client.issuer:
            raise _refused("Another issuer answered than was asked")
        if "error" in answer or not answer.get("code"):
            raise _refused("The issuer did not sign you in")
        token = self._client.exchange(answer["code"], begun.verifier, self._redirect)
        claims = self._claims(token, begun.nonce)
        auth_time = claims.get("auth_time", 0)
        return SignedIn(claims["sub"], auth_time if isinstance(auth_time, int) else 0, begun.next)

    def _claims(self, token: str, nonce: str) -> Mapping[str, Any]:
        """OpenID Connect Core 1.0 section 3.1.3.7."""
        try:
            header = jwt.get_unverified_header(token)
            kid = str(header.get("kid", ""))
            keys = [key for key in jwt.PyJWKSet.from_dict(dict(self._client.jwks(kid))).keys if key.key_id == kid]
            if len(keys) != 1 or keys[0].algorithm_name not in ALGORITHMS:
                raise _refused("The issuer's answer is signed by no key of its own")
            claims: Mapping[str, Any] = jwt.decode(
                token, keys[0], algorithms=[keys[0].algorithm_name], audience=self._client.client_id,
                issuer=self._client.issuer, leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iat", "iss", "aud", "sub", "nonce"], "verify_exp": False,
                         "verify_iat": False, "verify_nbf": False},
            )  # fmt: skip
        except (jwt.PyJWTError, ValueError) as error:
            raise _refused("The issuer's answer does not hold") from error
        self._check_claims(claims, nonce)
        return claims

    def _check_claims(self, claims: Mapping[str, Any], nonce: str) -> None:
        now, expires = self._clock(), claims["exp"]
        audiences = [claims["aud"]] if isinstance(claims["aud"], str) else claims["aud"]
        # Times are judged by our own clock, which PyJWT can't be given.
        if not isinstance(expires, int | float) or now >= expires + LEEWAY_SECONDS:
            raise _refused("The issuer's answer is expired")
        if not hmac.compare_digest(str(claims["nonce"]).encode(), nonce.encode()):
            raise _refused("The issuer's answer is for another sign-in")
        if len(audiences) != 1 or str(audiences[0]).startswith(_EDGE_AUDIENCE):
            raise _refused("The issuer's answer is for somebody else too")
        if not isinstance(claims["sub"], str) or not claims["sub"]:
            raise _refused("The issuer's answer names nobody")
        proved, most = claims.get("auth_time"), self._client.max_age_seconds
        # An issuer may ignore what it was asked: what was asked for is checked (section 3.1.2.1, max_age).
        if most and not (isinstance(proved, int) and now - most - LEEWAY_SECONDS <= proved <= now + LEEWAY_SECONDS):
            raise _refused("The issuer does not say that you proved who you are just now")

    def _seal(self, begun: _Begun) -> str:
        nonce = secrets.token_bytes(12)
        return _unpadded(nonce + self._aead().encrypt(nonce, msgspec.json.encode(begun), _ASSOCIATED))

    def _aead(self) -> AESGCM:
        key = self._cookie_key
        return AESGCM(key if isinstance(key, bytes) else key())

    def _open(self, cookie: str) -> _Begun | None:
        try:
            data = base64.urlsafe_b64decode(cookie + "=" * (-len(cookie) % 4))
            begun = msgspec.json.decode(self._aead().decrypt(data[:12], data[12:], _ASSOCIATED), type=_Begun)
        except (ValueError, InvalidTag, msgspec.DecodeError):
            return None
        return begun if self._clock() < begun.expires_at else None


def local_path(path: str) -> str:
    """The path when it leads nowhere but to a page of ours, else ``/``.

    A browser takes ``//host`` and ``/\\host`` for another host, and drops tabs and line feeds on its way there.
    """
    plain = path.isascii() and path.isprintable() and "\\" not in path and len(path) <= _MAX_NEXT
    return path if plain and path.startswith("/") and not path.startswith("//") else "/"


def _unpadded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _refused(what: str) -> Refused:
    return Refused(f"{what}.", not_done="You are not signed in.", advice="Sign in again.", code="sign_in_refused")
