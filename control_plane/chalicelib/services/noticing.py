"""Tells whoever may decide that a Request waits, by whatever `notify` delivers with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from twokeys.record import RecordType

from ..ports.people import People
from ..ports.records import Records
from ..ports.requests import Stored
from .eligibility import Bar, Eligibility
from .notes import note
from .notify import Failure, Notice, Recipient

MAX_ASKED: Final = 50
"""Most people told of one Request."""

Deliver = Callable[[Notice, Sequence[Recipient]], object]
"""Takes a Notice to people; never raises, never waits."""


class Noticing:
    """Finds the recipients."""

    def __init__(self, people: People, eligibility: Eligibility, deliver: Deliver) -> None:
        self._people, self._eligibility, self._deliver = people, eligibility, deliver

    def opened(self, stored: Stored) -> None:
        """Tell of a new Request."""
        asked, opened = stored.asked, stored.asked.opened
        recipients = []
        for entry in self._people.persons():
            if len(recipients) >= MAX_ASKED:
                break
            if entry.person.email and self._eligibility.judge(asked, entry).bar is Bar.NONE:
                recipients.append(Recipient(entry.person.id, entry.person.email))
        objects = []
        for access in opened.accesses:
            effect, _, rest = access.partition(":")
            objects.append(f"{effect} {rest.partition(':')[2] or opened.database}")
        notice = Notice(
            request_id=opened.id,
            requester=opened.caller,
            requester_kind=opened.caller_kind,
            sponsor=opened.sponsor,
            target=opened.target,
            kind=opened.kind,
            objects=tuple(objects),
            seconds_left=opened.hold_seconds,
            in_transaction=opened.in_transaction,
        )
        self._deliver(notice, recipients)


def failed(records: Records, failure: Failure) -> None:
    """Record that somebody could not be told."""
    records.append(
        note(RecordType.NOTICE_FAILED, request=failure.request_id, person=failure.recipient,
             reason=f"{failure.channel}: {failure.problem}"[:512])  # fmt: skip
    )
