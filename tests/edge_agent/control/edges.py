"""An enrolled Edge for tests, speaking to a FakeControl over a real socket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from edge_agent.control.client import ControlClient, Deadlines
from edge_agent.control.clock import ControlClock, Machine, SavedTime
from edge_agent.control.enrolment import enrol
from edge_agent.control.identity import StateFolder
from edge_agent.net.http import ControlHttp
from edge_agent.secret import Secret
from tests.edge_agent.control.fake_control import TOKEN, FakeControl, serving
from tests.edge_agent.recorder.journals import EDGE, NOW
from twokeys.record import ChainHead, genesis


@dataclass
class Clocks:
    """The machine's clocks, set by hand; milliseconds."""

    elapsed: int = 1_000_000
    wall: int = NOW
    boot: str = "boot-1"

    def machine(self) -> Machine:
        return Machine(lambda: self.elapsed, lambda: self.wall, self.boot)

    def pass_seconds(self, seconds: float) -> None:
        self.elapsed += int(seconds * 1000)
        self.wall += int(seconds * 1000)


@dataclass
class TestEdge:
    """Everything of one enrolled Edge."""

    __test__ = False
    fake: FakeControl
    folder: StateFolder
    http: ControlHttp
    clocks: Clocks
    clock: ControlClock
    client: ControlClient


@asynccontextmanager
async def edge_with(
    folder: Path,
    fake: FakeControl | None = None,
    *,
    seconds: float = 5.0,
    head: Callable[[], ChainHead] = lambda: genesis(EDGE),
) -> AsyncIterator[TestEdge]:
    async with serving(fake or FakeControl()) as there:
        state = StateFolder(folder)
        http = ControlHttp(there.url, None, 2.0)
        try:
            if state.state() is None:
                await enrol(state, http, Secret(TOKEN))
            clocks = Clocks()
            clock = ControlClock(clocks.machine(), SavedTime())
            client = ControlClient(state.identity(), http, clock, head, Deadlines(seconds, seconds))
            yield TestEdge(there, state, http, clocks, clock, client)
        finally:
            await http.close()
