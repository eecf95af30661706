"""What the embedded issuer keeps: hashed passphrases, codes not used yet, its signing key.

Passphrases are random, shown once, and kept as scrypt hashes (RFC 7914). Codes are kept hashed and leave the table
in the same statement that reads them: whoever comes second finds nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import sqlite3
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

MAX_OPEN_CODES: Final = 1000
"""Codes waiting to be used; more are refused."""

MAX_HASHING: Final = 2
"""Passphrases hashed at the same time: each takes 32 MB and a tenth of a second."""

HANDED_SECONDS: Final = 24 * 3600
"""How long a handed code can be used."""

_ALPHABET: Final = "abcdefghjkmnpqrstvwxyz23456789"
_GROUPS, _GROUP = 5, 4
_N, _R, _P = 2**15, 8, 1

_SCHEMA = """
CREATE TABLE IF NOT EXISTS passphrases (
    person_id TEXT PRIMARY KEY, salt BLOB NOT NULL, hash BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS codes (
    code_hash TEXT PRIMARY KEY, client_id TEXT NOT NULL, redirect_uri TEXT NOT NULL, nonce TEXT NOT NULL,
    challenge TEXT NOT NULL, person_id TEXT NOT NULL, auth_time INTEGER NOT NULL, expires_at REAL NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS handed (
    person_id TEXT PRIMARY KEY, code_hash TEXT NOT NULL UNIQUE, expires_at REAL NOT NULL
) STRICT;
"""


@dataclass(frozen=True, slots=True)
class Code:
    """What an authorization code stands for (RFC 6749 section 4.1.2, RFC 7636)."""

    client_id: str
    redirect_uri: str
    nonce: str
    challenge: str
    person_id: str
    auth_time: int
    expires_at: float


class IssuerStore:
    """A small SQLite of the issuer's own, and a key file of mode 0600, in one folder."""

    def __init__(self, folder: Path) -> None:
        """Open or create. The folder must be private to the process's user."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._hashing = threading.BoundedSemaphore(MAX_HASHING)
        self._database = sqlite3.connect(folder / "issuer.sqlite", check_same_thread=False, isolation_level=None)
        (folder / "issuer.sqlite").chmod(0o600)
        self._database.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;" + _SCHEMA)
        self.key = _signing_key(folder / "issuer-key.pem")
        self._decoy = (secrets.token_bytes(16), secrets.token_bytes(32))

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._database.close()

    def set_passphrase(self, person_id: str) -> str:
        """Make a new passphrase for a person, keep its hash, and return it: the only time it is seen."""
        passphrase = _random()
        salt = secrets.token_bytes(16)
        with self._lock:
            self._database.execute(
                "INSERT INTO passphrases VALUES (?, ?, ?) ON CONFLICT (person_id)"
                " DO UPDATE SET salt = excluded.salt, hash = excluded.hash",
                (person_id, salt, _hash(passphrase, salt)),
            )
        return passphrase

    def hand_code(self, person_id: str, now: float) -> str:
        """A code by which a person gets their passphrase, once; it replaces an older one. `now` in seconds."""
        text = _random()
        with self._lock:
            self._database.execute("DELETE FROM handed WHERE expires_at <= ?", (now,))
            self._database.execute(
                "INSERT OR REPLACE INTO handed VALUES (?, ?, ?)", (person_id, _handed_hash(text), now + HANDED_SECONDS)
            )
        return text

    def take_handed(self, text: str, now: float) -> str | None:
        """Take a handed code out: whose it is. The second taker, and a late one, gets None."""
        with self._lock:
            row = self._database.execute(
                "DELETE FROM handed WHERE code_hash = ? RETURNING person_id, expires_at", (_handed_hash(text),)
            ).fetchone()
        return str(row[0]) if row and now < row[1] else None

    def is_passphrase(self, person_id: str, passphrase: str) -> bool:
        """Whether it is theirs. An unknown person costs the same work and time."""
        with self._lock:
            row = self._database.execute(
                "SELECT salt, hash FROM passphrases WHERE person_id = ?", (person_id,)
            ).fetchone()
        salt, expected = row or self._decoy
        with self._hashing:
            matches = hmac.compare_digest(_hash(passphrase, salt), expected)
        return matches and row is not None

    def add_code(self, code: Code, now: float) -> str | None:
        """Keep a code and return its secret text; None when too many are open."""
        text = secrets.token_urlsafe(32)
        with self._lock:
            self._database.execute("DELETE FROM codes WHERE expires_at <= ?", (now,))
            (count,) = self._database.execute("SELECT count(*) FROM codes").fetchone()
            if count >= MAX_OPEN_CODES:
                return None
            self._database.execute(
                "INSERT INTO codes VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (_code_hash(text), code.client_id, code.redirect_uri, code.nonce, code.challenge, code.person_id,
                 code.auth_time, code.expires_at),
            )  # fmt: skip
        return text

    def take_code(self, text: str, now: float) -> Code | None:
        """Take a code out; the second taker, and a late one, gets None."""
        with self._lock:
            row = self._database.execute(
                "DELETE FROM codes WHERE code_hash = ? RETURNING client_id, redirect_uri, nonce, challenge,"
                " person_id, auth_time, expires_at",
                (_code_hash(text),),
            ).fetchone()
        code = Code(*row) if row else None
        return code if code and now < code.expires_at else None


def set_passphrase(store: IssuerStore, person_id: str) -> str:
    """Make, keep and return a person's passphrase; what bootstrap calls."""
    return store.set_passphrase(person_id)


def _random() -> str:
    letters = "".join(secrets.choice(_ALPHABET) for _ in range(_GROUPS * _GROUP))
    return "-".join(letters[start : start + _GROUP] for start in range(0, len(letters), _GROUP))


def _typed(text: str) -> bytes:
    # Typed from a terminal: case, spaces and hyphens carry no secret.
    return "".join(text.lower().replace("-", "").split()).encode("utf-8", "replace")


def _handed_hash(text: str) -> str:
    # 98 random bits need no slow hash.
    return hashlib.sha256(_typed(text)).hexdigest()


def _hash(passphrase: str, salt: bytes) -> bytes:
    return hashlib.scrypt(_typed(passphrase), salt=salt, n=_N, r=_R, p=_P, maxmem=64 * 1024 * 1024)


def _code_hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def _signing_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """The ES256 key, made on first use. Created exclusively and private from its first byte."""
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
            raise ValueError(f"{path} holds no P-256 key") from None
        return key
    key = ec.generate_private_key(ec.SECP256R1())
    with os.fdopen(descriptor, "wb") as file:
        file.write(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        file.flush()
        os.fsync(file.fileno())
    return key
