"""How deep a text's tree can be at most, told from its tokens: the guard before a parser that has no guard itself.

libpg_query writes its tree as JSON by recursion in C, without looking at the stack: 80,000 terms of `1+1+…` (160 KB)
end the process, and with it everybody's session (shown with the library in postgast 0.2.0, 8 MiB of stack). A level
costs at most 129 bytes of stack and two tokens. What nests to the right is bounded by the parser's own stack (10,000
entries, then "memory exhausted"); chains to the left are not: operators, casts, joins, set operations.
"""

from __future__ import annotations

from typing import Final

from edge_agent.classify.libpg_query import TOKENS
from edge_agent.classify.limits import SqlLimits
from edge_agent.classify.parser import Token, Unparsable, Unscannable, scan

_OPEN: Final = frozenset((TOKENS["ASCII_40"], TOKENS["ASCII_91"]))
_CLOSE: Final = frozenset((TOKENS["ASCII_41"], TOKENS["ASCII_93"]))
_COMMA: Final = TOKENS["ASCII_44"]
_SEMICOLON: Final = TOKENS["ASCII_59"]
_SET_OPERATIONS: Final = frozenset((TOKENS["UNION"], TOKENS["INTERSECT"], TOKENS["EXCEPT"]))


def check_depth(text: bytes, limits: SqlLimits) -> None:
    """Make sure that `text` can be parsed without harm. Short texts can't be deep and cost nothing here.

    Raises:
        Unparsable: It is, or may be, too deep or too long.
    """
    if len(text) <= limits.unscanned_bytes:
        return
    try:
        tokens, more = scan(text, limits.tokens)
    except Unscannable as error:
        raise Unparsable(0, too_complex=False) from error
    if more or chain_bound(tokens) > limits.chain_tokens:
        raise Unparsable(0, too_complex=True)


def chain_bound(tokens: list[Token]) -> int:
    """An upper bound of the tree's depth, counted in tokens.

    What commas part stands side by side in a list, and lists don't deepen a tree; but set operations chain whole
    lists (`SELECT a, b UNION SELECT a, b`), so they count across commas.
    """
    best = run = inner = unions = 0
    outer: list[tuple[int, int, int, int]] = []
    for kind, _, _ in tokens:
        if kind == _COMMA:
            best = max(best, run + inner)
            run = inner = 0
        elif kind in _OPEN:
            outer.append((best, run + 2, inner, unions))
            best = run = inner = unions = 0
        elif kind in _CLOSE and outer:
            within = max(best, run + inner) + 2 * unions
            best, run, inner, unions = outer.pop()
            inner = max(inner, within)
        elif kind == _SEMICOLON and not outer:
            best = max(best, run + inner) + 2 * unions
            run = inner = unions = 0
        else:
            run += 1
            unions += kind in _SET_OPERATIONS
    bound = max(best, run + inner) + 2 * unions
    # Never closed: a syntax error, but count it all the same.
    return bound + sum(max(best, run + inner) + 2 * unions for best, run, inner, unions in outer)
