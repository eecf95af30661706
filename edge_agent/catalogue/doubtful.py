"""A catalogue that may have moved: what spoke against a name still does, what spoke for it counts no more.

Between DDL that was let through and the next look at the catalogue nothing is known; to forget what was known to write
would open a moment in which less is held than before.
"""

from __future__ import annotations

from edge_agent.classify.known import Known, Reading

Path = tuple[str, ...]


class Doubtful:
    """Implements `Known`.

    Args:
        before: What was known.
        revision: Its own.
    """

    def __init__(self, before: Known, revision: int) -> None:
        self._before, self._revision = before, revision

    @property
    def revision(self) -> int:
        """See Known."""
        return self._revision

    def everywhere(self, path: Path) -> str:
        """See Known."""
        return self._before.everywhere(path)

    def call(self, schema: str, name: str, path: Path) -> Reading | None:
        """See Known."""
        return _against(self._before.call(schema, name, path))

    def field(self, name: str, path: Path) -> Reading | None:
        """See Known: it adds to what a text reads, and proves nothing."""
        return self._before.field(name, path)

    def operator(self, schema: str, name: str, path: Path) -> Reading | None:
        """See Known."""
        return _against(self._before.operator(schema, name, path))

    def type(self, schema: str, name: str, path: Path) -> Reading | None:
        """See Known."""
        return _against(self._before.type(schema, name, path))

    def relation(self, schema: str, name: str, path: Path) -> str:
        """See Known."""
        return self._before.relation(schema, name, path)


def _against(reading: Reading | None) -> Reading | None:
    return None if reading is None or reading.proven else reading
