"""Keeps one target's catalogue: asks for its stamp when callers connect, and loads it when the stamp has moved.

It has a connection of its own, as the same role to the same database, so that no caller's session ever holds a
question of ours that did not end. Callers who connect together wait for one look, which runs beside their own sign-in.

Rules:
  1. What can't be learnt is not known: then calls of users' functions are held, and the second witness does the rest.
     What was known against a name before stays known (`Doubtful`).
  2. A look that began before something moved does not count.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterable
from typing import Final

from edge_agent.catalogue.doubtful import Doubtful
from edge_agent.catalogue.limits import DEFAULT_LIMITS, CatalogueLimits
from edge_agent.catalogue.question import STAMP_SQL, Overfull, load_sql, read_snapshot
from edge_agent.catalogue.rules import Catalogue
from edge_agent.catalogue.snapshot import Reader
from edge_agent.classify.cache import SqlClassifier
from edge_agent.classify.sql import SqlVerdict
from edge_agent.net.postgres_start import READ_BYTES, Door, reach
from edge_agent.net.wire import Wire, WireLost
from edge_agent.protocols.postgres import encode
from edge_agent.protocols.postgres import server_messages as server
from edge_agent.protocols.postgres.framing import Splitter
from edge_agent.protocols.postgres.startup_rules import Authenticated
from twokeys.caller import Caller, CallerKind
from twokeys.errors import TwokeysError

_REVISIONS: Final = itertools.count(1)
"""Of all targets: they share one classifier."""

EAGER_LOOKS: Final = 60
"""Looks, one a second, after something was run that may have moved the catalogue and nothing is seen to have moved: it
stands in a transaction that is not committed yet."""

APPLICATION_NAME: Final = "twokeys catalogue"
"""What administrators see the connection as."""

_NOBODY: Final = Caller("twokeys-catalogue", CallerKind.MACHINE)


class CatalogueKeeper:
    """One target's. Closed by its owner.

    Args:
        door: How to reach the server.
        classifier: Shared by all targets.
        moved: Told whenever verdicts may have changed.
        in_use: Whether anybody is connected.
        limits: Bounds of what is loaded.
    """

    def __init__(
        self, door: Door, classifier: SqlClassifier, moved: Callable[[], None], in_use: Callable[[], bool],
        limits: CatalogueLimits = DEFAULT_LIMITS,
    ) -> None:  # fmt: skip
        self._door, self._classifier, self._moved, self._in_use, self._limits = door, classifier, moved, in_use, limits
        self._readers = readers_of(door.section.readers)
        self._seconds = door.section.catalogue_seconds
        self._wire: Wire | None = None
        self._splitter = Splitter(door.rules.limits.server_table)
        self._unread = b""
        self._look: asyncio.Task[None] | None = None
        self._tick: asyncio.TimerHandle | None = None
        self._asked = 0
        self._eager = 0
        self._stamp = ""
        self.known: Catalogue | Doubtful | None = None
        """What is known now; None: nothing, and never was."""

    def classify(self, text: bytes, search_path: tuple[str, ...]) -> SqlVerdict:
        """Judge a text by what is known now; see `SqlClassifier`."""
        return self._classifier.classify(text, search_path, self.known)

    async def fresh(self) -> None:
        """Wait until the catalogue was looked at, as long as a connection may take; never raises for a failure."""
        if not self._seconds:
            return
        if self._look is None or self._look.done():
            self._look = asyncio.get_running_loop().create_task(self._look_until_still())
        await asyncio.wait({self._look}, timeout=self._door.section.connect_seconds)

    def stale(self) -> None:
        """Something was run that may have moved the catalogue: until it was looked at again nothing more is known of it
        than what spoke against a name."""
        if not self._seconds:
            return
        self._asked += 1
        self._eager = EAGER_LOOKS
        self._enter(self._doubted())
        if self._look is None or self._look.done():
            self._look = asyncio.get_running_loop().create_task(self._look_until_still())

    async def close(self) -> None:
        """Ask no more."""
        self._seconds = 0
        if self._tick is not None:
            self._tick.cancel()
        if self._look is not None:
            self._look.cancel()
            await asyncio.wait({self._look})
        self._hang_up()

    def _doubted(self) -> Doubtful | None:
        """What is left of what is known when it may have moved, or could not be looked at."""
        known = self.known
        return Doubtful(known, next(_REVISIONS)) if isinstance(known, Catalogue) else known

    def _enter(self, known: Catalogue | Doubtful | None) -> None:
        if known is not self.known:
            self.known = known
            self._moved()

    async def _look_until_still(self) -> None:
        while True:
            asked = self._asked
            known: Catalogue | Doubtful | None
            try:
                async with asyncio.timeout(self._door.section.connect_seconds):
                    known = await self._learn()
            except (OSError, TimeoutError, WireLost, TwokeysError, Overfull):
                self._hang_up()
                known = self._doubted()
            if asked == self._asked:
                break
        self._enter(known)
        self._schedule()

    def _schedule(self) -> None:
        if self._tick is not None:
            self._tick.cancel()
        seconds = min(self._seconds, 1) if self._eager else self._seconds
        self._eager = max(0, self._eager - 1)
        self._tick = asyncio.get_running_loop().call_later(seconds, self._again) if seconds else None

    def _again(self) -> None:
        if not self._in_use():
            # Whoever connects next looks first.
            self._hang_up()
        elif self._look is None or self._look.done():
            self._look = asyncio.get_running_loop().create_task(self._look_until_still())

    async def _learn(self) -> Catalogue | None:
        stamp = await self._answer(STAMP_SQL)
        before = self.known
        if isinstance(before, Catalogue) and stamp == [before.snapshot.stamp.encode()]:
            return before
        rows = await self._answer(load_sql(self._limits))
        # Megabytes of JSON: not on the loop, where others wait.
        snapshot = await asyncio.to_thread(read_snapshot, rows, self._limits)
        if snapshot.stamp != self._stamp:
            self._stamp, self._eager = snapshot.stamp, 0
        return Catalogue(snapshot, self._readers, next(_REVISIONS), self._limits)

    async def _answer(self, sql: str) -> list[bytes]:
        """All rows' first values. Raises Overfull when there are too many, or the server says no."""
        wire = await self._connected()
        wire.write(encode.query(sql.encode()))
        rows: list[bytes] = []
        size, data, self._unread = 0, self._unread, b""
        while True:
            for kind, start, end in self._splitter.feed(data):
                if kind == server.DATA_ROW:
                    value = (server.read_data_row(self._splitter.buffer, start, end) or (None,))[0] or b""
                    rows.append(value)
                    size += len(value)
                elif kind == server.ERROR_RESPONSE or size > self._limits.answer_bytes:
                    raise Overfull("the server did not answer what was asked")
                elif kind == server.READY_FOR_QUERY:
                    return rows
            data = await wire.read(READ_BYTES)

    async def _connected(self) -> Wire:
        if self._wire is None or self._wire.lost:
            self._splitter = Splitter(self._door.rules.limits.server_table)
            name = {"application_name": APPLICATION_NAME}
            nobody = Authenticated(_NOBODY, self._door.section.upstream_database, name, 0)
            self._wire, ready = await reach(self._door, nobody)
            self._unread = ready.rest
        return self._wire

    def _hang_up(self) -> None:
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.write(encode.TERMINATE_MESSAGE)
            wire.close()


def readers_of(texts: Iterable[str]) -> tuple[Reader, ...]:
    """Read what the configuration says of functions, each as `schema.name(types) SHA-256`; what isn't so is left out:
    a reader more can only let more pass. `config` has refused it by then."""
    pairs = (text.rpartition(" ") for text in texts)
    return tuple(Reader(name.strip(), digest.lower().removeprefix("sha256:")) for name, _, digest in pairs if name)
