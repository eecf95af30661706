"""The supervisor: has the ports, hands each connection to a worker, starts again what died, and ends them all.

A worker that dies takes its own sessions with it. It comes back after a pause that doubles while it keeps dying; what
it left unfinished is settled as after a crash of the Edge.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from edge_agent.config import EdgeConfig
from edge_agent.control.waker import Polls
from edge_agent.net.accept import Acceptor
from edge_agent.net.local_link import Link, LinkLost, pass_on
from edge_agent.protocols.postgres import sqlstate
from edge_agent.workers import messages as say
from edge_agent.workers.desk import Desk
from twokeys.errors import TwokeysError, Unavailable
from twokeys.messages import PollReply, PollRequest

FIRST_PAUSE_SECONDS: Final = 0.2
LONGEST_PAUSE_SECONDS: Final = 30.0
"""Before a worker is started again the pause doubles from the first to this one, while it lives less than that."""

END_SECONDS: Final = 20.0
"""How long workers may take to end in order; then they are killed."""

STUCK_SECONDS: Final = 10.0
"""After this long without taking a connection a worker is stuck, and killed."""

LAST_SECONDS: Final = 2.0
"""How long a worker may live on after its link has ended."""


@dataclass(slots=True)
class Worker:
    """A process with sessions.

    Args:
        number: From 1.
        process: The process.
        link: Messages.
        door: Where connections go through.
        connections: Those it has, by number; each with our copy of the socket until it has taken its own.
        untaken: When each of those that it has not taken was passed on (loop's seconds), oldest first.
    """

    number: int
    process: Process
    link: Link[say.FromWorker]
    door: socket.socket
    ready: bool = False
    connections: dict[int, socket.socket | None] = field(default_factory=dict)
    untaken: dict[int, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SupervisorParts:
    """What the supervisor works with; the runtime wires it.

    Args:
        config: Of the Edge.
        begin: The first word to each worker.
        desk: What is counted for all of them.
        refused: Told of each connection that is not taken: code, target, peer.
        orphaned: Told when a worker died: what it left is to be settled.
        log: Tells what happened.
    """

    config: EdgeConfig
    begin: say.Begin
    desk: Desk
    refused: Callable[[str, str, str], None]
    orphaned: Callable[[], None]
    log: Callable[..., None]


class SharedPolls:
    """The Edge's one long poll, of which every worker hears how it ended."""

    def __init__(self, polls: Polls, tell: Callable[[say.Polled], None]) -> None:
        """Args: polls: the poll itself; tell: tells all workers."""
        self._polls, self._tell = polls, tell

    async def poll(self, request: PollRequest) -> PollReply:
        """See Polls."""
        try:
            reply = await self._polls.poll(request)
        except TwokeysError:
            self._tell(say.Polled([], works=False))
            raise
        self._tell(say.Polled(reply.wake, reply.bundle))
        return reply


class Supervisor:
    """Implements `edge_agent.serving.Serving` with several processes."""

    def __init__(self, parts: SupervisorParts) -> None:
        self._parts = parts
        self._workers: dict[int, Worker] = {}
        self._numbers = itertools.count(1)
        self._tasks: list[asyncio.Task[None]] = []
        self._acceptors: list[Acceptor] = []
        self._starting: dict[int, asyncio.Future[None]] = {}
        self._stopping = asyncio.Event()

    async def open(self, group: asyncio.TaskGroup, tell: Callable[[str], None]) -> None:
        """Start all workers, then accept. Raises Unavailable when one does not start, or a port can't be had."""
        loop = asyncio.get_running_loop()
        config = self._parts.config
        for number in range(1, config.edge.workers + 1):
            self._starting[number] = loop.create_future()
            self._tasks.append(group.create_task(self._keep(number)))
        await asyncio.gather(*self._starting.values())
        for at, section in enumerate(config.postgres):
            acceptor = Acceptor(partial(self._dispatch, at))
            try:
                port = await acceptor.open(section.listen_host, section.listen_port)
            except OSError as error:
                raise Unavailable(
                    f"{section.listen_host}:{section.listen_port} can't be listened on ({error.strerror}).",
                    not_done="The edge was not started.",
                    advice="Choose another listen_port.",
                ) from error
            self._acceptors.append(acceptor)
            tell(f"listening on {section.listen_host}:{port} for {section.target}")

    async def close(self, reason: str) -> None:
        """Accept nobody any more and end all workers, with all their sessions."""
        self._stopping.set()
        for acceptor in self._acceptors:
            acceptor.close()
        self.tell_all(say.Stop(reason))
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=END_SECONDS)
            for worker in tuple(self._workers.values()) if late else ():
                with contextlib.suppress(ProcessLookupError):
                    worker.process.kill()
            for task in late:
                task.cancel()

    def tell_all(self, message: say.ToWorker, but: int = 0) -> None:
        """Tell every worker, except one."""
        for worker in self._workers.values():
            if worker.number != but:
                worker.link.say(message)

    def _dispatch(self, target: int, connection: socket.socket) -> None:
        """Hand a connection to the worker with the fewest."""
        limits = self._parts.config.limits
        with contextlib.ExitStack() as closing:
            closing.enter_context(connection)
            able = [worker for worker in self._workers.values() if worker.ready and not self._is_stuck(worker)]
            count = sum(len(worker.connections) for worker in self._workers.values())
            if count >= limits.max_connections:
                return self._refuse(target, connection, "too_many_connections")
            if not able:
                return self._refuse(target, connection, "no_worker")
            # One that has yet to take what it was passed may be stuck: another comes first.
            worker = min(able, key=lambda one: (bool(one.untaken), len(one.connections), one.number))
            number = next(self._numbers) % 2**32
            if not pass_on(worker.door, connection, number, target):
                return self._refuse(target, connection, "no_worker")
            # Kept until the worker says that it has its own: not every system keeps what is under way.
            worker.connections[number] = connection
            worker.untaken[number] = asyncio.get_running_loop().time()
            closing.pop_all()
        return None

    def _is_stuck(self, worker: Worker) -> bool:
        """Whether it took no connection for too long: nobody is handed to it, and another takes its place."""
        if not worker.untaken:
            return False
        if asyncio.get_running_loop().time() - next(iter(worker.untaken.values())) < STUCK_SECONDS:
            return False
        worker.ready = False
        self._parts.log("worker_stuck", worker=worker.number)
        with contextlib.suppress(ProcessLookupError):
            worker.process.kill()
        return True

    def _refuse(self, target: int, connection: socket.socket, code: str) -> None:
        if code == "too_many_connections":
            state, error = "53300", Unavailable("This edge has too many connections.", not_done="No session was begun.",
                                                advice="Close some, or try again soon.")  # fmt: skip
        else:
            state, error = (
                sqlstate.CANNOT_CONNECT_NOW,
                Unavailable(
                    "This edge is starting its workers.", not_done="No session was begun.", advice="Try again soon."
                ),
            )
        with contextlib.suppress(OSError):
            peer = ":".join(map(str, connection.getpeername()[:2]))
            self._parts.refused(code, self._parts.config.postgres[target].target, peer)
            connection.send(sqlstate.fatal(state, error))

    async def _keep(self, number: int) -> None:
        """Start a worker, again whenever it has ended, until all are to end."""
        loop, pause = asyncio.get_running_loop(), FIRST_PAUSE_SECONDS
        while not self._stopping.is_set():
            began = loop.time()
            worker = await self._start(number)
            status = await self._attend(worker)
            if self._stopping.is_set():
                return
            starting = self._starting[number]
            if not starting.done():
                starting.set_exception(
                    Unavailable(f"Worker {number} did not start; it said why.", not_done="The edge was not started.")
                )
                return
            self._parts.log("worker_ended", worker=number, status=status)
            self._parts.orphaned()
            pause = FIRST_PAUSE_SECONDS if loop.time() - began > LONGEST_PAUSE_SECONDS else pause
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    async def _start(self, number: int) -> Worker:
        ours, theirs = socket.socketpair()
        door, their_door = socket.socketpair()
        with theirs, their_door:
            command = ("worker", "--number", number, "--link", theirs.fileno(), "--door", their_door.fileno())
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "edge_agent", *map(str, command), stdin=DEVNULL, stdout=DEVNULL,
                pass_fds=(theirs.fileno(), their_door.fileno()),
            )  # fmt: skip
        ours.setblocking(False)
        door.setblocking(False)
        link: Link[say.FromWorker] = await Link.over(ours, say.FromWorker)
        worker = self._workers[number] = Worker(number, process, link, door)
        self._parts.desk.open(number)
        link.say(self._parts.begin)
        if self._stopping.is_set():
            link.say(say.Stop("the edge is being stopped"))
        return worker

    async def _attend(self, worker: Worker) -> int:
        """Listen to a worker until it is gone; returns its exit status."""
        try:
            while True:
                self._hear(worker, await worker.link.hear())
        except LinkLost:
            pass
        finally:
            del self._workers[worker.number]
            self._parts.desk.close(worker.number)
            worker.link.close()
            worker.door.close()
            for connection in worker.connections.values():
                if connection is not None:
                    connection.close()
            await _ended(worker.process)
        return worker.process.returncode or 0

    def _hear(self, worker: Worker, message: say.FromWorker) -> None:
        match message:
            case say.Ready():
                worker.ready = True
                if not self._starting[worker.number].done():
                    self._starting[worker.number].set_result(None)
            case say.Taken() if (copy := worker.connections.get(message.connection)) is not None:
                copy.close()
                worker.connections[message.connection] = None
                worker.untaken.pop(message.connection, None)
            case say.Over():
                copy = worker.connections.pop(message.connection, None)
                if copy is not None:
                    copy.close()
            case say.Cancel() | say.Moved():
                self.tell_all(message, but=worker.number)
            case _:
                answer = self._parts.desk.take(worker.number, message)
                if answer is not None:
                    worker.link.say(answer)


async def _ended(process: Process) -> None:
    """A process that closed its link ends now, or is killed: nobody knows what it does."""
    try:
        await asyncio.wait_for(process.wait(), LAST_SECONDS)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
