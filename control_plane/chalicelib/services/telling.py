"""When a Request is opened: who may approve it is told, and what they are told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ..ports.clock import Clock
from ..ports.people import People
from ..ports.requests import Stored
from .desk import RequestDesk, access_view
from .notify import Notice, Recipient


class Notifies(Protocol):
    """A Notifier, or one in a thread of its own."""

    def notify(self, notice: Notice, recipients: Sequence[Recipient]) -> object:
        """Tell everybody once. Never raises."""


class Telling:
    """Tells the reviewers of a new Request."""

    def __init__(self, desk: RequestDesk, people: People, clock: Clock, notifier: Notifies) -> None:
        """Args: desk: knows who may approve; people: the registry; clock: for the time left; notifier: sends."""
        self._desk = desk
        self._people = people
        self._clock = clock
        self._notifier = notifier

    def opened(self, stored: Stored) -> list[str]:
        """Tell those who may approve; return their ids, for `RequestStatus.asked`."""
        told = [
            Recipient(one.person.id, one.person.email)
            for one in self._people.persons()
            if self._desk.may_approve(one, stored)
        ]
        self._notifier.notify(notice_of(stored, self._clock.now()), told)
        return [one.person_id for one in told]


def notice_of(stored: Stored, now: int) -> Notice:
    """What may be said of a Request outside of its page: no statement, no reason, no value."""
    opened = stored.asked.opened
    views = [access_view(access, opened.database) for access in opened.accesses]
    return Notice(
        request_id=opened.id,
        requester=opened.caller,
        requester_kind=opened.caller_kind,
        sponsor=opened.sponsor,
        target=opened.target,
        kind=opened.kind,
        objects=tuple(f"{view.effect} {view.label}" for view in views),
        seconds_left=stored.seconds_left(now),
        in_transaction=opened.in_transaction,
    )
