"""What an Edge with several workers counts in one place, and what of it is whose, should a worker die.

Rules:
  1. Limits are the Edge's: a Command that people are asked about, and rows of a budget, are counted here.
  2. What a dead worker held counts no more; what it had reserved of a budget stays booked: it may have been changed.
  3. A Request is a live worker's own from before it is opened; what nobody alive owns is an orphan, to be settled.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from edge_agent.holds import Holds
from edge_agent.row_budget import Booking
from edge_agent.workers import messages as say
from twokeys.decision import RowBudget

MAX_OPENED: Final = 20_000
"""Requests of one worker remembered, as in `edge_agent.control.liaison`."""

MAX_BOOKINGS: Final = 20_000
"""Reservations of one worker that may still be settled; the oldest go, and stay booked as they are."""


@dataclass(slots=True)
class Account:
    """What one worker has."""

    held: Counter[str] = field(default_factory=Counter)
    bookings: dict[int, Booking] = field(default_factory=dict)
    watched: set[str] = field(default_factory=set)
    opened: dict[str, None] = field(default_factory=dict)


class Desk:
    """Counts for all workers."""

    def __init__(self, holds: Holds, watch: Callable[[str], None], unwatch: Callable[[str], None]) -> None:
        """Args: holds: the Edge's counts; watch, unwatch: of the one long poll."""
        self._holds, self._watch, self._unwatch = holds, watch, unwatch
        self._accounts: dict[int, Account] = {}

    def open(self, worker: int) -> None:
        """A worker was started."""
        self._accounts[worker] = Account()

    def close(self, worker: int) -> None:
        """A worker is gone."""
        account = self._accounts.pop(worker, None)
        if account is None:
            return
        for caller, count in account.held.items():
            for _ in range(count):
                self._holds.give(caller)
        for request in account.watched:
            self._unwatch(request)
        for other in self._accounts.values():
            for request in account.opened:
                if request not in other.watched:
                    other.opened.pop(request, None)

    def owned(self, request_id: str) -> bool:
        """Whether a live worker opened this Request, and will see to it."""
        return any(request_id in account.opened for account in self._accounts.values())

    def take(self, worker: int, message: say.FromWorker) -> say.Answer | None:
        """Take note of what a worker says; the answer, where it asked for one."""
        account = self._accounts[worker]
        match message:
            case say.Ask():
                room = self._holds.take(message.caller)
                account.held[message.caller] += room
                return say.Answer(message.number, int(room))
            case say.Answered() if account.held[message.caller] > 0:
                account.held[message.caller] -= 1
                self._holds.give(message.caller)
            case say.Leave():
                self._holds.leave_or_come_back(message.caller, message.request, message.seconds)
            case say.Claim():
                budget = RowBudget(message.most, message.minutes)
                booking = self._holds.budgets.reserve(message.caller, message.target, budget)
                if booking is not None:
                    account.bookings[message.number] = booking
                    if len(account.bookings) > MAX_BOOKINGS:
                        del account.bookings[next(iter(account.bookings))]
                return say.Answer(message.number, booking.rows if booking is not None else 0)
            case say.Settle() if (booking := account.bookings.get(message.number)) is not None:
                self._holds.budgets.settle(booking, message.rows)
                if not message.rows:
                    del account.bookings[message.number]
            case say.Watch():
                self._mind(account, message)
            case say.Heard():
                return say.Answer(message.number, 1)
            case _:
                pass
        return None

    def _mind(self, account: Account, message: say.Watch) -> None:
        request = message.request
        if message.on and request not in account.watched:
            account.watched.add(request)
            account.opened[request] = None
            if len(account.opened) > MAX_OPENED:
                del account.opened[next(iter(account.opened))]
            self._watch(request)
        elif not message.on and request in account.watched:
            account.watched.discard(request)
            self._unwatch(request)
