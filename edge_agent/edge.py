"""One Edge's life, or that of one process of it: what runs beside its sessions, and how it ends in order."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field

from edge_agent.config import EdgeConfig
from edge_agent.control.bundle import BundleKeeper
from edge_agent.control.client import ControlClient
from edge_agent.control.clock import ControlClock
from edge_agent.control.liaison import Liaison, settle_orphans
from edge_agent.control.waker import Waker
from edge_agent.directory import BundleDirectory
from edge_agent.gate import Gate, Standing
from edge_agent.log import log
from edge_agent.net.http import ControlHttp
from edge_agent.net.postgres_settle import outcome_of
from edge_agent.net.postgres_start import Door
from edge_agent.recorder.journal import Journal
from edge_agent.recorder.uploader import Uploader
from edge_agent.serving import Serving
from edge_agent.workers.chains import Chain
from edge_agent.workers.desk import Desk
from twokeys.errors import TwokeysError
from twokeys.messages import OpenItem

STANDING_SECONDS = 1.0
"""How often the Edge looks how far it may act: Bundle age, disk."""

FAREWELL_SECONDS = 5.0
"""How long an orderly end waits until outcomes are told."""

IN_PROGRESS_SECONDS = 10
"""How long the server may take to notice that a worker's connection is gone, before a write of it is in doubt."""

SETTLE_SECONDS = 30.0
"""Pause between two tries to settle what an earlier process left."""


@dataclass(slots=True)
class Edge:
    """One running Edge."""

    config: EdgeConfig
    edge_id: str
    gate: Gate
    clock: ControlClock
    journal: Journal
    client: ControlClient
    http: ControlHttp
    keeper: BundleKeeper
    waker: Waker
    liaison: Liaison
    uploader: Uploader
    doors: dict[str, Door]
    directories: dict[str, BundleDirectory]
    serving: Serving
    desk: Desk | None
    orphaned: asyncio.Event
    is_worker: bool
    left: list[Chain]
    opened: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, stop: asyncio.Event, say: Callable[[str], None]) -> None:
        """Run until `stop` is set or the journal ends.

        Raises:
            TwokeysError: when it can't go on; sessions have ended by then.
        """
        try:
            await self._work(stop, say)
        finally:
            self.keeper.save_time()
            failure = self.journal.failure
            for chain in self.left:
                await chain.journal.close()
            await self.journal.close()
            await self.http.close()
        if failure is not None:
            raise failure

    async def _work(self, stop: asyncio.Event, say: Callable[[str], None]) -> None:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work) for work in (
                self.liaison.run(), self.waker.run(), self.uploader.run(), self._stand(stop),
                *([] if self.is_worker else [self._settle()]),
                *(chain.uploader.run() for chain in self.left),
            )]  # fmt: skip
            try:
                await self._first_bundle()
                tasks.append(group.create_task(self.keeper.run(self.client, self.config.control.bundle_seconds)))
                await self._open(group, stop, say)
                await stop.wait()
            finally:
                await self.serving.close("the edge is being stopped")
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.liaison.told(), FAREWELL_SECONDS)
                for task in tasks:
                    task.cancel()

    async def _open(self, group: asyncio.TaskGroup, stop: asyncio.Event, say: Callable[[str], None]) -> None:
        """Begin to serve, unless told to stop before. Raises what `Serving.open` does."""
        opening, stopping = asyncio.ensure_future(self.serving.open(group, say)), asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait((opening, stopping), return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            if not opening.done():
                opening.cancel()
        if not opening.cancelled() and opening.done():
            opening.result()
            self.opened.set()

    async def _first_bundle(self) -> None:
        """Pull once before anybody connects; without a control plane the saved Bundle serves reads."""
        try:
            await self.keeper.pull(self.client)
        except TwokeysError as error:
            log("bundle_not_pulled", reason=error.happened)
        self._look()

    async def _stand(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            self._look()
            if self.journal.failure is not None:
                log("journal_failed", reason=self.journal.failure.happened)
                stop.set()
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), STANDING_SECONDS)

    def _look(self) -> None:
        standing = self.keeper.standing()
        if not standing.writes_denied and self.journal.low_disk:
            standing = Standing("The edge's disk is nearly full, so writes could not be recorded.")
        self.gate.stand(standing)

    async def _settle(self) -> None:
        """Withdraw or settle what an earlier process of this Edge left unfinished; again while doubts remain.

        A supervisor does so whenever a worker has died; a worker never does: it can't know what is another's own.
        """
        if self.desk is not None:
            # Until then workers of an Edge that was killed may still be ending what is theirs.
            await self.opened.wait()
        while True:
            seconds: float | None = SETTLE_SECONDS
            self.orphaned.clear()
            try:
                owned = self.liaison.opened if self.desk is None else self.desk.owned
                if not await settle_orphans(self.client, self._outcome, owned):
                    if self.desk is None:
                        return
                    seconds = None
            except TwokeysError as error:
                log("not_settled_yet", reason=error.happened)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.orphaned.wait(), seconds)

    async def _outcome(self, item: OpenItem) -> str:
        door, word = self.doors.get(item.target), "in_doubt"
        if door is None or not item.xid:
            return word
        # Of a worker that died just now the server may not know yet that it is gone.
        for _ in range(IN_PROGRESS_SECONDS if self.desk is not None else 1):
            word = await outcome_of(door, item.xid, max(0, self.clock.now() - item.opened_at) // 1000)
            if word != "in_doubt" or self.desk is None:
                break
            await asyncio.sleep(1)
        return word
