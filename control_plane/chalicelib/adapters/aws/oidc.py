"""Any OpenID Connect issuer, found by discovery: its endpoints and keys, asked for rarely and kept for minutes.

    issuer ──/.well-known/openid-configuration──▶ endpoints (kept 1 h)      ──jwks_uri──▶ keys (kept 10 min)

Rules:
  1. What calls itself otherwise than it was asked for is not the issuer (OpenID Connect Discovery 1.0 section 4.3).
  2. Every address is HTTPS; no redirect is followed (`https_json`).
  3. A key id that is not known makes us ask again, at most once in `UNKNOWN_KEY_SECONDS`: strangers can send tokens.
  4. An issuer that does not answer leaves the keys we have in use for `STALE_SECONDS`, then nobody is let in.
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote_plus, urlencode

from twokeys.errors import InvalidInput, Refused, Unavailable

from ...ports.clock import Clock
from ...ports.oidc import AccessTokens, CliClient
from .https_json import Answer, HttpsJson, checked_address

METADATA_SECONDS: Final = 3600
"""How long the endpoints are kept."""

KEYS_SECONDS: Final = 600
"""After which the keys are asked for again: as long, a key that the issuer withdrew counts here."""

STALE_SECONDS: Final = 3600
"""How long keys are used at most when the issuer does not answer."""

UNKNOWN_KEY_SECONDS: Final = 30
"""How often an unknown key id makes us ask."""

AGAIN_SECONDS: Final = 5
"""How often an issuer that did not answer is asked again."""

MAX_KEYS: Final = 64
MAX_ENDPOINT_CHARACTERS: Final = 2048


@dataclass(frozen=True, slots=True)
class IssuerFacts:
    """Who the issuer is, and who we are there.

    Args:
        issuer: Its identifier.
        client_id: Ours, for the web.
        access_tokens: The one kind that is taken.
        cli: How the command line signs in.
        max_age_seconds: Asked of every sign-in; 0: nothing is asked.
    """

    issuer: str
    client_id: str
    access_tokens: AccessTokens
    cli: CliClient
    max_age_seconds: int = 0

    def __post_init__(self) -> None:
        checked_address(self.issuer, self.issuer)


@dataclass(frozen=True, slots=True)
class _Metadata:
    authorization: str
    token: str
    keys: str
    by_post: bool


class DiscoveredIssuer:
    """Implements `ports.oidc.OidcClient`."""

    def __init__(self, facts: IssuerFacts, secret: Callable[[], str], clock: Clock, web: HttpsJson) -> None:
        """Wire it; nothing is asked until it is needed.

        Args:
            facts: The issuer and our clients there.
            secret: Fetches our client's secret; empty for a public client.
            clock: For the age of what is kept.
            web: Asks.
        """
        self._facts, self._secret, self._clock, self._web = facts, secret, clock, web
        self.issuer, self.client_id = facts.issuer, facts.client_id
        self.access_tokens, self.cli, self.max_age_seconds = facts.access_tokens, facts.cli, facts.max_age_seconds
        self._lock = threading.Lock()
        self._metadata: _Metadata | None = None
        self._metadata_at = 0
        self._keys: Mapping[str, Any] = {}
        self._keys_at = 0
        self._failed_at = self._asked_at = -(10**15)

    @property
    def authorization_endpoint(self) -> str:
        with self._lock:
            return self._found().authorization

    def jwks(self, kid: str = "") -> Mapping[str, Any]:
        with self._lock:
            now = self._clock.now()
            known = any(key.get("kid") == kid for key in self._keys.get("keys", ()))
            wanted = kid and not known and now - self._asked_at >= UNKNOWN_KEY_SECONDS * 1000
            if not self._keys or wanted or now - self._keys_at >= KEYS_SECONDS * 1000:
                self._fetch_keys(now)
            return self._keys

    def exchange(self, code: str, verifier: str, redirect_uri: str) -> str:
        with self._lock:
            found = self._found()
        form = {"grant_type": "authorization_code", "code": code, "code_verifier": verifier,
                "redirect_uri": redirect_uri, "client_id": self.client_id}  # fmt: skip
        headers: dict[str, str] = {}
        secret = self._secret()
        if secret and found.by_post:
            form["client_secret"] = secret
        elif secret:
            # RFC 6749 section 2.3.1: both parts are form-encoded first.
            pair = f"{quote_plus(self.client_id)}:{quote_plus(secret)}".encode()
            headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
        answer = self._web.post_form(found.token, urlencode(form).encode(), headers)
        token = answer.body.get("id_token")
        if answer.status == 200 and isinstance(token, str):
            return token
        raise _not_exchanged(answer)

    def _found(self) -> _Metadata:
        now = self._clock.now()
        if self._metadata is None or now - self._metadata_at >= METADATA_SECONDS * 1000:
            try:
                self._metadata = self._discover(now)
                self._metadata_at = now
            except Unavailable:
                # Endpoints seldom move, and hold no secret: known ones are better than nobody signing in.
                if self._metadata is None:
                    raise
        return self._metadata

    def _discover(self, now: int) -> _Metadata:
        answer = self._ask(f"{self.issuer.rstrip('/')}/.well-known/openid-configuration", now)
        body = answer.body
        if body.get("issuer") != self.issuer:
            raise self._failed(now, "it calls itself otherwise")
        methods = body.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        by_post = isinstance(methods, list) and "client_secret_post" in methods and "client_secret_basic" not in methods
        try:
            authorization, token, keys = (
                checked_address(str(body[name])[: MAX_ENDPOINT_CHARACTERS + 1], self.issuer)
                for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")
            )
        except (KeyError, InvalidInput) as error:
            raise self._failed(now, "its metadata lacks an address that can be used") from error
        return _Metadata(authorization, token, keys, by_post)

    def _fetch_keys(self, now: int) -> None:
        self._asked_at = now
        try:
            keys = self._ask(self._found().keys, now).body.get("keys")
            if not isinstance(keys, list) or len(keys) > MAX_KEYS or not all(isinstance(key, dict) for key in keys):
                raise self._failed(now, "it shows no keys")
        except Unavailable:
            if not self._keys or now - self._keys_at >= STALE_SECONDS * 1000:
                self._keys = {}
                raise
            return
        self._keys, self._keys_at = {"keys": keys}, now

    def _ask(self, url: str, now: int) -> Answer:
        if now - self._failed_at < AGAIN_SECONDS * 1000:
            raise self._failed(self._failed_at, "it did not answer a moment ago")
        try:
            answer = self._web.get(url)
        except Unavailable:
            self._failed_at = now
            raise
        if answer.status != 200:
            raise self._failed(now, f"it answers {answer.status}")
        return answer

    def _failed(self, at: int, what: str) -> Unavailable:
        self._failed_at = at
        return Unavailable(f"The issuer {self.issuer} can't be used: {what}.", not_done="Nobody was signed in.",
                           advice="Try again shortly; tell the owners.", code="issuer_unusable")  # fmt: skip


def _not_exchanged(answer: Answer) -> Refused | Unavailable:
    """RFC 6749 section 5.2; the issuer's own description may hold anything and is not shown."""
    error = answer.body.get("error")
    if answer.status in (400, 403) and error in ("invalid_grant", "access_denied"):
        return Refused(f"The issuer did not take the code ({error}).", not_done="You are not signed in.",
                       advice="Sign in again.", code="sign_in_refused")  # fmt: skip
    if error in ("invalid_client", "unauthorized_client"):
        return Unavailable("The issuer does not take this control plane for its client.",
                           not_done="You are not signed in.", advice="Look after the client's id and secret.",
                           code="bad_client")  # fmt: skip
    return Unavailable(f"The issuer could not finish the sign-in ({answer.status}).",
                       not_done="You are not signed in.", advice="Sign in again.", code="issuer_unusable")  # fmt: skip
