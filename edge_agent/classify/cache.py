"""Verdicts remembered by the exact bytes of a text, the search path and the catalogue; never by a fingerprint.

Fingerprints of libpg_query are equal for `BEGIN READ ONLY` and `BEGIN READ WRITE`, and for any two bodies of DO.
"""

from __future__ import annotations

from edge_agent.classify.known import Known
from edge_agent.classify.limits import DEFAULT_LIMITS, SqlLimits
from edge_agent.classify.sql import SqlVerdict, classify_sql


class SqlClassifier:
    """`classify_sql` that remembers. Least recently used verdicts go first. Not for several threads at once.

    Args:
        limits: Bounds of a text and of what is remembered.
    """

    __slots__ = ("_bytes", "_limits", "_verdicts")

    def __init__(self, limits: SqlLimits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        self._verdicts: dict[tuple[bytes, tuple[str, ...], int], SqlVerdict] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._verdicts)

    @property
    def remembered_bytes(self) -> int:
        """Bytes of all remembered texts."""
        return self._bytes

    def classify(self, text: bytes, search_path: tuple[str, ...], known: Known | None = None) -> SqlVerdict:
        """As `classify_sql`. Revisions of `known` must be distinct among all that share this classifier, and not 0."""
        key = (text, search_path, known.revision if known is not None else 0)
        # A dict keeps the order of insertion: taken out and put back, the key is the youngest.
        verdict = self._verdicts.pop(key, None)
        if verdict is not None:
            self._verdicts[key] = verdict
            return verdict
        verdict = classify_sql(text, search_path, self._limits, known)
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
