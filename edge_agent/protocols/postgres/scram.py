"""SCRAM-SHA-256 and SCRAM-SHA-256-PLUS, both sides (RFC 5802, RFC 7677, RFC 5929).

    client                                     server
      │ ── client-first: flag, nonce ──────────▶ │ start
      │ ◀── server-first: nonce, salt, rounds ── │
      │ ── client-final: binding, proof ───────▶ │ finish
      │ ◀── server-final: signature ──────────── │

Rules:
  1. The flag must fit what was offered: `y` ("I could, you can't") is a downgrade where we offered PLUS, and refused.
  2. A user that doesn't exist takes the same steps, with a salt that stays the same, and fails at the proof.
  3. The name inside is ignored, as PostgreSQL does: the one of the StartupMessage counts. An authzid is refused.
  4. Nothing is compared in a time that depends on a secret.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from typing import Final

from twokeys.digest import from_base64, to_base64
from twokeys.errors import InvalidInput, Refused
from twokeys.verifier import (
    DEFAULT_ITERATIONS,
    KEY_BYTES,
    MAX_ITERATIONS,
    MAX_SALT_BYTES,
    MIN_ITERATIONS,
    SALT_BYTES,
    ScramVerifier,
    client_key,
    salted_password,
    server_key,
)

PLAIN: Final = "SCRAM-SHA-256"
PLUS: Final = "SCRAM-SHA-256-PLUS"
BINDING_TYPE: Final = "tls-server-end-point"

MAX_SCRAM_BYTES: Final = 4096
"""Longest SCRAM message that we read."""
MIN_NONCE_CHARACTERS: Final = 18
"""The least for our own half of the nonce, as PostgreSQL has it."""

MIN_MOCK_SECRET_BYTES: Final = 16
"""The least for the secret behind `mock_verifier`."""

_PRINTABLE: Final = r"[\x21-\x2b\x2d-\x7e]+"
_BASE64: Final = r"[A-Za-z0-9+/]+={0,2}"
_CLIENT_FIRST: Final = re.compile(
    rf"(?P<header>(?P<flag>n|y|p=[A-Za-z0-9.-]+),(?P<authzid>[^,]*),)"
    rf"(?P<bare>n=(?:[^\x00,=]|=2C|=3D)*,r=(?P<nonce>{_PRINTABLE})(?:,[a-ln-zA-Z]=[^\x00,]+)*)"
)
_CLIENT_FINAL: Final = re.compile(
    rf"(?P<without>c=(?P<binding>{_BASE64}),r=(?P<nonce>{_PRINTABLE})(?:,[a-ln-zA-Z]=[^\x00,]+)*),p=(?P<proof>{_BASE64})"
)
_SERVER_FIRST: Final = re.compile(
    rf"r=(?P<nonce>{_PRINTABLE}),s=(?P<salt>{_BASE64}),i=(?P<iterations>[1-9][0-9]{{0,8}})(?:,[a-ln-zA-Z]=[^\x00,]+)*"
)
_SERVER_FINAL: Final = re.compile(rf"v=(?P<signature>{_BASE64})(?:,[a-ln-zA-Z]=[^\x00,]+)*")


def mock_verifier(secret: bytes, user: str, iterations: int = DEFAULT_ITERATIONS) -> ScramVerifier:
    """A verifier that nobody can satisfy, the same each time for one user (RFC 5802 section 9).

    Args:
        secret: Of this Edge, at least 16 random bytes, the same for as long as existence is to stay hidden.
        user: The name that was tried.
        iterations: As the real ones have.
    """
    if len(secret) < MIN_MOCK_SECRET_BYTES:
        raise InvalidInput("The secret for unknown users is too short.", not_done="No login was begun.")

    name = user.encode("utf-8", "replace")

    def derive(label: bytes) -> bytes:
        return hmac.digest(secret, b"twokeys/scram-mock/v1\n" + label + b"\n" + name, "sha256")

    return ScramVerifier(iterations, derive(b"salt")[:SALT_BYTES], derive(b"stored"), derive(b"server"))


class ScramServer:
    """The server's side of one login.

    Args:
        verifier: The user's, or a `mock_verifier`.
        genuine: False for a mock: then no proof is ever right.
        nonce: Our half, fresh randomness in printable ASCII without a comma, at least 18 characters.
        binding: `end_point` of our certificate when PLUS was offered (TLS), else None.
    """

    def __init__(self, verifier: ScramVerifier, *, genuine: bool, nonce: str, binding: bytes | None) -> None:
        _check_nonce(nonce)
        self._verifier, self._genuine, self._nonce, self._binding = verifier, genuine, nonce, binding
        self._expected_binding = ""
        self._so_far = ""

    def start(self, mechanism: str, client_first: bytes) -> bytes:
        """Take the client-first-message; return the server-first-message (RFC 5802 section 7).

        Raises:
            InvalidInput: It is malformed, asks for an extension or an authzid, or its flag doesn't fit.
        """
        found = _read(_CLIENT_FIRST, client_first)
        flag = found["flag"]
        offered = {PLAIN} if self._binding is None else {PLAIN, PLUS}
        legal = {f"p={BINDING_TYPE}"} if mechanism == PLUS else {"n"} if PLUS in offered else {"n", "y"}
        if mechanism not in offered or flag not in legal or found["authzid"]:
            raise _broken()
        bound = self._binding if mechanism == PLUS and self._binding is not None else b""
        self._expected_binding = to_base64(found["header"].encode() + bound)
        self._nonce = found["nonce"] + self._nonce
        first = f"r={self._nonce},s={to_base64(self._verifier.salt)},i={self._verifier.iterations}"
        self._so_far = f"{found['bare']},{first}"
        return first.encode()

    def finish(self, client_final: bytes) -> bytes:
        """Take the client-final-message; return the server-final-message.

        Raises:
            InvalidInput: It is malformed.
            Refused: Binding, nonce or proof is wrong, or there is no such user; which of them stays unsaid.
        """
        found = _read(_CLIENT_FINAL, client_final)
        proof = from_base64(found["proof"])
        if len(proof) != KEY_BYTES or not self._so_far:
            raise _broken()
        said, self._so_far = f"{self._so_far},{found['without']}".encode(), ""
        shown = _xor(proof, hmac.digest(self._verifier.stored_key, said, "sha256"))
        right = hmac.compare_digest(hashlib.sha256(shown).digest(), self._verifier.stored_key)
        right &= hmac.compare_digest(found["nonce"].encode(), self._nonce.encode())
        right &= hmac.compare_digest(found["binding"].encode(), self._expected_binding.encode())
        if not (right and self._genuine):
            raise Refused("The credential is not right.", not_done="Nobody was signed in.", code="bad_credential")
        return b"v=" + to_base64(hmac.digest(self._verifier.server_key, said, "sha256")).encode()


class ScramClient:
    """The client's side of one login.

    Args:
        password: As configured; SASLprep is applied.
        nonce: Fresh randomness in printable ASCII without a comma, at least 18 characters.
        offered: The mechanisms that the server offers.
        binding: `end_point` of the server's certificate; None without TLS, or where no binding is defined.
        encrypted: Whether the connection is TLS.

    Raises:
        Refused: The server offers neither mechanism, or PLUS on a connection that is not encrypted.
    """

    def __init__(
        self,
        password: str,
        *,
        nonce: str,
        offered: Sequence[str],
        binding: bytes | None,
        encrypted: bool,
    ) -> None:
        _check_nonce(nonce)
        if PLUS in offered and not encrypted:
            raise Refused(
                "The server offers channel binding on a connection without TLS: somebody may stand between.",
                not_done="No credential was used.",
                advice="Configure TLS to the server.",
                code="stripped_tls",
            )
        self.mechanism = PLUS if PLUS in offered and binding is not None else PLAIN
        if self.mechanism not in offered:
            raise Refused(
                "The server does not offer SCRAM-SHA-256.",
                not_done="No credential was used.",
                advice="Set password_encryption to scram-sha-256 and the role's password again.",
                code="no_scram",
            )
        can_bind = binding is not None
        flag = f"p={BINDING_TYPE}" if self.mechanism == PLUS else "y" if can_bind else "n"
        self._header = f"{flag},,"
        self._bound = binding if self.mechanism == PLUS and binding is not None else b""
        self._password, self._nonce = password, nonce
        self._bare = f"n=,r={nonce}"
        self._signature = b""

    @property
    def is_bound(self) -> bool:
        """Whether this login is tied to the TLS connection."""
        return self.mechanism == PLUS

    def first(self) -> bytes:
        """The client-first-message. The name is empty: PostgreSQL takes the StartupMessage's."""
        return (self._header + self._bare).encode()

    def final(self, server_first: bytes) -> bytes:
        """Take the server-first-message; return the client-final-message. Slow by the server's iterations.

        Raises:
            InvalidInput: It is malformed, doesn't go on from our nonce, or has iterations or a salt out of range.
        """
        found = _read(_SERVER_FIRST, server_first)
        nonce, salt, iterations = found["nonce"], from_base64(found["salt"]), int(found["iterations"])
        if not nonce.startswith(self._nonce) or len(nonce) == len(self._nonce) or len(salt) > MAX_SALT_BYTES:
            raise _broken()
        if not MIN_ITERATIONS <= iterations <= MAX_ITERATIONS:
            raise InvalidInput(
                f"The server asks for {iterations} SCRAM iterations.",
                not_done="No proof was made.",
                advice=f"From {MIN_ITERATIONS} to {MAX_ITERATIONS} are accepted.",
                code="bad_iterations",
            )
        without = f"c={to_base64(self._header.encode() + self._bound)},r={nonce}"
        said = f"{self._bare},{server_first.decode()},{without}".encode()
        salted = salted_password(self._password, salt, iterations)
        key = client_key(salted)
        proof = _xor(key, hmac.digest(hashlib.sha256(key).digest(), said, "sha256"))
        self._signature = hmac.digest(server_key(salted), said, "sha256")
        return f"{without},p={to_base64(proof)}".encode()

    def verify(self, server_final: bytes) -> None:
        """Take the server-final-message: the server must know the verifier too.

        Raises:
            InvalidInput: It is malformed.
            Refused: The signature is wrong.
        """
        signature = from_base64(_read(_SERVER_FINAL, server_final)["signature"])
        if not self._signature or not hmac.compare_digest(signature, self._signature):
            raise Refused(
                "The server could not prove that it knows our credential.",
                not_done="The session was not begun.",
                advice="Check that the address is the right server's.",
                code="false_server",
            )


def _read(form: re.Pattern[str], data: bytes) -> re.Match[str]:
    if len(data) <= MAX_SCRAM_BYTES:
        try:
            found = form.fullmatch(data.decode())
        except UnicodeDecodeError:
            found = None
        if found is not None:
            return found
    raise _broken()


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))


def _check_nonce(nonce: str) -> None:
    if len(nonce) < MIN_NONCE_CHARACTERS or not re.fullmatch(_PRINTABLE, nonce):
        raise InvalidInput("A SCRAM nonce is short or not printable.", not_done="No login was begun.")


def _broken() -> InvalidInput:
    return InvalidInput("A malformed SCRAM message came.", not_done="Nobody was signed in.", code="malformed_scram")
