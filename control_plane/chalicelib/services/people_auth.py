"""Who calls the API: an access token of our issuer for this control plane, and a person who is registered now."""

from __future__ import annotations

from typing import Any, Final

import jwt

from twokeys.errors import Refused

from ..ports.clock import Clock
from ..ports.oidc import OidcClient
from ..ports.people import People, PersonEntry

AUDIENCE: Final = "twokeys:control"
"""Whom a token must be for, and nobody else: an Edge's audience is refused."""

ALGORITHMS: Final = ("ES256", "RS256", "PS256", "EdDSA")
TOKEN_TYPE: Final = "at+jwt"  # noqa: S105 - no secret
"""RFC 9068 section 2.1: an id_token is no access token."""

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
            keys = jwt.PyJWKSet.from_dict(dict(self._issuer.jwks())).keys
            found = [key for key in keys if key.key_id == header.get("kid")]
            if len(found) != 1 or found[0].algorithm_name not in ALGORITHMS or header.get("typ") != TOKEN_TYPE:
                raise _unauthenticated()
            claims: dict[str, Any] = jwt.decode(
                token, found[0], algorithms=[found[0].algorithm_name], audience=AUDIENCE, issuer=self._issuer.issuer,
                # Times are judged by our own clock, which PyJWT can't be given.
                options={"require": ["exp", "iat", "iss", "aud", "sub"], "verify_exp": False, "verify_iat": False,
                         "verify_nbf": False},
            )  # fmt: skip
        except (jwt.PyJWTError, ValueError, TypeError, AttributeError) as error:
            raise _unauthenticated() from error
        now, expires, audience = self._clock.now(), claims["exp"], claims["aud"]
        alone = audience == AUDIENCE or audience == [AUDIENCE]
        in_time = isinstance(expires, int | float) and now < expires * 1000
        begun = isinstance(claims["iat"], int | float) and claims["iat"] * 1000 <= now + LEEWAY_MILLISECONDS
        if not (alone and in_time and begun and isinstance(claims["sub"], str)):
            raise _unauthenticated()
        return claims


def _unauthenticated() -> Refused:
    return Refused("You are not signed in, or not any more.", not_done="Nothing was done.",
                   advice="Run `twokeys login`.", code="unauthenticated")  # fmt: skip
