"""An OpenID Connect token as password: checked against the issuers' keys that the Bundle brings.

Nothing is fetched and no clock is read: keys and time are arguments. A token is for one target alone
(``aud = twokeys:edge:<target>``); whatever else it is good for, it is not good here.

Rules:
  1. The key says which algorithm (RFC 8725 section 3.1), the token only whether it agrees.
  2. Exactly our audience, one of our issuers, inside its time, not longer-lived than `MAX_LIFETIME_SECONDS`.
  3. Which of these failed is for our log, never for the one who tried.

RFC 7519 (claims), RFC 7517 and RFC 8037 (keys), OpenID Connect Core section 2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from twokeys.caller import Caller, CallerKind
from twokeys.errors import InvalidInput, Refused, TwokeysError

# PyJWT is imported where a token or a key set is read: it is 4 MB that an Edge without issuers does not need.

MAX_TOKEN_BYTES: Final = 8 * 1024
"""Longest token that is looked at."""
MAX_KEYS: Final = 50
"""Most keys of one issuer."""
MAX_GROUPS: Final = 200
"""Most groups in one token, each of at most `MAX_GROUP_CHARACTERS`."""
MAX_GROUP_CHARACTERS: Final = 128
MAX_LIFETIME_SECONDS: Final = 24 * 3600
"""Longest time from `iat` to `exp`."""
LEEWAY_SECONDS: Final = 30
"""How far the issuer's clock and ours may differ."""
MIN_RSA_BITS: Final = 2048
LAST_SECOND: Final = 1 << 53
AUDIENCE_PREFIX: Final = "twokeys:edge:"


@dataclass(frozen=True, slots=True)
class IssuerKeys:
    """One trusted issuer.

    Args:
        issuer: The exact `iss`.
        keys: By key id (`kid`, empty when it has none): the algorithm and the public key.
        sponsor_claim: The claim that names a machine's sponsor; empty: none is believed.
        groups_claim: The claim that lists groups; empty: none are believed.
        require_nbf: Whether a token without `nbf` is refused; RFC 7519 leaves it to the issuer.
    """

    issuer: str
    keys: Mapping[str, tuple[str, Any]]
    sponsor_claim: str = ""
    groups_claim: str = ""
    require_nbf: bool = True

    @classmethod
    def from_jwks(
        cls,
        issuer: str,
        jwks: Mapping[str, Any],
        *,
        sponsor_claim: str = "",
        groups_claim: str = "",
        require_nbf: bool = True,
    ) -> IssuerKeys:
        """Read a key set (RFC 7517 section 5). Keys of other kinds, uses or algorithms are left out.

        Raises:
            InvalidInput: It is no key set, has too many keys, two of one id, or none that we can use.
        """
        listed = jwks.get("keys")
        if not issuer or not isinstance(listed, list) or len(listed) > MAX_KEYS:
            raise _bad_keys(issuer)
        keys: dict[str, tuple[str, Any]] = {}
        for item in listed:
            usable = _usable(item) if isinstance(item, dict) else None
            if usable is not None:
                key_id = item.get("kid", "")
                if not isinstance(key_id, str) or key_id in keys:
                    raise _bad_keys(issuer)
                keys[key_id] = usable
        if not keys:
            raise _bad_keys(issuer)
        return cls(issuer, keys, sponsor_claim, groups_claim, require_nbf)


@dataclass(frozen=True, slots=True)
class TokenIdentity:
    """What a verified token says.

    Args:
        subject: Its `sub`, a legal caller id.
        issuer: Its `iss`.
        sponsor: From the configured claim, or empty.
        groups: From the configured claim, sorted.
        expires_at: Its `exp`, seconds since the epoch.
    """

    subject: str
    issuer: str
    sponsor: str
    groups: tuple[str, ...]
    expires_at: int

    def caller(self, registered: Caller | None) -> Caller:
        """The Caller: as registered, or else a machine with what its issuer vouches for. Raises InvalidInput."""
        if registered is not None:
            return registered
        return Caller(self.subject, CallerKind.MACHINE, self.sponsor, self.groups)


def verify_token(token: str, issuers: Sequence[IssuerKeys], target: str, now: int) -> TokenIdentity:
    """Check a token that came as password.

    Args:
        token: Compact JWS, at most `MAX_TOKEN_BYTES`.
        issuers: The issuers to trust.
        target: The target that it must be for.
        now: Seconds since the epoch.

    Raises:
        Refused: It is not good here, with a `code` for our log.
    """
    import jwt

    try:
        return _verified(token, issuers, target, now)
    except TwokeysError as error:
        raise _refused(error.code) from None
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError, OverflowError):
        raise _refused("bad_token") from None


