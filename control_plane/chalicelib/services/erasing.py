"""Erasing a session's key: its recorded texts and values are unreadable from then on, its chain still verifies.

an owner, a reason ──▶ not their own session ──▶ key gone, with its Record, in one write ──▶ shown as "erased by …"
"""

from __future__ import annotations

import json
from typing import Any, Final

from twokeys.errors import InvalidInput, Refused
from twokeys.record import RecordType
from twokeys.segment_files import split_lines, unpack_lines

from ..ports.people import PersonEntry
from ..ports.recordings import Recordings
from ..ports.session_keys import Erasure, SessionKeys
from .notes import note
from .people import refuse_unless_owner

MAX_REASON: Final = 512
"""Longest reason."""


class Erasing:
    """Erases."""

    def __init__(self, keys: SessionKeys, recordings: Recordings) -> None:
        self._keys, self._recordings = keys, recordings

    def erase(self, owner: PersonEntry, session: str, reason: str) -> Erasure:
        """Erase a session's key; again, it says who did it first.

        Raises:
            Refused: for whoever is no owner, and for the owner whose session it was, or its caller's sponsor.
            InvalidInput: without a reason, or when there is no such session or nothing sealed of it says whose it was.
            Unavailable: when a copy may be left: do it again.
        """
        refuse_unless_owner(owner)
        if not reason.strip() or len(reason) > MAX_REASON:
            raise InvalidInput(f"An erasure has a reason, of at most {MAX_REASON} characters.",
                               not_done="Nothing was erased.", code="no_reason")  # fmt: skip
        if self._keys.get(session) is not None:
            self._refuse_own(owner, session)
        by = owner.person.id
        self._keys.erase(session, by, note(RecordType.KEY_ERASED, session=session, person=by, reason=reason))
        erasure = self._keys.erased(session)
        if erasure is None:
            raise InvalidInput("There is no key of such a session.", not_done="Nothing was erased.", code="not_found")
        return erasure

    def _refuse_own(self, owner: PersonEntry, session: str) -> None:
        """Nobody removes what they did themselves from an auditor's sight, alone."""
        who = self._who(session)
        if who is None:
            raise InvalidInput("Nothing that is sealed says whose session it is.", not_done="Nothing was erased.",
                               advice="Try again when it has ended and its edge handed it over.",
                               code="not_sealed")  # fmt: skip
        if any(owner.person.is_same_human(str(who.get(whose, ""))) for whose in ("caller", "sponsor")):
            raise Refused("It is your own session, or that of a caller you sponsor: another owner must erase it.",
                          not_done="Nothing was erased.", code="own_session")  # fmt: skip

    def _who(self, session: str) -> dict[str, Any] | None:
        """A Record of the session that names its caller, as every one of an Edge does."""
        for sealed in self._recordings.segments_of(session):
            for _, line in split_lines(unpack_lines(self._recordings.part("lines", sealed.segment) or b"")):
                record: dict[str, Any] = json.loads(line)
                if record.get("session") == session and record.get("caller"):
                    return record
        return None
