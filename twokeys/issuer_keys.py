"""The keys of an issuer whose tokens callers may use, read from its key set.

RFC 7517 (key sets), RFC 7638 (thumbprints), RFC 8037 (Ed25519), RFC 8725 section 3.1 (a key has one algorithm).
"""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from twokeys.digest import canonical
from twokeys.errors import InvalidInput
from twokeys.shared_issuer import admitted
from twokeys.subject import EVERY, Subjects

# PyJWT is imported where a key set is read: it is 4 MB that an Edge without issuers does not need.

MAX_KEYS: Final = 50
"""Most keys of one issuer."""
MIN_RSA_BITS: Final = 2048
MAX_RSA_BITS: Final = 8192
"""A longer key would make each tried token slow to check, and a key set too large to keep."""
MAX_KEY_ID: Final = 256
"""Longest `kid`, in characters."""
_MATERIAL: Final = ("kty", "crv", "n", "e", "x", "y")
_PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
"""Members of a JWK that are nobody else's business (RFC 7518 section 6)."""


@dataclass(frozen=True, slots=True)
class IssuerKeys:
    """One trusted issuer.

    Args:
        issuer: The exact `iss`.
        keys: By key id (`kid`, empty when it has none): the algorithm and the public key.
        sponsor_claim: The claim that names a machine's sponsor; empty: none is believed.
        groups_claim: The claim that lists groups; empty: none are believed.
        subject_prefix: What comes before its subjects and groups; empty: they count as they are.
        require_nbf: Whether a token without `nbf` is refused; RFC 7519 leaves it to the issuer.
        subjects: Which of its subjects may be callers.

    Raises:
        InvalidInput: for an issuer that signs for everybody, without subjects (`twokeys.shared_issuer`).
    """

    issuer: str
    keys: Mapping[str, tuple[str, Any]]
    sponsor_claim: str = ""
    groups_claim: str = ""
    subject_prefix: str = ""
    require_nbf: bool = True
    subjects: Subjects = EVERY

    def __post_init__(self) -> None:
        admitted(self.issuer, self.subjects.entries)

    @classmethod
    def from_jwks(
        cls,
        issuer: str,
        jwks: Mapping[str, Any],
        *,
        sponsor_claim: str = "",
        groups_claim: str = "",
        subject_prefix: str = "",
        require_nbf: bool = True,
        subjects: Subjects = EVERY,
    ) -> IssuerKeys:
        """Read a key set (RFC 7517 section 5). Keys of other kinds, uses or algorithms are left out.

        Raises:
            InvalidInput: It is no key set, has too many keys, two of one id, or none that we can use; or as the class.
        """
        keys = _read(issuer, jwks)
        return cls(issuer, keys, sponsor_claim, groups_claim, subject_prefix, require_nbf, subjects)


def usable_jwks(issuer: str, jwks: Mapping[str, Any]) -> dict[str, Any]:
    """The key set with nothing but the keys that can be used, and of them nothing but what is used.

    Raises:
        InvalidInput: As for `IssuerKeys.from_jwks`, or a private key is among them.
    """
    _read(issuer, jwks)
    listed = [item for item in jwks["keys"] if isinstance(item, dict)]
    if any(_PRIVATE & set(item) for item in listed):
        raise InvalidInput(
            f"The key set of issuer {issuer!r} holds a private key.",
            not_done="It was not kept.",
            advice="Give the public key set, and replace that key: it has been shown.",
            code="private_key",
        )
    kept = [item for item in listed if _usable(item) is not None]
    return {"keys": [{name: item[name] for name in (*_MATERIAL, "kid", "alg", "use") if name in item} for item in kept]}


def thumbprint(key: Mapping[str, Any]) -> str:
    """The key's SHA-256 thumbprint in base64url (RFC 7638, RFC 8037 appendix A.3). Raises KeyError for no such key."""
    members = {"RSA": ("e", "kty", "n"), "EC": ("crv", "kty", "x", "y"), "OKP": ("crv", "kty", "x")}[key["kty"]]
    digest = hashlib.sha256(canonical({name: str(key[name]) for name in members})).digest()
    return urlsafe_b64encode(digest).rstrip(b"=").decode()


def _read(issuer: str, jwks: Mapping[str, Any]) -> dict[str, tuple[str, Any]]:
    listed = jwks.get("keys")
    if not issuer or not isinstance(listed, list) or len(listed) > MAX_KEYS:
        raise _bad_keys(issuer)
    keys: dict[str, tuple[str, Any]] = {}
    for item in listed:
        usable = _usable(item) if isinstance(item, dict) else None
        if usable is not None:
            key_id = item.get("kid", "")
            if not isinstance(key_id, str) or len(key_id) > MAX_KEY_ID or key_id in keys:
                raise _bad_keys(issuer)
            keys[key_id] = usable
    if not keys:
        raise _bad_keys(issuer)
    return keys


def _usable(item: dict[str, Any]) -> tuple[str, Any] | None:
    import jwt

    try:
        if item.get("use", "sig") != "sig" or "verify" not in item.get("key_ops", ["verify"]):
            return None
        key = jwt.PyJWK.from_dict({name: item[name] for name in _MATERIAL if name in item}).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        return None
    algorithm = ""
    if isinstance(key, RSAPublicKey) and MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS:
        algorithm = "RS256"
    elif isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
        algorithm = "ES256"
    elif isinstance(key, Ed25519PublicKey):
        algorithm = "EdDSA"
    return (algorithm, key) if algorithm and item.get("alg", algorithm) == algorithm else None


def _bad_keys(issuer: str) -> InvalidInput:
    return InvalidInput(
        f"The keys of issuer {issuer!r} can't be used.",
        not_done="Its tokens are not accepted.",
        advice="Give a JWKS with RS256, ES256 or EdDSA keys, each with its own kid.",
        code="bad_jwks",
    )
