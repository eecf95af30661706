"""Group commit: one fsync in a worker thread for all records that wait, and one soon after any that don't.

append ──▶ touched ──(delay)──▶ sync round ──▶ durable head moves ──▶ waiters wake
synced(n) ─────────(at once)──▶    ▲  while a round runs, later waiters gather for the next
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from twokeys.errors import Unavailable
from twokeys.record import ChainHead

Round = tuple[ChainHead, Callable[[], None]]
"""What one round makes durable, and the blocking work that does it."""


class GroupCommit:
    """Runs sync rounds one at a time. Used on one event loop."""

    def __init__(
        self, begin: Callable[[], Round], failed: Callable[[OSError], None], durable: ChainHead, delay: float
    ) -> None:
        """Build.

        Args:
            begin: Called on the loop at the start of each round.
            failed: Told when a round's work raised; nothing is synced after that.
            durable: The head that is on disk already.
            delay: Seconds that a record waits at most before its background round begins.
        """
        self._begin, self._failed, self._delay = begin, failed, delay
        self.durable = durable
        self._worker = ThreadPoolExecutor(1, "journal-fsync")
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._round: asyncio.Future[None] | None = None
        self._error: Unavailable | None = None
        self._untouched = True

    def touched(self) -> None:
        """Something was appended: see to a round within the delay. Without a running loop nothing is planned."""
        self._untouched = False
        if self._timer is None and self._round is None:
            try:
                loop = asyncio.get_running_loop()
            except RuntimeError:
                return
            self._timer = loop.call_later(self._delay, self._start)

    async def wait(self, sequence: int) -> None:
        """Return when the record is on disk. Raises Unavailable when it can't be any more."""
        if self._error:
            raise self._error
        if sequence <= self.durable.sequence:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append((sequence, future))
        if self._round is None:
            self._start()
        await future

    def fail(self, error: Unavailable) -> None:
        """Nothing can be promised any more: everybody who waits is told, now and later."""
        self._error = self._error or error
        waiters, self._waiters = self._waiters, []
        for _, future in waiters:
            if not future.done():
                future.set_exception(self._error)

    async def stop(self) -> None:
        """Wait for a running round, and end the worker."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._round is not None:
            await asyncio.wait([self._round])
        self._worker.shutdown(wait=False)

    def _start(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._error or self._round is not None:
            return
        self._untouched = True
        head, work = self._begin()
        self._round = asyncio.get_running_loop().run_in_executor(self._worker, work)
        self._round.add_done_callback(lambda done: self._ended(head, done))

    def _ended(self, head: ChainHead, done: asyncio.Future[None]) -> None:
        self._round = None
        error = None if done.cancelled() else done.exception()
        if done.cancelled() or error is not None:
            self._failed(error if isinstance(error, OSError) else OSError(f"the sync ended early: {error}"))
            return
        self.durable = head
        still: list[tuple[int, asyncio.Future[None]]] = []
        for sequence, future in self._waiters:
            if sequence > head.sequence:
                still.append((sequence, future))
            elif not future.done():
                future.set_result(None)
        self._waiters = still
        if still:
            self._start()
        elif not self._untouched:
            self.touched()
