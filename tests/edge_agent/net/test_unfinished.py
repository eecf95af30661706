"""The clock of a message that was begun; the time is a loop's that the test moves."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edge_agent.net.unfinished import BYTES_A_SECOND, Unfinished


@dataclass
class Half:
    """A session's word."""

    owed: int = 0
    owed_bytes: int = 3


class Scene:
    """One clock on a loop whose time jumps to the next timer."""

    def __init__(self) -> None:
        self.half, self.late, self.read_since = Half(), 0, 0.0
        self.paused = False
        self.clock = Unfinished(self.half, 60, lambda: None if self.paused else self.read_since, self._late)

    def _late(self) -> None:
        self.late += 1

    def begin(self, number: int) -> None:
        self.half.owed = number
        self.clock.look()


def played(script: Callable[[Scene, Callable[[float], Any]], Any]) -> Scene:
    """Run a script; its second argument lets so many seconds pass."""
    loop = asyncio.new_event_loop()
    now = 1000.0
    loop.time = lambda: now  # type: ignore[method-assign]
    timers: list[asyncio.TimerHandle] = loop._scheduled  # type: ignore[attr-defined]

    async def passing(seconds: float) -> None:
        nonlocal now
        end = now + seconds
        while timers and timers[0].when() <= end:
            now = timers[0].when()
            due = heapq.heappop(timers)
            due._scheduled = False  # type: ignore[attr-defined]
            if not due.cancelled():
                due._run()
        now = end

    async def run() -> Scene:
        scene = Scene()
        await script(scene, passing)
        return scene

    try:
        return loop.run_until_complete(run())
    finally:
        loop.close()


def test_three_bytes_and_silence_are_late_once() -> None:
    async def script(scene: Scene, passing: Callable[[float], Any]) -> None:
        scene.begin(1)
        await passing(59)
        assert scene.late == 0
        await passing(600)

    assert played(script).late == 1


def test_a_byte_each_second_is_late_all_the_same() -> None:
    async def script(scene: Scene, passing: Callable[[float], Any]) -> None:
        for at in range(70):
            scene.half.owed_bytes = at
            scene.begin(1)
            await passing(1)

    assert played(script).late == 1


def test_messages_that_keep_flowing_are_never_late() -> None:
    async def script(scene: Scene, passing: Callable[[float], Any]) -> None:
        for number in range(1, 1000):
            scene.begin(number)
            await passing(7)

    assert played(script).late == 0


def test_a_large_message_has_a_second_more_for_each_64_kib() -> None:
    async def script(scene: Scene, passing: Callable[[float], Any]) -> None:
        scene.half.owed_bytes = 100 * BYTES_A_SECOND
        scene.begin(1)
        await passing(159)
        assert scene.late == 0
        await passing(2)

    assert played(script).late == 1


def test_time_in_which_nothing_is_read_does_not_count() -> None:
    async def script(scene: Scene, passing: Callable[[float], Any]) -> None:
        scene.begin(1)
        scene.paused = True
        await passing(3000)
        scene.paused, scene.read_since = False, asyncio.get_running_loop().time()
        await passing(59)
        assert scene.late == 0
        await passing(120)

    assert played(script).late == 1


def test_a_message_that_came_is_forgotten_and_the_next_has_its_own_time() -> None:
    async def script(scene: Scene, passing: Callable[[float], Any]) -> None:
        scene.begin(1)
        await passing(50)
        scene.begin(0)
        await passing(5)
        scene.begin(2)
        await passing(59)
        assert scene.late == 0
        await passing(2)
        assert scene.late == 1

    assert played(script).late == 1


def test_after_the_end_nothing_is_late() -> None:
    async def script(scene: Scene, passing: Callable[[float], Any]) -> None:
        scene.begin(1)
        scene.clock.stop()
        await passing(600)

    assert played(script).late == 0
