"""The embedded issuer's rules: OpenID Connect Core 1.0, authorization code flow with PKCE S256 and nothing else.

    authorize parameters ──check──▶ AuthorizeRequest ──(person's passphrase)──▶ code ──exchange──▶ tokens

Rules:
  1. An unknown client or an unregistered redirect address is never redirected to.
  2. No code without PKCE S256 (RFC 7636, RFC 9700 section 2.1.1); no other method, no other flow.
  3. A code lives 60 s, is used once, and only with its client, address and verifier.
  4. A client's id_token is for that client; only access tokens of the CLI are for the control plane's API.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import jwt

from twokeys.errors import InvalidInput, Refused

from .attempts import Attempts
from .issuer_store import Code, IssuerStore

WEB_CLIENT: Final = "twokeys:control"
"""The control plane's own pages; the audience of their id_token."""

CLI_CLIENT: Final = "twokeys-cli"
"""The `twokeys` command: a native application with a loopback redirect (RFC 8252 section 7.3)."""

API_AUDIENCE: Final = "twokeys:control"
"""The audience of access tokens for the control plane's API."""

CODE_SECONDS: Final = 60
"""How long a code can be used."""

ID_TOKEN_SECONDS: Final = 300
"""How long an id_token can be used."""

ACCESS_TOKEN_SECONDS: Final = 3600
"""How long the CLI's access token can be used."""

MAX_PARAMETER_CHARACTERS: Final = 512
"""Longest value of any parameter."""

_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")
_LOOPBACK = re.compile(r"http://(?:127\.0\.0\.1|\[::1\]):[1-9][0-9]{0,4}/callback")


@dataclass(frozen=True, slots=True)
class AuthorizeRequest:
    """Checked parameters of an authorization request."""

    client_id: str
    redirect_uri: str
    state: str
    nonce: str
    challenge: str

    def fields(self) -> tuple[tuple[str, str], ...]:
        """The parameters again, to travel in the login form."""
        return (
            ("response_type", "code"), ("scope", "openid"), ("client_id", self.client_id),
            ("redirect_uri", self.redirect_uri), ("state", self.state), ("nonce", self.nonce),
            ("code_challenge", self.challenge), ("code_challenge_method", "S256"),
        )  # fmt: skip

    @property
    def redirect_origin(self) -> str:
        """Scheme, host and port of the redirect address."""
        parts = urlsplit(self.redirect_uri)
        return f"{parts.scheme}://{parts.netloc}"


class RedirectError(Exception):
    """An error that the client is told by redirect (RFC 6749 section 4.1.2.1)."""

    def __init__(self, location: str) -> None:
        super().__init__(location)
        self.location = location


