"""A worker's side of what is the Edge's: it counts at the supervisor's desk, and is woken by the Edge's one long poll.

Everything else a worker has for itself: Bundle, clock, journal, signed calls, uploads. It verifies the Bundle like any
Edge; only the supervisor keeps it on disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from edge_agent.config import LimitsSection
from edge_agent.control.client import POLL_GRACE_SECONDS, ControlClient
from edge_agent.control.identity import StateFolder
from edge_agent.control.waker import Waker
from edge_agent.holds import Holds
from edge_agent.net.local_link import Link
from edge_agent.row_budget import Booking, RowBudgets
from edge_agent.workers import messages as say
from edge_agent.workers.chains import Chain, ChainParts, open_chain
from twokeys.decision import RowBudget
from twokeys.errors import Unavailable
from twokeys.messages import (
    OpenRequest,
    PollReply,
    PollRequest,
    RequestStatus,
    SpendReply,
    SpendRequest,
)
from twokeys.record import ChainHead

ANSWER_SECONDS: Final = 10.0
"""Longest wait for the supervisor's answer; without one the answer is no."""


class Member:
    """One worker's word with its supervisor."""

    def __init__(self, link: Link[say.ToWorker]) -> None:
        self._link = link
        self._numbers = itertools.count(1)
        self._asked: dict[int, asyncio.Future[int]] = {}
        self.polls = ToldPolls()

    def tell(self, message: say.FromWorker) -> None:
        """Tell; nothing is waited for."""
        self._link.say(message)

    async def ask(self, question: Callable[[int], say.FromWorker]) -> int:
        """Ask a question that is given this number. Returns the answer's value, 0 when none comes."""
        return (await self.ask_numbered(question))[1]

    async def ask_numbered(self, question: Callable[[int], say.FromWorker]) -> tuple[int, int]:
        """As `ask`, with the number first."""
        number = next(self._numbers)
        answer = self._asked[number] = asyncio.get_running_loop().create_future()
        self.tell(question(number))
        try:
            return number, await asyncio.wait_for(answer, ANSWER_SECONDS)
        except TimeoutError:
            return number, 0
        finally:
            self._asked.pop(number, None)

    def answered(self, answer: say.Answer) -> None:
        """An answer came."""
        asked = self._asked.get(answer.number)
        if asked is not None and not asked.done():
            asked.set_result(answer.value)


class ToldPolls:
    """Implements `edge_agent.control.waker.Polls` by what the supervisor's long poll brought."""

    def __init__(self) -> None:
        self._moved: dict[str, None] = {}
        self._told = asyncio.Event()
        self._works = True
        self._bundle = 0

    def told(self, message: say.Polled, watched: Callable[[str], bool]) -> None:
        """A long poll ended. Only what is watched here is kept."""
        self._moved.update(dict.fromkeys(filter(watched, message.wake)))
        self._works, self._bundle = message.works, max(self._bundle, message.bundle)
        self._told.set()

    async def poll(self, request: PollRequest) -> PollReply:
        """See Polls; the supervisor acknowledges."""
        with contextlib.suppress(TimeoutError):
            # Ends with the supervisor's own poll, whose time is the same; twice the grace, so that that comes first.
            await asyncio.wait_for(self._told.wait(), request.wait_seconds + 2 * POLL_GRACE_SECONDS)
        if not self._told.is_set() or not self._works:
            self._told.clear()
            raise Unavailable("The edge's long poll does not work.", not_done="Nothing was heard.", code="no_poll")
        self._told.clear()
        moved, self._moved = list(self._moved), {}
        return PollReply(wake=moved, bundle=self._bundle)


