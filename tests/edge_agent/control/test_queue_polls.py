"""Waiting at a queue: where to is asked once, credentials are renewed in time, and a queue that fails is left."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from edge_agent.control.queue_polls import FALLBACK_SECONDS, NO_QUEUE_SECONDS, QueuePolls, Received
from twokeys.errors import Refused, TwokeysError, Unavailable
from twokeys.messages import PollReply, PollRequest, WakeAccess

ONE, TWO = "req_" + "a" * 26, "req_" + "b" * 26
THERE = WakeAccess(queue_url="https://queue.example.com/1/wake", seconds=3600)


@dataclass
class World:
    """A control plane, a queue and a clock."""

    access: WakeAccess | TwokeysError = THERE
    messages: list[list[Received] | TwokeysError] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    asked: int = 0
    polled: int = 0
    opened: int = 0
    at: float = 0.0

    async def wake_access(self) -> WakeAccess:
        self.asked += 1
        if isinstance(self.access, TwokeysError):
            raise self.access
        return self.access

    async def poll(self, request: PollRequest) -> PollReply:
        self.polled += 1
        return PollReply(bundle=7)

    async def receive(self, seconds: int) -> Sequence[Received]:
        found = self.messages.pop(0) if self.messages else []
        if isinstance(found, TwokeysError):
            raise found
        return found

    async def delete(self, receipts: Sequence[str]) -> None:
        self.done.extend(receipts)

    def open(self, access: WakeAccess) -> World:
        self.opened += 1
        return self

    def polls(self) -> QueuePolls:
        return QueuePolls(self, self.open, lambda: self.at)


def ask(polls: QueuePolls, *acknowledge: str) -> PollReply:
    return asyncio.run(polls.poll(PollRequest(wait_seconds=20, acknowledge=list(acknowledge))))


def hint(receipt: str, *ids: str) -> Received:
    return Received(receipt, b'{"wake":[' + b",".join(b'"' + one.encode() + b'"' for one in ids) + b"]}")


def test_a_deployment_without_queues_is_polled_and_seldom_asked() -> None:
    world = World(WakeAccess())
    polls = world.polls()
    for _ in range(3):
        assert ask(polls).bundle == 7
    assert (world.asked, world.polled, world.opened) == (1, 3, 0)
    world.at = NO_QUEUE_SECONDS
    ask(polls)
    assert world.asked == 2


def test_messages_are_deleted_when_their_ids_are_acknowledged() -> None:
    world = World(messages=[[hint("r1", ONE), hint("r2", ONE, TWO)], []])
    polls = world.polls()
    assert ask(polls).wake == [ONE, TWO]
    assert world.done == []
    ask(polls, ONE)
    assert world.done == ["r1", "r2"]
    assert world.polled == 0


@pytest.mark.parametrize("body", [b"", b"{", b'{"wake":["x"]}', b'{"approve":true}', b'{"wake":[]}', b"x" * 70_000])
def test_what_is_no_hint_is_thrown_away(body: bytes) -> None:
    world = World(messages=[[Received("r", body)]])
    assert ask(world.polls()).wake == []
    assert world.done == ["r"]


def test_credentials_are_renewed_before_they_end() -> None:
    world = World()
    polls = world.polls()
    for at, opened in ((0, 1), (2699, 1), (2701, 2)):
        world.at = at
        ask(polls)
        assert world.opened == opened


@pytest.mark.parametrize("error", [Unavailable("The queue is away."), Refused("The credentials expired.")])
def test_a_queue_that_fails_is_left_for_a_while(error: TwokeysError) -> None:
    world = World(messages=[error])
    polls = world.polls()
    assert ask(polls).bundle == 7
    ask(polls)
    assert (world.polled, world.opened) == (2, 1)
    world.at = FALLBACK_SECONDS
    ask(polls)
    assert (world.polled, world.opened) == (2, 2)


def test_a_control_plane_that_names_no_queue_is_polled() -> None:
    world = World(Unavailable("STS is away."))
    polls = world.polls()
    assert ask(polls).bundle == 7
    ask(polls)
    assert world.asked == 1
    world.at, world.access = FALLBACK_SECONDS, THERE
    ask(polls)
    assert (world.polled, world.opened) == (2, 1)