class TokenError(Exception):
    """An error of the token endpoint (RFC 6749 section 5.2)."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Issuer:
    """The issuer of one embedded deployment."""

    def __init__(self, public_url: str, store: IssuerStore, clock: Callable[[], float]) -> None:
        """Wire it.

        Args:
            public_url: Where people reach the control plane, without a slash at the end.
            store: Passphrases, codes and key.
            clock: Seconds since the epoch.
        """
        self.url = f"{public_url}/issuer"
        self.public_url = public_url
        self.attempts = Attempts(clock)
        self._store = store
        self._clock = clock
        self._public_jwk = _jwk(store)

    def metadata(self) -> dict[str, Any]:
        """OpenID Provider metadata (OpenID Connect Discovery 1.0 section 3, RFC 9207)."""
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/jwks",
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": ["authorization_code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
            "scopes_supported": ["openid"],
            "token_endpoint_auth_methods_supported": ["none"],
            "code_challenge_methods_supported": ["S256"],
            "claims_supported": ["iss", "sub", "aud", "exp", "iat", "auth_time", "nonce"],
            "authorization_response_iss_parameter_supported": True,
        }

    def jwks(self) -> dict[str, Any]:
        """The public key (RFC 7517)."""
        return {"keys": [self._public_jwk]}

    def check(self, parameters: Mapping[str, Sequence[str]]) -> AuthorizeRequest:
        """Check the parameters of an authorization request.

        Raises:
            Refused: when there is no address that may be told anything.
            RedirectError: for any other fault.
        """
        client = _single(parameters, "client_id")
        redirect = _single(parameters, "redirect_uri")
        if not self._is_registered(client, redirect):
            raise Refused(
                "This sign-in was asked for by an unknown application, or leads to an unknown address.",
                not_done="Nobody was signed in.", advice="Begin again from the page you wanted.", code="unknown_client",
            )  # fmt: skip
        state = _single(parameters, "state")
        asked = AuthorizeRequest(
            client, redirect, state, _single(parameters, "nonce"), _single(parameters, "code_challenge")
        )
        if any(len(values) != 1 or len(values[0]) > MAX_PARAMETER_CHARACTERS for values in parameters.values()):
            raise RedirectError(self.answer(asked, error="invalid_request"))
        if _single(parameters, "response_type") != "code":
            raise RedirectError(self.answer(asked, error="unsupported_response_type"))
        if "openid" not in _single(parameters, "scope").split():
            raise RedirectError(self.answer(asked, error="invalid_scope"))
        pkce = _CHALLENGE.fullmatch(asked.challenge) and _single(parameters, "code_challenge_method") == "S256"
        if not pkce or not state or (client == WEB_CLIENT and not asked.nonce):
            raise RedirectError(self.answer(asked, error="invalid_request"))
        return asked

    def answer(self, asked: AuthorizeRequest, **values: str) -> str:
        """The address to redirect to, with `code` or `error`, and the state and issuer (RFC 9207)."""
        return f"{asked.redirect_uri}?{urlencode({**values, 'state': asked.state, 'iss': self.url})}"

    def sign_in(self, asked: AuthorizeRequest, name: str, passphrase: str) -> str | None:
        """Check a passphrase and return a code; None for a wrong one, an unknown name or too many tries."""
        if not self.attempts.take(name) or not self._store.is_passphrase(name, passphrase):
            return None
        self.attempts.succeeded(name)
        now = self._clock()
        code = Code(asked.client_id, asked.redirect_uri, asked.nonce, asked.challenge, name, int(now),
                    now + CODE_SECONDS)  # fmt: skip
        return self._store.add_code(code, now)

    def exchange(self, fields: Mapping[str, str]) -> dict[str, Any]:
        """Exchange a code for tokens.

        Raises:
            TokenError: when anything is wrong; the code is used up then too.
        """
        if fields.get("grant_type") != "authorization_code":
            raise TokenError("unsupported_grant_type")
        now = self._clock()
        code = self._store.take_code(fields.get("code", ""), now)
        verifier = fields.get("code_verifier", "")
        if code is None or not _VERIFIER.fullmatch(verifier):
            raise TokenError("invalid_grant")
        same = (
            hmac.compare_digest(challenge_of(verifier), code.challenge)
            and fields.get("client_id") == code.client_id
            and fields.get("redirect_uri") == code.redirect_uri
        )
        if not same:
            raise TokenError("invalid_grant")
        return self._tokens(code, int(now))

    def _tokens(self, code: Code, now: int) -> dict[str, Any]:
        subject = {"iss": self.url, "sub": code.person_id, "iat": now, "auth_time": code.auth_time}
        id_token = {**subject, "aud": code.client_id, "exp": now + ID_TOKEN_SECONDS}
        if code.nonce:
            id_token["nonce"] = code.nonce
        # The pages use their session; only the command line needs the API.
        for_api = code.client_id == CLI_CLIENT
        seconds = ACCESS_TOKEN_SECONDS if for_api else CODE_SECONDS
        access = {**subject, "aud": API_AUDIENCE if for_api else self.url, "client_id": code.client_id,
                  "exp": now + seconds, "jti": secrets.token_hex(16)}  # fmt: skip
        return {
            "access_token": self._sign(access, "at+jwt"), "id_token": self._sign(id_token, "JWT"),
            "token_type": "Bearer", "expires_in": seconds, "scope": "openid",
        }  # fmt: skip

    def _sign(self, claims: Mapping[str, Any], kind: str) -> str:
        headers = {"kid": self._public_jwk["kid"], "typ": kind}
        return jwt.encode(dict(claims), self._store.key, algorithm="ES256", headers=headers)

    def _is_registered(self, client: str, redirect: str) -> bool:
        web = redirect == f"{self.public_url}/callback"
        if client == WEB_CLIENT:
            return web
        # Our own address may be a loopback one too, and is not the CLI's.
        return client == CLI_CLIENT and not web and _LOOPBACK.fullmatch(redirect) is not None


def challenge_of(verifier: str) -> str:
    """The S256 challenge of a verifier (RFC 7636 section 4.2)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode("ascii")).digest()).rstrip(b"=").decode("ascii")


def parameters_of(fields: Mapping[str, str]) -> dict[str, list[str]]:
    """A form's fields as query parameters, without what belongs to the form itself."""
    own = ("name", "passphrase", "csrf")
    return {name: [value] for name, value in fields.items() if name not in own}


def _single(parameters: Mapping[str, Sequence[str]], name: str) -> str:
    values = parameters.get(name, ())
    return values[0] if len(values) == 1 else ""


def _jwk(store: IssuerStore) -> dict[str, str]:
    numbers = store.key.public_key().public_numbers()
    jwk = {"kty": "EC", "crv": "P-256", "x": _coordinate(numbers.x), "y": _coordinate(numbers.y)}
    # RFC 7638: the thumbprint is over the required members in lexical order.
    text = '{{"crv":"{crv}","kty":"{kty}","x":"{x}","y":"{y}"}}'.format(**jwk)
    return {**jwk, "use": "sig", "alg": "ES256", "kid": challenge_of(text)}


def _coordinate(number: int) -> str:
    return base64.urlsafe_b64encode(number.to_bytes(32, "big")).rstrip(b"=").decode("ascii")


def refuse_bad_state(valid: bool) -> None:
    """Raise the page for a login form that this issuer did not hand to this browser."""
    if not valid:
        raise InvalidInput(
            "The sign-in form is stale, or is another browser's.", not_done="Nobody was signed in.",
            advice="Begin again from the page you wanted.", code="stale_form",
        )  # fmt: skip
