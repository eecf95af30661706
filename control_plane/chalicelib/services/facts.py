"""Requests for people who use the API: what the command-line client shows, and the Command's bytes page by page."""

from __future__ import annotations

from typing import Any, Final

from twokeys.errors import InvalidInput
from twokeys.preview import read_stored, to_bytes
from twokeys.request import State

from ..ports.blobs import Blobs
from ..ports.clock import Clock
from ..ports.people import PersonEntry
from ..ports.records import Records
from ..ports.requests import MAX_LISTED, Requests, Stored
from .eligibility import Bar, Eligibility, Judgement
from .notes import read_by
from .requests import not_found
from .times import iso

MAX_BODY_PAGE_BYTES: Final = 512 * 1024
"""Bytes of a Command in one answer."""


class RequestFacts:
    """Requests as one person may see them."""

    def __init__(
        self, requests: Requests, blobs: Blobs, records: Records, eligibility: Eligibility, clock: Clock
    ) -> None:
        self._requests, self._blobs, self._records = requests, blobs, records
        self._eligibility, self._clock = eligibility, clock

    def listed(self, person: PersonEntry, state: State | None) -> list[dict[str, Any]]:
        """The newest Requests of one state, or of all."""
        found = []
        for stored in self._requests.listed(state, MAX_LISTED):
            judgement = self._eligibility.judge(stored.asked, person)
            if self._eligibility.may_see(person, judgement):
                found.append(self._facts(stored, judgement))
        return found

    def one(self, person: PersonEntry, request_id: str) -> dict[str, Any]:
        """One Request. Raises InvalidInput with code ``not_found``."""
        stored, judgement = self._seen(person, request_id)
        votes = [
            f"{vote.person_id} {'approved' if vote.approve else 'denied'}" + (f": {vote.reason}" if vote.reason else "")
            for vote in stored.votes
        ]
        ended = {"rows": stored.outcome.rows, "sqlstate": stored.outcome.sqlstate}
        return {**self._facts(stored, judgement), "reasons": stored.asked.opened.reasons, "votes": votes, **ended}

    def body(self, person: PersonEntry, request_id: str, offset: int) -> tuple[bytes, int]:
        """A stretch of the whole Command's bytes from an offset, and how many there are. That it is read is recorded.

        Raises:
            InvalidInput: with code ``not_found``; also for an offset past the end.
        """
        stored, _ = self._seen(person, request_id)
        data = self._blobs.get(stored.asked.opened.command_sha256)
        if data is None or offset >= len(data):
            raise InvalidInput("There is nothing of the command there.", not_done="Nothing was shown.",
                               code="not_found")  # fmt: skip
        if offset == 0:
            self._records.append(read_by(stored.asked, person.person.id))
        return data[offset : offset + MAX_BODY_PAGE_BYTES], len(data)

    def preview(self, person: PersonEntry, request_id: str) -> bytes:
        """Canonical JSON of the Preview. That it is read is recorded: it holds values.

        Raises:
            InvalidInput: with code ``not_found``; also when it has none.
        """
        stored, _ = self._seen(person, request_id)
        name = stored.asked.opened.preview_digest
        data = self._blobs.get(name) if name else None
        if data is None:
            raise InvalidInput("There is no preview of it.", not_done="Nothing was shown.", code="not_found")
        self._records.append(read_by(stored.asked, person.person.id))
        return to_bytes(read_stored(data))

    def _seen(self, person: PersonEntry, request_id: str) -> tuple[Stored, Judgement]:
        stored = self._requests.find(request_id)
        if stored is None:
            raise not_found()
        judgement = self._eligibility.judge(stored.asked, person)
        if not self._eligibility.may_see(person, judgement):
            raise not_found()
        return stored, judgement

    def _facts(self, stored: Stored, judgement: Judgement) -> dict[str, Any]:
        asked, opened = stored.asked, stored.asked.opened
        pending = stored.state is State.PENDING
        return {
            "id": opened.id,
            "state": stored.state.value,
            "caller": opened.caller,
            "caller_kind": opened.caller_kind,
            "sponsor": opened.sponsor,
            "client": opened.client,
            "session": opened.session,
            "edge": asked.edge_id,
            "target": opened.target,
            "database": opened.database,
            "kind": opened.kind,
            "effect": asked.effect.word,
            "accesses": opened.accesses,
            "statement": opened.statement,
            "certain": opened.certain,
            "policies": asked.policies,
            "in_transaction": opened.in_transaction,
            "locks": opened.locks,
            "retry": opened.retry and not asked.is_grant,
            "drawn": stored.outcome.drawn,
            "grant": stored.outcome.grant,
            "command_digest": opened.command_digest,
            "fingerprint": opened.fingerprint,
            "types": opened.types,
            "command_sha256": opened.command_sha256,
            "command_bytes": opened.command_bytes,
            "preview_digest": opened.preview_digest,
            "most_rows": opened.most_rows,
            "approvals": asked.approvals,
            "seconds_left": stored.seconds_left(self._clock.now()) if pending else 0,
            "opened_at": iso(asked.opened_at),
            "decided_by": [vote.person_id for vote in stored.votes],
            "reason": stored.outcome.reason,
            "may_decide": pending and judgement.bar is Bar.NONE,
            "why_not": judgement.reason,
        }
