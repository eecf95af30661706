"""An OpenID Connect token as password: checked against the issuers' keys that the Bundle brings.

Nothing is fetched and no clock is read: keys and time are arguments. A token is for one target alone
(``aud = twokeys:edge:<target>``); whatever else it is good for, it is not good here.

Rules:
  1. The key says which algorithm (RFC 8725 section 3.1), the token only whether it agrees.
  2. Exactly our audience, one of our issuers, inside its time, not longer-lived than `MAX_LIFETIME_SECONDS`.
  3. Its `sub` is one of those that its issuer's owner listed, before anything is made of it. Who it stands for begins
     with its issuer's prefix, and so do its groups.
  4. Which of these failed is for our log, never for the one who tried.

RFC 7519 (claims), RFC 7517 and RFC 8037 (keys), OpenID Connect Core section 2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from twokeys.caller import Caller, CallerKind
from twokeys.errors import Refused, TwokeysError
from twokeys.issuer_keys import IssuerKeys
from twokeys.subject import caller_id

# PyJWT is imported where a token is read: it is 4 MB that an Edge without issuers does not need.

MAX_TOKEN_BYTES: Final = 8 * 1024
"""Longest token that is looked at."""
MAX_GROUPS: Final = 200
"""Most groups in one token, each of at most `MAX_GROUP_CHARACTERS`."""
MAX_GROUP_CHARACTERS: Final = 128
MAX_LIFETIME_SECONDS: Final = 24 * 3600
"""Longest time from `iat` to `exp`."""
LEEWAY_SECONDS: Final = 30
"""How far the issuer's clock and ours may differ."""
LAST_SECOND: Final = 1 << 53
AUDIENCE_PREFIX: Final = "twokeys:edge:"


@dataclass(frozen=True, slots=True)
class TokenIdentity:
    """What a verified token says.

    Args:
        subject: Its issuer's prefix and its `sub`, as a caller id (`twokeys.subject.caller_id`).
        issuer: Its `iss`.
        sponsor: From the configured claim, or empty.
        groups: From the configured claim, each behind the issuer's prefix, sorted.
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
    subject = claims["sub"]
    if not isinstance(subject, str) or not subject:
        raise _refused("bad_claims")
    if not issuer.subjects.admits(subject):
        raise _refused("foreign_subject")
    sponsor = claims.get(issuer.sponsor_claim, "") if issuer.sponsor_claim else ""
    groups = claims.get(issuer.groups_claim, []) if issuer.groups_claim else []
    legal = isinstance(sponsor, str) and isinstance(groups, list) and len(groups) <= MAX_GROUPS
    if not legal or any(not isinstance(group, str) or not 0 < len(group) <= MAX_GROUP_CHARACTERS for group in groups):
        raise _refused("bad_claims")
    # A machine, to have id and sponsor checked; who it is in truth, the registry says.
    prefix = issuer.subject_prefix
    named = tuple(sorted({prefix + group for group in groups}))
    checked = Caller(caller_id(prefix, subject), CallerKind.MACHINE, sponsor, named)
    return TokenIdentity(checked.id, issuer.issuer, checked.sponsor, checked.groups, expires_at)


def _refused(code: str) -> Refused:
    return Refused(
        "The token is not good for this target.",
        not_done="Nobody was signed in.",
        advice="Ask the issuer for a token with the audience of this target.",
        code=code,
    )
