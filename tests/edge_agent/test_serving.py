"""What a supervisor says reaches the listener it is meant for, and its end is the worker's."""

from __future__ import annotations

import asyncio
import socket
from typing import cast

from edge_agent.net.local_link import Link
from edge_agent.net.postgres_listener import Listener
from edge_agent.protocols.postgres.messages import CancelRequest
from edge_agent.serving import Seat, Seated, take_seat
from edge_agent.workers import messages as say
from edge_agent.workers.member import MemberWaker


class Listening:
    """Notes what a listener is told."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def cancel(self, request: CancelRequest) -> bool:
        self.told.append(request)
        return True

    def tables_moved(self) -> None:
        self.told.append("moved")

    async def close(self, reason: str) -> None:
        self.told.append(reason)


BEGIN = say.Begin("", "edge.toml", "/", [b"d" * 32])


async def seat_of(supervisor: socket.socket, worker: socket.socket) -> tuple[Seat, Link[say.FromWorker]]:
    other, door = socket.socketpair()
    other.close()
    link: Link[say.FromWorker] = await Link.over(supervisor, say.FromWorker)
    link.say(BEGIN)
    return await take_seat(1, worker, door), link


def test_cancels_moves_and_bundles_reach_whom_they_concern() -> None:
    async def play() -> None:
        seat, link = await seat_of(*socket.socketpair())
        one, two = Listening(), Listening()
        revisions: list[int] = []
        waker = MemberWaker(seat.member, 15.0, lambda revision: None)
        listeners = cast("dict[str, Listener]", {"one": one, "two": two})
        seated = Seated(seat, listeners, waker, revisions.append)
        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            await seated.open(group, lambda text: None)
            assert await link.hear() == say.Ready()
            for message in (say.Moved("two"), say.Cancel("one", 7, b"key4"), say.Newer(5), say.Stop("over")):
                link.say(message)
            await seat.stop.wait()
            await seated.close("over")
        assert one.told == [CancelRequest(7, b"key4"), "over"]
        assert two.told == ["moved", "over"]
        assert revisions == [5]
        seat.leave()
        link.close()

    asyncio.run(play())


def test_what_one_worker_tells_the_others_names_its_target() -> None:
    async def play() -> None:
        seat, link = await seat_of(*socket.socketpair())
        async with asyncio.timeout(10):
            seat.elsewhere().cancel("db", CancelRequest(7, b"k" * 32))
            seat.elsewhere().moved("db")
            assert await link.hear() == say.Cancel("db", 7, b"k" * 32)
            assert await link.hear() == say.Moved("db")
        seat.leave()
        link.close()

    asyncio.run(play())


def test_a_worker_ends_when_its_supervisor_is_gone() -> None:
    async def play() -> None:
        seat, link = await seat_of(*socket.socketpair())
        waker = MemberWaker(seat.member, 15.0, lambda revision: None)
        seated = Seated(seat, {}, waker, lambda revision: None)
        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            await seated.open(group, lambda text: None)
            link.close()
            await seat.stop.wait()
            await seated.close("over")
        seat.leave()

    asyncio.run(play())
