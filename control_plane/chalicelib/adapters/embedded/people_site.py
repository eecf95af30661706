"""The site for people on one machine: issuer, sign-in, sessions, review, outbox, wired over one folder.

FOLDER/issuer/       passphrases (hashed), codes, signing key
FOLDER/outbox/       messages that would have been mailed
FOLDER/sessions.sqlite, FOLDER/cookie.key
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from chalice.app import Blueprint

from ...routes import review, signin, static
from ...services.reviewing import Desk, Reviewing
from ...services.sessions import Sessions
from ...services.signing_in import SigningIn
from . import issuer as issuer_routes
from . import outbox_page
from .issuer_core import Issuer
from .issuer_store import IssuerStore
from .oidc_client import EmbeddedOidcClient
from .outbox import Outbox
from .web_sessions import SqliteWebSessions


@dataclass(frozen=True, slots=True)
class PeopleSite:
    """What the bootstrap registers and closes.

    Args:
        blueprints: All routes for people, and the issuer's.
        issuer: For whoever verifies its access tokens: `issuer.url`, `issuer.jwks()`.
        store: The issuer's, for whoever makes passphrases.
        sessions: Live sessions.
        outbox: A mailer, where none is configured.
        close: Closes the files.
    """

    blueprints: tuple[Blueprint, ...]
    issuer: Issuer
    store: IssuerStore
    sessions: Sessions
    outbox: Outbox
    close: Callable[[], None]


def build(
    folder: Path, public_url: str, clock: Callable[[], float], desk: Desk, person_of: Callable[[str], str | None]
) -> PeopleSite:
    """Wire the site.

    Args:
        folder: Private to the control plane's user; made when missing.
        public_url: Where people reach us, without a slash at the end.
        clock: Seconds since the epoch.
        desk: The Requests, for people.
        person_of: A subject of the issuer to the registered person it belongs to, or None.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    store = issuer_store(folder)
    kept = SqliteWebSessions(folder / "sessions.sqlite")
    issuer, live = Issuer(public_url, store, clock), Sessions(kept, clock)
    outbox = Outbox(folder / "outbox", "twokeys@localhost.localdomain", clock)
    signing = SigningIn(EmbeddedOidcClient(issuer), public_url, _cookie_key(folder / "cookie.key"), clock)
    blueprints = (
        issuer_routes.blueprint(issuer),
        signin.blueprint(signing, live, public_url, person_of),
        review.blueprint(Reviewing(desk, live), live, public_url),
        static.blueprint(),
        outbox_page.blueprint(outbox, live, public_url),
    )

    def close() -> None:
        kept.close()
        store.close()

    return PeopleSite(blueprints, issuer, store, live, outbox, close)


def issuer_store(folder: Path) -> IssuerStore:
    """The issuer's store of a site's folder, for the bootstrap that sets the first passphrases."""
    return IssuerStore(folder / "issuer")


def _cookie_key(path: Path) -> bytes:
    """The key that seals sign-ins under way, made on first use."""
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        key = path.read_bytes()
        if len(key) == 32:
            return key
        # A start that was cut off left a part of it; no sign-in can be under way with that.
        path.unlink()
        return _cookie_key(path)
    with os.fdopen(descriptor, "wb") as file:
        file.write(key := secrets.token_bytes(32))
        file.flush()
        os.fsync(file.fileno())
    return key
