"""What waits is counted, and what goes on without its caller still is."""

from __future__ import annotations

import asyncio

from edge_agent.config import LimitsSection
from edge_agent.holds import Holds

ONE, TWO = ("req_" + letter * 26 for letter in "ab")


def test_a7_requests_left_open_count_until_they_are_over() -> None:
    async def play() -> None:
        holds = Holds(LimitsSection(max_open_per_caller=2, max_open_requests=3))
        for request_id in (ONE, TWO):
            assert holds.take("agent-7")
            holds.leave_or_come_back("agent-7", request_id, 60)
            holds.give("agent-7")
        assert not holds.take("agent-7")
        assert holds.take("ci-deploy")
        holds.leave_or_come_back("agent-7", ONE, 0)
        assert holds.take("agent-7")
        holds.give("agent-7")
        holds.give("ci-deploy")
        holds.come_back(TWO)
        holds.come_back(TWO)
        assert (holds.total, dict(holds.of_caller)) == (0, {})

    asyncio.run(play())


def test_one_that_is_left_again_counts_once_and_ends_by_itself() -> None:
    async def play() -> None:
        holds = Holds(LimitsSection())
        for _ in range(3):
            holds.leave("agent-7", ONE, 0.01)
        assert holds.total == 1
        over = asyncio.Event()
        asyncio.get_running_loop().call_later(0.02, over.set)
        await over.wait()
        assert holds.total == 0

    asyncio.run(play())
