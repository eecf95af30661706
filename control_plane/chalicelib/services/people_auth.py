"""Who calls the API: an access token of our issuer for this control plane, and a person who is registered now.

A deployment takes one kind of access token (`ports.oidc.AccessTokens`). What another kind would allow counts for
nothing: an id_token, a token of another client, or one for an Edge is refused even when our issuer signed it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, assert_never

import jwt

from twokeys.errors import Refused

from ..ports.clock import Clock
from ..ports.oidc import CONTROL_AUDIENCE, AccessTokens, CognitoTokens, OidcClient, StandardTokens
from ..ports.people import People, PersonEntry

ALGORITHMS: Final = ("ES256", "RS256", "PS256", "EdDSA")
TOKEN_TYPES: Final = frozenset({"at+jwt", "application/at+jwt"})
"""RFC 9068 section 4: an id_token is no access token."""

COGNITO_TYPES: Final = frozenset({None, "JWT"})
"""Cognito names no type, and tells kinds apart by `token_use`."""

LEEWAY_MILLISECONDS: Final = 30_000
MAX_TOKEN_CHARACTERS: Final = 8192


class PeopleAuth:
    """Verifies Bearer tokens (RFC 6750)."""

    def __init__(self, issuer: OidcClient, people: People, clock: Clock) -> None:
        self._issuer, self._people, self._clock = issuer, people, clock

    def person(self, authorization: str) -> PersonEntry:
        """The person an `Authorization` header stands for.

        Raises:
            Refused: with code ``unauthenticated`` for anything but a good token, ``not_registered`` for a stranger.
            Unavailable: when the issuer's keys can't be had.
        """
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token or len(token) > MAX_TOKEN_CHARACTERS:
            raise _unauthenticated()
        claims = self._claims(token.strip())
        entry = self._people.person_of(claims["sub"])
        if entry is None:
            raise Refused("You are signed in, but not registered here.", not_done="Nothing was done.",
                          advice="Ask an owner of this deployment to register you.", code="not_registered")  # fmt: skip
        return entry

    def _claims(self, token: str) -> dict[str, Any]:
        try:
            header = jwt.get_unverified_header(token)
            kid = header.get("kid")
            # A token that can't be one must not make us ask the issuer.
            if not isinstance(kid, str) or not kid or header.get("alg") not in ALGORITHMS:
                raise _unauthenticated()
            keys = jwt.PyJWKSet.from_dict(dict(self._issuer.jwks(kid))).keys
            found = [key for key in keys if key.key_id == kid]
            if len(found) != 1 or found[0].algorithm_name not in ALGORITHMS:
                raise _unauthenticated()
            claims: dict[str, Any] = jwt.decode(
                token, found[0], algorithms=[found[0].algorithm_name], issuer=self._issuer.issuer,
                # Times are judged by our own clock, which PyJWT can't be given; the audience by the kind of token.
                options={"require": ["exp", "iat", "iss", "sub"], "verify_exp": False, "verify_iat": False,
                         "verify_nbf": False, "verify_aud": False},
            )  # fmt: skip
        except (jwt.PyJWTError, ValueError, TypeError, AttributeError) as error:
            raise _unauthenticated() from error
        is_ours = is_access_token(self._issuer.access_tokens, header, claims)
        if not (is_ours and self._in_time(claims) and isinstance(claims["sub"], str) and claims["sub"]):
            raise _unauthenticated()
        return claims

    def _in_time(self, claims: Mapping[str, Any]) -> bool:
        now = self._clock.now()
        expires, issued, begins = claims["exp"], claims["iat"], claims.get("nbf", 0)
        if not all(_is_time(value) for value in (expires, issued, begins)):
            return False
        return bool(now < expires * 1000 and max(issued, begins) * 1000 <= now + LEEWAY_MILLISECONDS)


def is_access_token(kind: AccessTokens, header: Mapping[str, Any], claims: Mapping[str, Any]) -> bool:
    """Whether a token, whose signature and issuer hold, is an access token for this control plane."""
    match kind:
        case StandardTokens():
            audience = claims.get("aud")
            alone = audience == CONTROL_AUDIENCE or audience == [CONTROL_AUDIENCE]
            return header.get("typ") in TOKEN_TYPES and alone
        case CognitoTokens(client_id):
            # An id_token has an audience and no client; a token that was made for another resource has an audience.
            own = claims.get("token_use") == "access" and claims.get("client_id") == client_id
            return header.get("typ") in COGNITO_TYPES and own and "aud" not in claims
        case _:
            assert_never(kind)


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _unauthenticated() -> Refused:
    return Refused("You are not signed in, or not any more.", not_done="Nothing was done.",
                   advice="Run `twokeys login`.", code="unauthenticated")  # fmt: skip
