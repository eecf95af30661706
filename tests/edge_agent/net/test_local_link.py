"""Messages and connections between two processes of one Edge."""

from __future__ import annotations

import asyncio
import socket
import struct

import pytest

from edge_agent.net import local_link
from edge_agent.net.local_link import Doorway, Link, LinkLost, pass_on
from edge_agent.workers import messages as say


def test_messages_arrive_whole_and_in_order_and_the_end_is_told() -> None:
    async def play() -> None:
        ours, theirs = socket.socketpair()
        one: Link[say.FromWorker] = await Link.over(ours, say.FromWorker)
        two: Link[say.ToWorker] = await Link.over(theirs, say.ToWorker)
        sent = [say.Polled(["req_" + "a" * 26] * 5000), say.Cancel("db", 7, b"\x00\xff" * 16), say.Stop("over")]
        for message in sent:
            one.say(message)
        assert [await two.hear() for _ in sent] == sent
        one.close()
        with pytest.raises(LinkLost):
            await two.hear()
        two.say(say.Ready())
        two.close()

    asyncio.run(play())


@pytest.mark.parametrize(
    "data",
    [b"\xff\xff\xff\xff", struct.pack("!I", 2) + b"{}", struct.pack("!I", 16) + b'{"type":"Ready"}', b"\x00"],
)
def test_what_is_no_message_for_this_end_ends_the_link(data: bytes) -> None:
    async def play() -> None:
        ours, theirs = socket.socketpair()
        link: Link[say.ToWorker] = await Link.over(ours, say.ToWorker)
        with theirs:
            theirs.sendall(data)
            theirs.shutdown(socket.SHUT_WR)
            with pytest.raises(LinkLost):
                await link.hear()
        link.close()

    asyncio.run(play())


def test_one_that_reads_nothing_is_given_up() -> None:
    async def play() -> None:
        ours, theirs = socket.socketpair()
        link: Link[say.ToWorker] = await Link.over(ours, say.ToWorker)
        with theirs:
            for _ in range(local_link.MAX_UNREAD_BYTES // 60_000 + 10):
                link.say(say.Stop("x" * 60_000))
            with pytest.raises(LinkLost):
                await link.hear()
        link.close()

    asyncio.run(play())


def test_connections_arrive_each_with_its_number() -> None:
    async def play() -> None:
        door, theirs = socket.socketpair()
        for one in (door, theirs):
            one.setblocking(False)
        arrived: asyncio.Queue[tuple[int, int, socket.socket]] = asyncio.Queue()
        doorway = Doorway(theirs, lambda *what: arrived.put_nowait(what))
        pairs = [socket.socketpair() for _ in range(100)]
        for number, (near, _) in enumerate(pairs):
            assert pass_on(door, near, number, number % 3)
            near.close()
        for number, (_, far) in enumerate(pairs):
            found, target, connection = await asyncio.wait_for(arrived.get(), 10)
            assert (found, target) == (number, number % 3)
            assert not connection.get_inheritable() and not connection.getblocking()
            with connection, far:
                far.send(bytes((number,)))
                assert connection.recv(1) == bytes((number,))
        doorway.close()
        doorway.close()
        with socket.socket() as other:
            assert not pass_on(door, other, 1, 1)
        door.close()

    asyncio.run(play())


def test_bytes_without_a_connection_close_the_doorway() -> None:
    async def play() -> None:
        door, theirs = socket.socketpair()
        theirs.setblocking(False)
        doorway = Doorway(theirs, lambda *what: pytest.fail("nothing arrived"))
        door.sendall(b"\x00" * 8)
        await asyncio.get_running_loop().sock_recv(_nonblocking(door), 1)
        assert theirs.fileno() == -1
        doorway.close()
        door.close()

    asyncio.run(play())


def _nonblocking(one: socket.socket) -> socket.socket:
    one.setblocking(False)
    return one
