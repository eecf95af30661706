"""Group commit: many waiters, one round; a broken round wakes everybody."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from edge_agent.recorder.sync import GroupCommit, Round
from twokeys.errors import Unavailable
from twokeys.record import ChainHead


class Chain:
    """Something that grows, and counts its syncs."""

    def __init__(self, work: Callable[[], None] = lambda: None) -> None:
        self.sequence = 0
        self.threads: list[str] = []
        self.work = work
        self.commit = GroupCommit(self.begin, self.failed, ChainHead(0, ""), 0.01)

    def begin(self) -> Round:
        def work() -> None:
            self.threads.append(threading.current_thread().name)
            self.work()

        return ChainHead(self.sequence, ""), work

    def failed(self, error: OSError) -> None:
        self.commit.fail(Unavailable(str(error)))

    async def append_durable(self) -> int:
        self.sequence += 1
        self.commit.touched()
        sequence = self.sequence
        await self.commit.wait(sequence)
        assert self.commit.durable.sequence >= sequence
        return sequence


def test_many_who_wait_share_one_fsync() -> None:
    async def play() -> None:
        chain = Chain()
        assert sorted(await asyncio.gather(*(chain.append_durable() for _ in range(500)))) == list(range(1, 501))
        assert len(chain.threads) <= 2
        assert all(name.startswith("journal-fsync") for name in chain.threads), "never on the loop's thread"
        await chain.commit.stop()

    asyncio.run(play())


def test_who_comes_while_a_round_runs_waits_for_the_next() -> None:
    async def play() -> None:
        gate = threading.Event()

        def gated() -> None:
            gate.wait(10)

        chain = Chain(gated)
        first = asyncio.create_task(chain.append_durable())
        await asyncio.sleep(0)
        second = asyncio.create_task(chain.append_durable())
        await asyncio.sleep(0)
        assert not first.done() and not second.done()
        gate.set()
        await asyncio.gather(first, second)
        assert len(chain.threads) == 2
        await chain.commit.stop()

    asyncio.run(play())


def test_what_nobody_waits_for_is_synced_soon_also_when_it_came_during_a_round() -> None:
    async def play() -> None:
        loop, synced, gate = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

        def work() -> None:
            loop.call_soon_threadsafe(synced.set)
            gate.wait(10)

        chain = Chain(work)
        began = loop.time()
        chain.sequence = 1
        chain.commit.touched()
        await asyncio.wait_for(synced.wait(), 5)
        assert loop.time() - began < 0.5
        synced.clear()
        chain.sequence = 2
        chain.commit.touched()
        gate.set()
        await asyncio.wait_for(synced.wait(), 5)
        await chain.commit.stop()
        assert chain.commit.durable.sequence == 2 and len(chain.threads) == 2

    asyncio.run(play())


def test_a_failed_fsync_wakes_everybody_with_a_refusal_for_ever() -> None:
    def broken() -> None:
        raise OSError(5, "Input/output error")

    async def play() -> None:
        chain = Chain(broken)
        answers = await asyncio.gather(*(chain.append_durable() for _ in range(10)), return_exceptions=True)
        assert all(isinstance(answer, Unavailable) for answer in answers)
        chain.work = lambda: None
        with pytest.raises(Unavailable):
            await chain.append_durable()
        assert len(chain.threads) == 1, "what failed once is not tried again: the kernel may have dropped the pages"
        await chain.commit.stop()

    asyncio.run(play())


def test_a_waiter_that_is_cancelled_keeps_nobody_else_waiting() -> None:
    async def play() -> None:
        chain = Chain()
        tasks = [asyncio.create_task(chain.append_durable()) for _ in range(3)]
        await asyncio.sleep(0)
        tasks[1].cancel()
        assert await tasks[0] == 1 and await tasks[2] == 3
        await chain.commit.stop()

    asyncio.run(play())
