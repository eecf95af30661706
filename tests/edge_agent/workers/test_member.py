"""A worker asks, is woken, and takes no answer for no."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from edge_agent.config import LimitsSection
from edge_agent.net.local_link import Link
from edge_agent.workers import messages as say
from edge_agent.workers.member import Member, MemberHolds, MemberWaker, shared_out
from twokeys.decision import RowBudget
from twokeys.errors import Unavailable
from twokeys.messages import PollRequest

ONE, TWO = ("req_" + letter * 26 for letter in "ab")


@asynccontextmanager
async def seated() -> AsyncIterator[tuple[Member, Link[say.FromWorker]]]:
    """A member, and the supervisor's end of its link."""
    ours, theirs = socket.socketpair()
    member: Link[say.ToWorker] = await Link.over(ours, say.ToWorker)
    supervisor: Link[say.FromWorker] = await Link.over(theirs, say.FromWorker)
    try:
        yield Member(member), supervisor
    finally:
        member.close()
        supervisor.close()


def test_people_are_asked_only_when_the_supervisor_says_yes() -> None:
    async def play(value: int) -> bool:
        async with seated() as (member, supervisor), asyncio.timeout(10):
            holds = MemberHolds(LimitsSection(), member)
            asked = asyncio.create_task(holds.ask("agent-7"))
            match await supervisor.hear():
                case say.Ask(number, "agent-7"):
                    member.answered(say.Answer(number + 1, 1))
                    member.answered(say.Answer(number, value))
            return await asked

    assert asyncio.run(play(1)) is True
    assert asyncio.run(play(0)) is False


def test_a_budget_is_claimed_and_settled_by_its_number() -> None:
    async def play() -> None:
        async with seated() as (member, supervisor), asyncio.timeout(10):
            budgets = MemberHolds(LimitsSection(), member).budgets
            claimed = asyncio.create_task(budgets.claim("agent-7", "db", RowBudget(9, 60)))
            heard = await supervisor.hear()
            assert isinstance(heard, say.Claim)
            assert (heard.caller, heard.target, heard.most, heard.minutes) == ("agent-7", "db", 9, 60)
            member.answered(say.Answer(heard.number, 5))
            booking = await claimed
            assert booking is not None and booking.rows == 5
            budgets.settle(booking, 2)
            assert await supervisor.hear() == say.Settle(heard.number, 2)

    asyncio.run(play())


def test_a_wake_up_of_the_edges_poll_wakes_whom_it_concerns() -> None:
    async def play() -> None:
        async with seated() as (member, supervisor), asyncio.timeout(10):
            waker = MemberWaker(member, 15.0, lambda revision: None)
            running = asyncio.create_task(waker.run())
            waker.watch(ONE)
            waker.watch(ONE)
            assert await supervisor.hear() == say.Watch(ONE, True)
            member.polls.told(say.Polled([TWO]), waker.watches)
            assert await waker.until_moved(ONE, 5)
            assert not await waker.until_moved(ONE, 0.01)
            member.polls.told(say.Polled([TWO, ONE]), waker.watches)
            assert await waker.until_moved(ONE, 5)
            waker.unwatch(ONE)
            waker.unwatch(ONE)
            assert await supervisor.hear() == say.Watch(ONE, False)
            running.cancel()

    asyncio.run(play())


def test_a_poll_that_failed_fails_here_too() -> None:
    async def play() -> None:
        async with seated() as (member, _), asyncio.timeout(10):
            member.polls.told(say.Polled([], works=False), lambda request_id: True)
            with pytest.raises(Unavailable):
                await member.polls.poll(PollRequest(wait_seconds=1, acknowledge=[]))
            member.polls.told(say.Polled([ONE, TWO], bundle=4), lambda request_id: request_id == TWO)
            reply = await member.polls.poll(PollRequest(wait_seconds=1, acknowledge=[]))
            assert (reply.wake, reply.bundle) == ([TWO], 4)

    asyncio.run(play())


def test_what_is_shared_out_is_never_more_than_the_edges() -> None:
    limits = shared_out(LimitsSection(max_starting=5, max_copied_bytes=4096), 2)
    assert (limits.max_starting, limits.max_copied_bytes) == (2, 2048)
