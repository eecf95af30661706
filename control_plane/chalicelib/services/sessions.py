"""Sessions of signed-in people: an opaque secret in a cookie, everything else at our side.

    sign-in ──begin──▶ secret (cookie) ──current──▶ Session ──end──▶ gone          8 h at most, 30 min unused

The tokens that forms carry are derived from the secret and from what the form is for: a token of one request, or of
another session, fits nowhere else.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from twokeys.errors import Refused

from ..ports.web_sessions import WebSession, WebSessions

COOKIE: Final = "__Host-twokeys"
"""The session cookie."""

ABSOLUTE_SECONDS: Final = 8 * 3600
"""How long a session lasts at most."""

IDLE_SECONDS: Final = 30 * 60
"""How long an unused session lasts."""

TOUCH_SECONDS: Final = 60
"""How exactly the last use is noted."""

MAX_SESSIONS_PER_PERSON: Final = 10
"""A person's sessions; the oldest go."""

_SECRET = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class Session:
    """A live session, for one request to us.

    Args:
        secret: The cookie's value; never logged or stored.
        person_id: Who is signed in.
        auth_time: When they proved who they are, for step-up.
    """

    secret: str
    person_id: str
    auth_time: int

    def __repr__(self) -> str:
        return f"Session(person_id={self.person_id!r})"

    def token(self, purpose: str) -> str:
        """The CSRF token of a form, e.g. for ``decision:req_…``."""
        message = b"twokeys/csrf/v1\n" + purpose.encode()
        return hmac.new(self.secret.encode(), message, hashlib.sha256).hexdigest()

    def check_token(self, purpose: str, token: str) -> None:
        """Refuse a token of another form, request or session.

        Raises:
            Refused: unless it is the token of this purpose.
        """
        if not hmac.compare_digest(self.token(purpose).encode(), token.encode("utf-8", "replace")):
            raise Refused("The form was not made for this page and this sign-in.", not_done="Nothing was decided.",
                          advice="Open the page again and send it from there.", code="bad_csrf")  # fmt: skip


class Sessions:
    """Begins, finds and ends sessions."""

    def __init__(self, store: WebSessions, clock: Callable[[], float]) -> None:
        """Args: store: where they are kept; clock: seconds since the epoch."""
        self._store = store
        self._clock = clock

    def begin(self, person_id: str, auth_time: int) -> Session:
        """Begin a session under a new secret: one that was known before sign-in is never used after it."""
        now = self._clock()
        secret = secrets.token_urlsafe(32)
        self._store.remove_created_before(now - ABSOLUTE_SECONDS)
        self._store.add(WebSession(_hash(secret), person_id, auth_time, now, now), MAX_SESSIONS_PER_PERSON)
        return Session(secret, person_id, auth_time)

    def current(self, secret: str) -> Session | None:
        """The live session of a cookie, or None."""
        if not _SECRET.fullmatch(secret):
            return None
        kept = self._store.find(_hash(secret))
        if kept is None:
            return None
        now = self._clock()
        if not (-TOUCH_SECONDS <= now - kept.created_at < ABSOLUTE_SECONDS and now - kept.seen_at < IDLE_SECONDS):
            self._store.remove(kept.id_hash)
            return None
        if now - kept.seen_at >= TOUCH_SECONDS:
            self._store.touch(kept.id_hash, now)
        return Session(secret, kept.person_id, kept.auth_time)

    def end(self, session: Session) -> None:
        """End it, here and now."""
        self._store.remove(_hash(session.secret))

    def mark_shown(self, session: Session, request_id: str, command_digest: str, part: int) -> frozenset[int]:
        """Note that a part of a Command was shown in this session; return all that were."""
        self._store.mark_shown(_hash(session.secret), request_id, command_digest, part)
        return self.shown(session, request_id, command_digest)

    def shown(self, session: Session, request_id: str, command_digest: str) -> frozenset[int]:
        """The parts of a Command that were shown in this session."""
        return self._store.shown(_hash(session.secret), request_id, command_digest)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
