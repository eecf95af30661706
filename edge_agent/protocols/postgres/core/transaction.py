"""The transaction that a session is in, as far as the core must know it.

lifted      read-write by our doing: every statement but an approved one runs under the guard
hidden      ours, around an approved statement of a client in autocommit
guarded     the guard (a read-only savepoint) is set just now, for the extended messages of a Sync group
"""

from __future__ import annotations

from dataclasses import dataclass, field

from edge_agent.protocols.postgres.core.events import Outcome


@dataclass(slots=True)
class Write:
    """An approved statement that ran, whose fate is the transaction's."""

    hold_id: int
    rows: int | None


@dataclass(slots=True)
class Transaction:
    """One explicit transaction at the server."""

    lifted: bool
    hidden: bool = False
    guarded: bool = False
    writes: list[Write] = field(default_factory=list)
    savepoints: list[tuple[str, int]] = field(default_factory=list)
    ending: bool = False

    def save(self, name: str) -> None:
        """A savepoint was set."""
        self.savepoints.append((name, len(self.writes)))

    def release(self, name: str) -> None:
        """A savepoint was released, and those after it."""
        at = self._find(name)
        if at is not None:
            del self.savepoints[at:]

    def roll_back_to(self, name: str) -> list[Outcome]:
        """Writes after the savepoint are undone."""
        at = self._find(name)
        if at is None:
            return []
        del self.savepoints[at + 1 :]
        undone, self.writes = self.writes[self.savepoints[at][1] :], self.writes[: self.savepoints[at][1]]
        return [
            Outcome(one.hold_id, "failed", reason="the caller rolled back to an earlier savepoint") for one in undone
        ]

    def committed(self) -> list[Outcome]:
        """The server said COMMIT."""
        return [Outcome(one.hold_id, "done", one.rows) for one in self._take()]

    def rolled_back(self, reason: str, sqlstate: str = "") -> list[Outcome]:
        """The server said ROLLBACK, or the commit failed."""
        return [Outcome(one.hold_id, "failed", sqlstate=sqlstate, reason=reason) for one in self._take()]

    def connection_lost(self) -> list[Outcome]:
        """Without an answer to a commit in flight nobody knows; otherwise the server rolls back."""
        if self.ending:
            return [
                Outcome(one.hold_id, "in_doubt", reason="the connection was lost during the commit")
                for one in self._take()
            ]
        return self.rolled_back("the connection ended before the transaction was committed")

    def _take(self) -> list[Write]:
        writes, self.writes = self.writes, []
        return writes

    def _find(self, name: str) -> int | None:
        for at in range(len(self.savepoints) - 1, -1, -1):
            if self.savepoints[at][0] == name:
                return at
        return None
