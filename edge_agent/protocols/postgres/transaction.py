"""The client's own transaction as far as the Edge must know it: its mode, its savepoints, the writes done in it.

Rules:
  1. A write's outcome is known at the end of the transaction, or when a savepoint older than it is rolled back to.
  2. Savepoints are found by name, the youngest first, as the server does.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from edge_agent.preview.target import quoted


@dataclass(frozen=True, slots=True)
class Write:
    """A forwarded Command that has succeeded so far.

    Args:
        ticket: Of its Held or Allowed.
        rows: Rows affected, None where nothing was counted.
        xid: Its transaction's id, or empty.
    """

    ticket: int
    rows: int | None = None
    xid: str = ""


@dataclass(slots=True)
class Transaction:
    """A transaction that the client began.

    Args:
        lifted: It may write: each statement that is not approved runs under the guard.
        read_only: The client made it read-only; it stays so.
    """

    lifted: bool
    read_only: bool
    writes: list[Write] = field(default_factory=list)
    savepoints: list[tuple[str, int]] = field(default_factory=list)
    """Name, and how many writes were done before it."""
    xid: str = ""
    """Its id, once a write that policy allowed has been answered."""
    holds: bool = False
    """A read declared a cursor WITH HOLD: its query runs at COMMIT, which is read-only then (attack G2)."""
    unkept: bool = False
    """Records of its writes may not be on disk yet."""

    @property
    def writable(self) -> bool:
        """Whether an approved write can run in it."""
        return self.lifted and not self.read_only

    def save(self, name: str) -> None:
        """SAVEPOINT has succeeded."""
        self.savepoints.append((name, len(self.writes)))

    def release(self, name: str) -> None:
        """RELEASE has succeeded: the savepoint and all younger ones are gone."""
        del self.savepoints[self._find(name) :]

    def roll_back_to(self, name: str) -> list[Write]:
        """ROLLBACK TO has succeeded; returns the writes that it undid."""
        at = self._find(name)
        if at == len(self.savepoints):
            return []
        kept = self.savepoints[at][1]
        undone = self.writes[kept:]
        del self.writes[kept:], self.savepoints[at + 1 :]
        return undone

    def releases(self) -> tuple[bytes, ...]:
        """Statements that leave all savepoints; the youngest of a name is found first."""
        if not self.savepoints:
            return ()
        oldest = self.savepoints[0][0]
        release = b"RELEASE SAVEPOINT " + quoted(oldest).encode()
        return (release,) * sum(name == oldest for name, _ in self.savepoints)

    def _find(self, name: str) -> int:
        for at in range(len(self.savepoints) - 1, -1, -1):
            if self.savepoints[at][0] == name:
                return at
        return len(self.savepoints)
