"""Waking: one long poll for all held Commands, running only while anything is held.

    watch(id) ──▶ Event          poll ──▶ ids that moved ──▶ their Events; acknowledged with the next poll
                                  └─ fails ──▶ backoff; meanwhile each request is looked at by itself, jittered

A wake-up is only a hint: who is woken asks where its Request stands. Ids nobody watches are acknowledged all the same:
their holds are over.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from twokeys.errors import TwokeysError
from twokeys.messages import MAX_POLL_SECONDS, PollReply, PollRequest

MAX_ACKNOWLEDGED: Final = 10_000
"""Ids acknowledged with one poll, as the wire permits; the rest waits for the next."""

FIRST_PAUSE_SECONDS: Final = 0.5
LONGEST_PAUSE_SECONDS: Final = 15.0
"""Between failed polls the pause doubles from the first to this one."""


class Polls(Protocol):
    """What the waker needs of the client."""

    async def poll(self, request: PollRequest) -> PollReply:
        """Wait for wake-ups."""


@dataclass(slots=True)
class _Watch:
    """One watched Request: its wake-up, and when to look without one (loop's seconds)."""

    event: asyncio.Event
    next_look: float
    waiters: int = 1


class Waker:
    """Dispatches wake-ups. `run` is one task for the Edge's life."""

    def __init__(
        self,
        client: Polls,
        look_seconds: float,
        bundle: Callable[[int], None] = lambda revision: None,
        wait_seconds: int = MAX_POLL_SECONDS,
    ) -> None:
        """Build.

        Args:
            client: Where to poll.
            look_seconds: How often each watched Request counts as moved while polling does not work.
            bundle: Told the Bundle revision that a poll mentions.
            wait_seconds: How long one poll waits.
        """
        self._client, self._look, self._bundle, self._wait = client, look_seconds, bundle, wait_seconds
        self._watched: dict[str, _Watch] = {}
        self._any = asyncio.Event()
        self._acknowledge: dict[str, None] = {}
        self.works = False
        """Whether the last poll was answered."""

    def watch(self, request_id: str) -> None:
        """Take note of wake-ups for this Request from now on: before it is opened, so that none is missed.

        Several connections may wait for one retry grant: each unwatches once.
        """
        known = self._watched.get(request_id)
        if known is not None:
            known.waiters += 1
            return
        self._watched[request_id] = _Watch(asyncio.Event(), self._next_look())
        self._any.set()

    def unwatch(self, request_id: str) -> None:
        """Forget about this Request; harmless when it is not watched."""
        known = self._watched.get(request_id)
        if known is not None:
            known.waiters -= 1
            # Whoever waits as well must look too: a wake-up is taken by one of them.
            known.event.set()
            if not known.waiters:
                del self._watched[request_id]
        if not self._watched:
            self._any.clear()

    async def until_moved(self, request_id: str, seconds: float) -> bool:
        """Wait at most these seconds; True when a Request may have moved.

        While polling does not work, True comes about every `look_seconds` by itself: the caller then looks. A Request
        that is not watched counts as moved.
        """
        watch = self._watched.get(request_id)
        if watch is None:
            return True
        clock = asyncio.get_running_loop().time
        until = seconds if self.works else min(seconds, max(0.0, watch.next_look - clock()))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(watch.event.wait(), until)
        moved = watch.event.is_set() or (not self.works and clock() >= watch.next_look)
        if moved:
            watch.event.clear()
            watch.next_look = self._next_look()
        return moved

    def _next_look(self) -> float:
        return asyncio.get_running_loop().time() + self._look * random.uniform(0.7, 1.3)  # noqa: S311 - jitter

    async def run(self) -> None:
        """Poll while anything is watched; for ever."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            if not self._watched:
                self.works = False
                await self._any.wait()
            try:
                reply = await self._poll()
            except TwokeysError:
                self.works = False
                await asyncio.sleep(pause * random.uniform(0.7, 1.3))  # noqa: S311 - jitter, no secret
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
                continue
            pause = FIRST_PAUSE_SECONDS
            if not self.works:
                # What moved before the first answered poll may have been acknowledged by a lost one.
                self._wake(*self._watched)
            self.works = True
            self._dispatch(reply)

    async def _poll(self) -> PollReply:
        taken = list(self._acknowledge)[:MAX_ACKNOWLEDGED]
        reply = await self._client.poll(PollRequest(wait_seconds=self._wait, acknowledge=taken))
        for one in taken:
            self._acknowledge.pop(one, None)
        return reply

    def _dispatch(self, reply: PollReply) -> None:
        self._wake(*reply.wake)
        for one in reply.wake[:MAX_ACKNOWLEDGED]:
            self._acknowledge[one] = None
        while len(self._acknowledge) > MAX_ACKNOWLEDGED:
            self._acknowledge.pop(next(iter(self._acknowledge)))
        if reply.bundle:
            self._bundle(reply.bundle)

    def _wake(self, *ids: str) -> None:
        for one in ids:
            watch = self._watched.get(one)
            if watch is not None:
                watch.event.set()
