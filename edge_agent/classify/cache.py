"""Verdicts remembered by the exact bytes of a text, the search path and the catalogue; never by a fingerprint.

Fingerprints of libpg_query are equal for `BEGIN READ ONLY` and `BEGIN READ WRITE`, and for any two bodies of DO.
"""

from __future__ import annotations

from typing import Protocol

from edge_agent.classify.known import Known
from edge_agent.classify.limits import DEFAULT_LIMITS, SqlLimits
from edge_agent.classify.shape import Shapes, has_shapes, other_values, skeleton
from edge_agent.classify.sql import SqlVerdict, classify_sql


class Classifier(Protocol):
    """Judges texts by whatever it knows of the database now."""

    def classify(self, text: bytes, search_path: tuple[str, ...]) -> SqlVerdict:
        """As `classify_sql`."""


class SqlClassifier:
    """`classify_sql` that remembers. Least recently used verdicts go first. Not for several threads at once.

    Args:
        limits: Bounds of a text and of what is remembered.
    """

    __slots__ = ("_bytes", "_limits", "_shapes", "_verdicts")

    def __init__(self, limits: SqlLimits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        self._verdicts: dict[tuple[bytes, tuple[str, ...], int], SqlVerdict] = {}
        self._bytes = 0
        self._shapes = Shapes() if has_shapes(limits) else None

    def __len__(self) -> int:
        return len(self._verdicts)

    @property
    def remembered_bytes(self) -> int:
        """Bytes of all remembered texts."""
        return self._bytes

    def classify(self, text: bytes, search_path: tuple[str, ...], known: Known | None = None) -> SqlVerdict:
        """As `classify_sql`. Revisions of `known` must be distinct among all that share this classifier, and not 0."""
        revision = known.revision if known is not None else 0
        key = (text, search_path, revision)
        # A dict keeps the order of insertion: taken out and put back, the key is the youngest.
        verdict = self._verdicts.pop(key, None)
        if verdict is not None:
            self._verdicts[key] = verdict
            return verdict
        bones = skeleton(text) if self._shapes is not None else None
        if self._shapes is not None and bones is not None:
            verdict = self._shapes.find(bones, text, search_path, revision)
            if verdict is not None:
                # Not remembered by its bytes: texts that never come again would drive out those that do.
                return verdict
        verdict = classify_sql(text, search_path, self._limits, known)
        if (
            self._shapes is not None
            and bones is not None
            and verdict.is_read
            and classify_sql(other_values(text), search_path, self._limits, known) == verdict
        ):
            self._shapes.remember(bones, text, search_path, revision, verdict)
        if len(text) <= self._limits.cache_text_bytes:
            self._verdicts[key] = verdict
            self._bytes += len(text)
            self._shrink()
        return verdict

    def _shrink(self) -> None:
        while len(self._verdicts) > self._limits.cache_entries or self._bytes > self._limits.cache_bytes:
            oldest = next(iter(self._verdicts))
            del self._verdicts[oldest]
            self._bytes -= len(oldest[0])
