"""Waking: one poll for all, nothing polled while nothing is held, and looking by oneself while polling fails."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from edge_agent.control.waker import MAX_ACKNOWLEDGED, Waker
from twokeys.errors import Unavailable
from twokeys.messages import PollReply, PollRequest

ONE, TWO = "req_" + "a" * 26, "req_" + "b" * 26


@dataclass
class Polls:
    """Answers from a queue; an exception is raised."""

    answers: asyncio.Queue[PollReply | Exception] = field(default_factory=asyncio.Queue)
    asked: list[PollRequest] = field(default_factory=list)
    polled: asyncio.Event = field(default_factory=asyncio.Event)

    async def poll(self, request: PollRequest) -> PollReply:
        self.asked.append(request)
        self.polled.set()
        answer = await self.answers.get()
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def next_poll(self) -> PollRequest:
        await asyncio.wait_for(self.polled.wait(), 5)
        self.polled.clear()
        return self.asked[-1]


def away() -> Unavailable:
    return Unavailable("The control plane can't be reached.")


def test_nothing_is_polled_while_nothing_is_held_and_each_wakes_its_own() -> None:
    async def play() -> None:
        polls, seen = Polls(), list[int]()
        waker = Waker(polls, 60.0, seen.append, 20)
        task = asyncio.create_task(waker.run())
        for _ in range(5):
            await asyncio.sleep(0)
        assert polls.asked == []
        waker.watch(ONE)
        waker.watch(TWO)
        await polls.next_poll()
        polls.answers.put_nowait(PollReply())
        await polls.next_poll()
        # The first answered poll wakes all once: what moved before it may have been acknowledged by a lost one.
        assert await waker.until_moved(ONE, 1) and await waker.until_moved(TWO, 1)
        first, second = (asyncio.create_task(waker.until_moved(one, 0.2)) for one in (ONE, TWO))
        polls.answers.put_nowait(PollReply(wake=[TWO, "req_" + "z" * 26], bundle=7))
        assert await second and not await first
        assert seen == [7]
        assert sorted((await polls.next_poll()).acknowledge) == [TWO, "req_" + "z" * 26]
        waker.unwatch(ONE)
        waker.unwatch(TWO)
        waker.unwatch(TWO)
        polls.answers.put_nowait(PollReply())
        for _ in range(5):
            await asyncio.sleep(0)
        assert len(polls.asked) == 3
        assert await waker.until_moved(ONE, 1), "not watched counts as moved"
        task.cancel()

    asyncio.run(play())


def test_what_was_not_answered_is_acknowledged_again() -> None:
    async def play() -> None:
        polls = Polls()
        waker = Waker(polls, 60.0)
        waker.watch(ONE)
        task = asyncio.create_task(waker.run())
        await polls.next_poll()
        polls.answers.put_nowait(PollReply(wake=[ONE]))
        assert (await polls.next_poll()).acknowledge == [ONE]
        polls.answers.put_nowait(away())
        assert (await polls.next_poll()).acknowledge == [ONE]
        polls.answers.put_nowait(PollReply())
        assert (await polls.next_poll()).acknowledge == []
        task.cancel()

    asyncio.run(play())


def test_while_polling_fails_each_request_is_looked_at_by_itself() -> None:
    async def play() -> None:
        polls = Polls()
        waker = Waker(polls, 0.05)
        waker.watch(ONE)
        task = asyncio.create_task(waker.run())
        await polls.next_poll()
        polls.answers.put_nowait(away())
        began = asyncio.get_running_loop().time()
        assert await waker.until_moved(ONE, 10)
        assert await waker.until_moved(ONE, 10)
        assert asyncio.get_running_loop().time() - began < 5
        assert not waker.works
        task.cancel()

    asyncio.run(play())


def test_a_wake_up_that_comes_before_the_wait_is_not_lost() -> None:
    async def play() -> None:
        polls = Polls()
        waker = Waker(polls, 60.0)
        waker.watch(ONE)
        task = asyncio.create_task(waker.run())
        await polls.next_poll()
        polls.answers.put_nowait(PollReply(wake=[ONE]))
        await polls.next_poll()
        assert await waker.until_moved(ONE, 0.0)
        assert not await waker.until_moved(ONE, 0.01)
        task.cancel()

    asyncio.run(play())


def test_a_flood_of_wake_ups_is_bounded() -> None:
    async def play() -> None:
        polls = Polls()
        waker = Waker(polls, 60.0)
        waker.watch(ONE)
        task = asyncio.create_task(waker.run())
        for number in range(3):
            await polls.next_poll()
            polls.answers.put_nowait(PollReply(wake=[f"req_{number}{at}" for at in range(MAX_ACKNOWLEDGED + 5)]))
        assert len((await polls.next_poll()).acknowledge) <= MAX_ACKNOWLEDGED
        task.cancel()

    asyncio.run(play())
