"""Waiting at a queue of the Edge's own, where the control plane has one: the long poll costs it nothing then.

    first poll ──▶ asks where ──no queue──▶ polls the control plane, and asks again after an hour
                              └─queue────▶ receives there; the credentials are renewed in time
    queue fails ──▶ polls the control plane for a minute, then asks where again

What comes from the queue is a hint like any other: ids, nothing that decides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from twokeys.errors import TwokeysError
from twokeys.messages import PollReply, PollRequest, WakeAccess, decode

MAX_HINT_BYTES: Final = 64 * 1024
"""Longest message read from the queue."""

RENEWED_AT: Final = 0.75
"""The part of the credentials' life after which others are asked for."""

FALLBACK_SECONDS: Final = 60.0
"""How long the control plane is polled after the queue failed."""

NO_QUEUE_SECONDS: Final = 3600.0
"""How long a deployment without queues is not asked again."""

MAX_RECEIPTS: Final = 10_000
"""Messages that are kept to be deleted; beyond, the oldest come again."""


@dataclass(frozen=True, slots=True)
class Received:
    """A message: what deletes it, and its body."""

    receipt: str
    body: bytes


class Queue(Protocol):
    """A queue with its credentials; `edge_agent.net.sqs` has it. Every method raises Unavailable or Refused."""

    async def receive(self, seconds: int) -> Sequence[Received]:
        """Wait at most these seconds for messages."""

    async def delete(self, receipts: Sequence[str]) -> None:
        """Messages that need not come again."""


class Asks(Protocol):
    """What is needed of the client of the control plane."""

    async def poll(self, request: PollRequest) -> PollReply:
        """Wait for wake-ups there."""

    async def wake_access(self) -> WakeAccess:
        """Where to wait."""


class QueuePolls:
    """Implements `waker.Polls`: at the queue where there is one, at the control plane otherwise."""

    def __init__(self, client: Asks, open_queue: Callable[[WakeAccess], Queue], clock: Callable[[], float]) -> None:
        """Args: client: of the control plane; open_queue: makes a queue; clock: seconds that never go back."""
        self._client, self._open, self._clock = client, open_queue, clock
        self._queue: Queue | None = None
        self._ask_at = 0.0
        self._receipts: dict[str, list[str]] = {}

    async def poll(self, request: PollRequest) -> PollReply:
        """Wait for wake-ups. Raises what the control plane's poll raises."""
        if self._clock() >= self._ask_at:
            await self._ask()
        if self._queue is not None:
            try:
                return await self._at(self._queue, request)
            except TwokeysError:
                # Whatever moved meanwhile is kept at the control plane as well.
                self._queue, self._ask_at = None, self._clock() + FALLBACK_SECONDS
        return await self._client.poll(request)

    async def _ask(self) -> None:
        try:
            access = await self._client.wake_access()
            self._queue = self._open(access) if access.queue_url else None
        except TwokeysError:
            self._queue, self._ask_at = None, self._clock() + FALLBACK_SECONDS
            return
        known = access.seconds * RENEWED_AT if self._queue is not None else NO_QUEUE_SECONDS
        self._ask_at = self._clock() + known
        self._receipts.clear()

    async def _at(self, queue: Queue, request: PollRequest) -> PollReply:
        done = [receipt for one in request.acknowledge for receipt in self._receipts.pop(one, ())]
        if done:
            await queue.delete(done)
        ids: dict[str, None] = {}
        useless: list[str] = []
        for message in await queue.receive(request.wait_seconds):
            hints = _hints(message.body)
            for one in hints:
                ids[one] = None
                self._receipts.setdefault(one, []).append(message.receipt)
            if not hints:
                useless.append(message.receipt)
        while len(self._receipts) > MAX_RECEIPTS:
            self._receipts.pop(next(iter(self._receipts)))
        if useless:
            await queue.delete(useless)
        return PollReply(wake=list(ids))


def _hints(body: bytes) -> list[str]:
    """The ids in a message; none when it is none of ours, and it is not worth keeping then."""
    try:
        return decode(PollReply, body, MAX_HINT_BYTES).wake
    except TwokeysError:
        return []
