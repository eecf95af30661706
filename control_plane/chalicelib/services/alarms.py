"""Records of refused calls and votes, and alarms: each kind at a limited rate, so that nobody who knocks fills the
chain."""

from __future__ import annotations

import threading
from typing import Final

from twokeys.errors import TwokeysError
from twokeys.record import RecordType

from ..ports.clock import Clock
from ..ports.records import Records
from ..ports.requests import Asked
from .notes import about, note

BURST: Final = 10
"""Records of one kind at once."""

REFILL_MILLISECONDS: Final = 10_000
"""After which one more may be written."""

MAX_NAME: Final = 128


class Alarms:
    """Writes them. What is left out is counted, and told with the next."""

    def __init__(self, records: Records, clock: Clock) -> None:
        self._records, self._clock = records, clock
        self._lock = threading.Lock()
        self._left: dict[str, tuple[float, int]] = {}
        self._untold: dict[str, int] = {}

    def refused(self, error: TwokeysError, claimed: str) -> None:
        """A call was refused before anybody was known; `claimed` is who it said it was."""
        alarm = error.code == "chain_fork"
        kind = RecordType.ALARM if alarm else RecordType.REFUSED
        untold = self._take(error.code)
        if untold is None:
            return
        more = f" ({untold} more like it before.)" if untold else ""
        who = "".join(character for character in claimed[:MAX_NAME] if character.isprintable())
        self._records.append(note(kind, outcome=error.code, reason=f"{error.happened} It said it was {who}.{more}"))

    def excluded(self, asked: Asked, person_id: str, reason: str) -> None:
        """Somebody tried to decide who must not: the requester, its sponsor, an editor of the rules."""
        untold = self._take(f"excluded {person_id}")
        if untold is None:
            return
        more = f" ({untold} more like it before.)" if untold else ""
        self._records.append(
            about(RecordType.REFUSED, asked, person=person_id, outcome="excluded", reason=f"{reason}{more}")
        )

    def _take(self, code: str) -> int | None:
        now = self._clock.now()
        with self._lock:
            left, at = self._left.get(code, (float(BURST), now))
            left = min(float(BURST), left + (now - at) / REFILL_MILLISECONDS)
            if left < 1:
                self._left[code] = (left, now)
                self._untold[code] = self._untold.get(code, 0) + 1
                return None
            self._left[code] = (left - 1, now)
            return self._untold.pop(code, 0)
