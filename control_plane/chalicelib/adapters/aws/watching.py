"""Whether Edges still call: a note of the last call of each, written seldom, and counted by the reconciler.

signed call ──admit──▶ EDGE#<edge> / SEEN {at}, at most every `SEEN_SECONDS`     reconcile ──▶ how many are silent
"""

from __future__ import annotations

from typing import Final

from twokeys.edge_call import EdgeCall
from twokeys.errors import TwokeysError
from twokeys.record import ChainHead

from ...ports.clock import Clock
from ...ports.edges import Edges
from .edges import DynamoEdges
from .table import Key, Put, Table

SEEN_SECONDS: Final = 600
"""How exactly the last call is noted, by each process: a write for every call would cost as much as the call."""

SILENT_SECONDS: Final = 1800
"""After which an Edge counts as silent; three times `SEEN_SECONDS`, since a process may come and go."""

LOOKED_SECONDS: Final = 300
"""How long a count is good for."""


class WatchedEdges(DynamoEdges):
    """The Edges' store, which notes who called."""

    def __init__(self, table: Table, clock: Clock) -> None:
        """Args: as `DynamoEdges`."""
        super().__init__(table, clock)
        self._seen_table, self._seen_clock = table, clock
        self._noted: dict[str, int] = {}

    def admit(self, call: EdgeCall, forget_nonces_before: int) -> ChainHead:
        head = super().admit(call, forget_nonces_before)
        now = self._seen_clock.now()
        if now - self._noted.get(call.edge_id, 0) >= SEEN_SECONDS * 1000:
            self._noted[call.edge_id] = now
            try:
                self._seen_table.write(Put({"pk": f"EDGE#{call.edge_id}", "sk": "SEEN", "at": now}))
            except TwokeysError:
                # The call is good. An Edge that is not noted for long is looked after: that errs to the safe side.
                return head
        return head


class SilentEdges:
    """Counts them."""

    def __init__(self, edges: Edges, table: Table, clock: Clock) -> None:
        """Args: edges: who is enrolled; table: where calls are noted; clock: the table's."""
        self._edges, self._table, self._clock = edges, table, clock
        self._count, self._looked_at = 0, -(10**15)

    def count(self) -> int:
        """How many enrolled Edges have not called for `SILENT_SECONDS`, or never. Raises Unavailable."""
        now = self._clock.now()
        if now - self._looked_at >= LOOKED_SECONDS * 1000:
            self._count = sum(self._is_silent(one.edge_id, now) for one in self._edges.edges())
            self._looked_at = now
        return self._count

    def _is_silent(self, edge_id: str, now: int) -> bool:
        item = self._table.get(Key(f"EDGE#{edge_id}", "SEEN"))
        return item is None or now - int(item["at"]) >= SILENT_SECONDS * 1000
