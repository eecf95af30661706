"""Every size of a SQL text that a client controls, with its name."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

from twokeys.errors import InvalidInput

RESERVED_PREFIX: Final = "_tk"
"""Savepoints, prepared statements and cursors of this prefix are the Edge's own; clients may not name them."""


@dataclass(frozen=True, slots=True)
class SqlLimits:
    """How much SQL is looked at; what is larger is refused, never cut.

    Args:
        text_bytes: Longest text. 1 MiB costs about 15 ms to parse and 0.3 s to walk.
        statements: Most statements in one text.
        unscanned_bytes: A text up to this length is parsed at once: it can't be deep enough to harm the parser.
        tokens: Most tokens of a longer text; each may cost 700 bytes of memory while the text is judged.
        chain_tokens: Most tokens that may hang together in a longer text (see `depth`); 65 bytes of stack each.
        tree_nodes: Most nodes of the parser's tree.
        objects: Most objects that one text may touch; the policy is asked about each.
        normalised_chars: Longest normalised text, in characters; the rest is cut and marked.
        normalised_tokens: Most tokens that are looked at for the normalised text.
        reasons: Most reasons told to a reviewer.
        folded_bytes: Largest string that nested `repeat`, `lpad` and `rpad` may build while the server plans.
        cache_entries: Verdicts remembered.
        cache_bytes: Bytes of text remembered, all verdicts together.
        cache_text_bytes: A longer text is judged anew each time.
    """

    text_bytes: int = 1024 * 1024
    statements: int = 1000
    unscanned_bytes: int = 16 * 1024
    tokens: int = 200_000
    chain_tokens: int = 16_000
    tree_nodes: int = 250_000
    objects: int = 500
    normalised_chars: int = 4096
    normalised_tokens: int = 4096
    reasons: int = 12
    folded_bytes: int = 64 * 1024 * 1024
    cache_entries: int = 4096
    cache_bytes: int = 16 * 1024 * 1024
    cache_text_bytes: int = 64 * 1024

    def __post_init__(self) -> None:
        for limit in fields(self):
            if getattr(self, limit.name) < 1:
                raise InvalidInput(f"The limit {limit.name} must be positive.", not_done="The limits were not set.")


DEFAULT_LIMITS: Final = SqlLimits()
