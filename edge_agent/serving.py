"""Who has the sessions of an Edge: this process, several of it, or, in one of several, this one for its supervisor."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from edge_agent.config import PostgresSection
from edge_agent.net.local_link import Doorway, Link, LinkLost
from edge_agent.net.postgres_listener import Elsewhere, Listener
from edge_agent.protocols.postgres.messages import CancelRequest
from edge_agent.workers import messages as say
from edge_agent.workers.member import Member, MemberWaker
from twokeys.errors import Unavailable


class Serving(Protocol):
    """Callers are served from `open` to `close`."""

    async def open(self, group: asyncio.TaskGroup, tell: Callable[[str], None]) -> None:
        """Begin, with tasks in this group, and tell where. Raises TwokeysError."""

    async def close(self, reason: str) -> None:
        """Serve nobody any more; return when all sessions are recorded."""


@dataclass(slots=True)
class Alone:
    """One process has the ports and the sessions."""

    sections: tuple[PostgresSection, ...]
    listeners: dict[str, Listener]

    async def open(self, group: asyncio.TaskGroup, tell: Callable[[str], None]) -> None:
        """See Serving."""
        for section in self.sections:
            port = await self.listeners[section.target].open()
            tell(f"listening on {section.listen_host}:{port} for {section.target}")

    async def close(self, reason: str) -> None:
        """See Serving."""
        for listener in self.listeners.values():
            await listener.close(reason)


class Seat:
    """Of a worker: its number, its link, and what it does with what the supervisor says."""

    def __init__(self, number: int, link: Link[say.ToWorker], door: socket.socket, begin: say.Begin) -> None:
        """Args: number: from 1; link, door: to the supervisor; begin: the first word that came."""
        self.number, self.begin = number, begin
        self.stop = asyncio.Event()
        self.member = Member(link)
        self.link, self.door = link, door

    def elsewhere(self) -> Elsewhere:
        """The Edge's other processes, as a listener tells them."""

        def cancel(target: str, request: CancelRequest) -> None:
            self.member.tell(say.Cancel(target, request.pid, request.key))

        return Elsewhere(cancel, lambda target: self.member.tell(say.Moved(target)))

    def leave(self) -> None:
        """The last word was said: the supervisor sees the link's end."""
        self.link.close()
        self.door.close()


class Seated:
    """A worker has the sessions of the connections that its supervisor hands it."""

    def __init__(
        self, seat: Seat, listeners: dict[str, Listener], waker: MemberWaker, newer: Callable[[int], None]
    ) -> None:
        """Args: listeners: by target, in the configuration's order; newer: told of a Bundle."""
        self._seat, self._listeners, self._waker, self._newer = seat, listeners, waker, newer
        self._doorway: Doorway | None = None
        self._listening: asyncio.Task[None] | None = None

    async def open(self, group: asyncio.TaskGroup, tell: Callable[[str], None]) -> None:
        """See Serving. Only the supervisor is told."""
        self._doorway = Doorway(self._seat.door, self._arrived)
        self._listening = group.create_task(self._listen())
        self._seat.member.tell(say.Ready())

    async def close(self, reason: str) -> None:
        """See Serving. Answers of the supervisor are heard until the last session has ended."""
        if self._doorway is not None:
            self._doorway.close()
        for listener in self._listeners.values():
            await listener.close(reason)
        if self._listening is not None:
            self._listening.cancel()

    def _arrived(self, number: int, target: int, connection: socket.socket) -> None:
        member = self._seat.member
        member.tell(say.Taken(number))
        tuple(self._listeners.values())[target].adopt(connection, lambda: member.tell(say.Over(number)))

    async def _listen(self) -> None:
        while True:
            try:
                message = await self._seat.link.hear()
            except LinkLost:
                self._seat.stop.set()
                return
            self._hear(message)

    def _hear(self, message: say.ToWorker) -> None:
        member = self._seat.member
        match message:
            case say.Answer():
                member.answered(message)
            case say.Polled():
                member.polls.told(message, self._waker.watches)
            case say.Newer():
                self._newer(message.revision)
            case say.Cancel():
                self._listeners[message.target].cancel(CancelRequest(message.pid, message.key))
            case say.Moved():
                self._listeners[message.target].tables_moved()
            case say.Stop():
                self._seat.stop.set()
            case say.Begin():
                # It was said once.
                self._seat.stop.set()


async def take_seat(number: int, connected: socket.socket, door: socket.socket) -> Seat:
    """Become a worker: wait for the supervisor's first word.

    Args:
        number: Of this worker, from 1.
        connected: This end of the link.
        door: This end of what connections come through.

    Raises:
        Unavailable: when no supervisor is there.
    """
    for one in (connected, door):
        one.setblocking(False)
        one.set_inheritable(False)
    link: Link[say.ToWorker] = await Link.over(connected, say.ToWorker)
    try:
        begin = await link.hear()
    except LinkLost:
        begin = None
    if not isinstance(begin, say.Begin):
        raise Unavailable("No edge started this worker.", not_done="It does nothing.", code="no_supervisor")
    return Seat(number, link, door, begin)
