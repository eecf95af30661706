"""A SQL text without literals and comments: what headers of records show to people without clearance.

Every string, number, bit string and dollar-quoted body becomes `?`; what stands between two tokens (white space,
comments) becomes one space. Only what the scanner calls a word, an operator or a parameter is copied.
"""

from __future__ import annotations

from typing import Final

from edge_agent.classify.libpg_query import TOKENS
from edge_agent.classify.limits import DEFAULT_LIMITS, SqlLimits
from edge_agent.classify.names import visible
from edge_agent.classify.parser import Unscannable, scan

_LITERALS: Final = frozenset(TOKENS[name] for name in ("ICONST", "FCONST", "SCONST", "USCONST", "BCONST", "XCONST"))
_COMMENTS: Final = frozenset(TOKENS[name] for name in ("SQL_COMMENT", "C_COMMENT"))

CUT: Final = "…"
"""Stands where a normalised text was cut."""


def normalise(text: bytes, kind: str, limits: SqlLimits = DEFAULT_LIMITS) -> str:
    """`text` without literals and comments, at most `limits.normalised_chars` characters.

    Args:
        text: UTF-8 without NUL.
        kind: What to return when the scanner doesn't accept the text.
    """
    try:
        tokens, more = scan(text, limits.normalised_tokens)
    except Unscannable:
        return kind
    pieces: list[str] = []
    before = size = 0
    for kind_of_token, start, end in tokens:
        if kind_of_token in _COMMENTS:
            continue
        if start > before and pieces:
            pieces.append(" ")
        piece = "?" if kind_of_token in _LITERALS else text[start:end].decode("utf-8", "replace")
        pieces.append(piece)
        size += len(piece)
        before = end
        if size > limits.normalised_chars:
            break
    whole = visible("".join(pieces))
    if len(whole) > limits.normalised_chars or more:
        return whole[: limits.normalised_chars - 1] + CUT
    return whole
