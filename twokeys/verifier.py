"""What proves a SCRAM credential without holding it (RFC 5802 section 3, RFC 5803, RFC 7677).

The text form is PostgreSQL's ``SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>``. The control plane makes
it from a random credential that it shows once and forgets; the Bundle carries it; the Edge checks proofs against it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass, field

from twokeys.digest import from_base64, to_base64
from twokeys.errors import InvalidInput
from twokeys.saslprep import password_bytes

DEFAULT_ITERATIONS = 4096
"""As PostgreSQL makes them. Our credentials are random, so that stretching them more buys nothing."""
MIN_ITERATIONS = 4096
"""The least that RFC 7677 section 4 allows."""
MAX_ITERATIONS = 1_000_000
"""The most that we compute: about half a second."""
SALT_BYTES = 16
MAX_SALT_BYTES = 64
KEY_BYTES = 32
MIN_CREDENTIAL_CHARACTERS = 32
"""The least for a minted credential: 192 bits in URL-safe base64."""
MAX_VERIFIER_CHARACTERS = 512

_FORM = re.compile(r"SCRAM-SHA-256\$([1-9][0-9]{0,8}):([A-Za-z0-9+/=]+)\$([A-Za-z0-9+/=]+):([A-Za-z0-9+/=]+)")


@dataclass(frozen=True, slots=True)
class ScramVerifier:
    """A SCRAM-SHA-256 verifier.

    Args:
        iterations: Rounds of PBKDF2.
        salt: 1 to 64 bytes.
        stored_key: SHA-256 of the ClientKey, 32 bytes.
        server_key: 32 bytes; whoever has it can pretend to be the server.
    """

    iterations: int
    salt: bytes
    stored_key: bytes = field(repr=False)
    server_key: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if not MIN_ITERATIONS <= self.iterations <= MAX_ITERATIONS or not 1 <= len(self.salt) <= MAX_SALT_BYTES:
            raise _malformed()
        if len(self.stored_key) != KEY_BYTES or len(self.server_key) != KEY_BYTES:
            raise _malformed()

    @classmethod
    def parse(cls, text: str) -> ScramVerifier:
        """Read PostgreSQL's text form. Raises InvalidInput."""
        found = _FORM.fullmatch(text) if len(text) <= MAX_VERIFIER_CHARACTERS else None
        if found is None:
            raise _malformed()
        return cls(int(found[1]), from_base64(found[2]), from_base64(found[3]), from_base64(found[4]))

    def to_text(self) -> str:
        """PostgreSQL's text form, inverse of `parse`."""
        keys = f"{to_base64(self.stored_key)}:{to_base64(self.server_key)}"
        return f"SCRAM-SHA-256${self.iterations}:{to_base64(self.salt)}${keys}"


def salted_password(password: str, salt: bytes, iterations: int) -> bytes:
    """SaltedPassword of RFC 5802 section 3: PBKDF2 with HMAC-SHA-256, 32 bytes. Slow on purpose."""
    return hashlib.pbkdf2_hmac("sha256", password_bytes(password), salt, iterations)


def client_key(salted: bytes) -> bytes:
    """ClientKey of RFC 5802 section 3, 32 bytes."""
    return hmac.digest(salted, b"Client Key", "sha256")


def server_key(salted: bytes) -> bytes:
    """ServerKey of RFC 5802 section 3, 32 bytes."""
    return hmac.digest(salted, b"Server Key", "sha256")


def verifier_of(password: str, salt: bytes, iterations: int = DEFAULT_ITERATIONS) -> ScramVerifier:
    """The verifier of any password; the caller brings the random salt. Raises InvalidInput."""
    salted = salted_password(password, salt, iterations)
    return ScramVerifier(iterations, salt, hashlib.sha256(client_key(salted)).digest(), server_key(salted))


def mint_verifier(credential: str, salt: bytes) -> ScramVerifier:
    """The verifier of a credential that was minted from randomness.

    Args:
        credential: Random text of at least 32 printable ASCII characters.
        salt: 16 random bytes.

    Raises:
        InvalidInput: The credential is short or not plain, or the salt has another length.
    """
    if len(credential) < MIN_CREDENTIAL_CHARACTERS or not credential.isascii() or not credential.isprintable():
        raise InvalidInput(
            f"A credential has at least {MIN_CREDENTIAL_CHARACTERS} printable ASCII characters.",
            not_done="No verifier was made.",
            advice="Make it with secrets.token_urlsafe(32).",
            code="weak_credential",
        )
    if len(salt) != SALT_BYTES:
        raise InvalidInput(f"A salt has {SALT_BYTES} bytes.", not_done="No verifier was made.")
    return verifier_of(credential, salt)


def _malformed() -> InvalidInput:
    return InvalidInput("A SCRAM verifier is malformed.", not_done="It was not used.", code="bad_verifier")