class MemberWaker(Waker):
    """A waker whose supervisor knows what is watched."""

    def __init__(self, member: Member, look_seconds: float, bundle: Callable[[int], None]) -> None:
        """Args: as `Waker`, with the member."""
        super().__init__(member.polls, look_seconds, bundle)
        self._member = member

    def watches(self, request_id: str) -> bool:
        """Whether somebody here waits for it."""
        return request_id in self._watched

    def watch(self, request_id: str) -> None:
        """See Waker."""
        known = self.watches(request_id)
        super().watch(request_id)
        if not known:
            self._member.tell(say.Watch(request_id, True))

    def unwatch(self, request_id: str) -> None:
        """See Waker."""
        known = self.watches(request_id)
        super().unwatch(request_id)
        if known and not self.watches(request_id):
            self._member.tell(say.Watch(request_id, False))


class MemberClient(ControlClient):
    """Signed calls whose Requests the supervisor knows as this worker's own before the control plane has them."""

    member: Member

    async def open(self, request: OpenRequest) -> RequestStatus:
        """See ControlClient."""
        await self._heard()
        return await super().open(request)

    async def spend(self, request_id: str, request: SpendRequest) -> tuple[SpendReply, ChainHead]:
        """See ControlClient."""
        await self._heard()
        return await super().spend(request_id, request)

    async def _heard(self) -> None:
        """What was watched is watched. Without the answer an orphan's settling could meet our own Request."""
        if not await self.member.ask(say.Heard):
            raise Unavailable("The edge's supervisor does not answer.", not_done="Nothing was asked for.")


def open_member_chain(parts: ChainParts, number: int, member: Member) -> Chain:
    """A worker's own chain, whose calls the supervisor knows of. Raises as `open_chain`."""
    chain = open_chain(parts, number, MemberClient)
    if isinstance(chain.client, MemberClient):
        chain.client.member = member
    return chain


class MemberFolder(StateFolder):
    """The Edge's files, which the supervisor alone writes."""

    def write(self, name: str, data: bytes) -> None:
        """Leave it as it is: this worker knows it, and the supervisor keeps its own."""


class MemberHolds(Holds):
    """Commands that people are asked about, counted for the whole Edge; what policy allows is counted here."""

    def __init__(self, limits: LimitsSection, member: Member) -> None:
        """Args: limits: of the Edge; member: whom to ask."""
        super().__init__(limits, MemberBudgets(member))
        self._member = member

    async def ask(self, caller: str) -> bool:
        """See Holds."""
        return await self._member.ask(lambda number: say.Ask(number, caller)) > 0

    def answered(self, caller: str) -> None:
        """See Holds."""
        self._member.tell(say.Answered(caller))

    def leave(self, caller: str, request_id: str, seconds: float) -> None:
        """See Holds."""
        self._member.tell(say.Leave(caller, request_id, seconds))

    def come_back(self, request_id: str) -> None:
        """See Holds."""
        self._member.tell(say.Leave("", request_id, 0))


@dataclass(slots=True, eq=False)
class _Numbered(Booking):
    number: int = 0


class MemberBudgets(RowBudgets):
    """Rows that callers may change, counted for the whole Edge."""

    def __init__(self, member: Member) -> None:
        """Args: member: whom to ask."""
        super().__init__(time.monotonic)
        self._member = member

    async def claim(self, caller: str, target: str, budget: RowBudget) -> Booking | None:
        """See RowBudgets."""
        number, rows = await self._member.ask_numbered(
            lambda number: say.Claim(number, caller, target, budget.most, budget.minutes)
        )
        return _Numbered(self.clock(), rows, number) if rows else None

    def settle(self, booking: Booking, rows: int) -> None:
        """See RowBudgets."""
        booking.rows = rows
        if isinstance(booking, _Numbered):
            self._member.tell(say.Settle(booking.number, rows))


def shared_out(limits: LimitsSection, workers: int) -> LimitsSection:
    """What one of so many workers may use of the Edge's limits that are not counted at the desk.

    Connections in all are the supervisor's to count: it accepts them.
    """
    return replace(
        limits,
        max_starting=max(1, limits.max_starting // workers),
        max_starting_per_address=max(1, limits.max_starting_per_address // workers),
        max_copied_bytes=limits.max_copied_bytes // workers,
    )