def _verified(token: str, issuers: Sequence[IssuerKeys], target: str, now: int) -> TokenIdentity:
    import jwt

    if not token.isascii() or len(token) > MAX_TOKEN_BYTES:
        raise _refused("bad_token")
    header = jwt.get_unverified_header(token)
    unverified = jwt.decode(token, options={"verify_signature": False})
    issuer = next((known for known in issuers if known.issuer == unverified.get("iss")), None)
    if issuer is None:
        raise _refused("foreign_issuer")
    algorithm, key = issuer.keys.get(header.get("kid", ""), ("", None))
    if not algorithm or header.get("alg") != algorithm or "crit" in header:
        raise _refused("foreign_key")
    # Times are checked below, by the time that was passed in.
    claims = jwt.decode(
        token,
        key,
        algorithms=[algorithm],
        issuer=issuer.issuer,
        options={
            "require": ["exp", "iat", "sub", "aud", "iss"],
            "verify_exp": False,
            "verify_iat": False,
            "verify_nbf": False,
            "verify_aud": False,
        },
    )
    wanted = f"{AUDIENCE_PREFIX}{target}"
    if claims["aud"] not in (wanted, [wanted]):
        raise _refused("foreign_audience")
    expires_at = _check_times(claims, now, require_nbf=issuer.require_nbf)
    return _identity(claims, issuer, expires_at)


def _check_times(claims: Mapping[str, Any], now: int, *, require_nbf: bool) -> int:
    issued, expires = _seconds(claims["iat"]), _seconds(claims["exp"])
    if require_nbf and "nbf" not in claims:
        raise _refused("no_nbf")
    starts = _seconds(claims.get("nbf", issued))
    if now >= expires + LEEWAY_SECONDS:
        raise _refused("expired_token")
    if max(issued, starts) > now + LEEWAY_SECONDS:
        raise _refused("early_token")
    if not 0 < expires - issued <= MAX_LIFETIME_SECONDS:
        raise _refused("long_lived_token")
    return expires


def _seconds(value: object) -> int:
    """A NumericDate (RFC 7519 section 2) as whole seconds; neither a boolean nor NaN is one."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < LAST_SECOND:
        raise _refused("bad_time")
    return int(value)


def _identity(claims: Mapping[str, Any], issuer: IssuerKeys, expires_at: int) -> TokenIdentity:
    sponsor = claims.get(issuer.sponsor_claim, "") if issuer.sponsor_claim else ""
    groups = claims.get(issuer.groups_claim, []) if issuer.groups_claim else []
    legal = isinstance(sponsor, str) and isinstance(groups, list) and len(groups) <= MAX_GROUPS
    if not legal or any(not isinstance(group, str) or not 0 < len(group) <= MAX_GROUP_CHARACTERS for group in groups):
        raise _refused("bad_claims")
    subject = claims["sub"]
    if not isinstance(subject, str):
        raise _refused("bad_claims")
    # A machine, to have id and sponsor checked; who it is in truth, the registry says.
    checked = Caller(subject, CallerKind.MACHINE, sponsor, tuple(sorted(set(groups))))
    return TokenIdentity(checked.id, issuer.issuer, checked.sponsor, checked.groups, expires_at)


def _usable(item: dict[str, Any]) -> tuple[str, Any] | None:
    import jwt

    try:
        if item.get("use", "sig") != "sig" or "verify" not in item.get("key_ops", ["verify"]):
            return None
        key = jwt.PyJWK.from_dict({name: item[name] for name in ("kty", "crv", "n", "e", "x", "y") if name in item}).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        return None
    algorithm = ""
    if isinstance(key, RSAPublicKey) and key.key_size >= MIN_RSA_BITS:
        algorithm = "RS256"
    elif isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
        algorithm = "ES256"
    elif isinstance(key, Ed25519PublicKey):
        algorithm = "EdDSA"
    return (algorithm, key) if algorithm and item.get("alg", algorithm) == algorithm else None


def _refused(code: str) -> Refused:
    return Refused(
        "The token is not good for this target.",
        not_done="Nobody was signed in.",
        advice="Ask the issuer for a token with the audience of this target.",
        code=code,
    )


def _bad_keys(issuer: str) -> InvalidInput:
    return InvalidInput(
        f"The keys of issuer {issuer!r} can't be used.",
        not_done="Its tokens are not accepted.",
        advice="Give a JWKS with RS256, ES256 or EdDSA keys, each with its own kid.",
        code="bad_jwks",
    )
