"""Stretches of a statement's exact text, found by the scanner's tokens outside of all parentheses, and of CASE.

What is found here proves nothing: a keyword may be a name. `rewrite` accepts a stretch only when the grammar reads the
same nodes in it as it did in the statement.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from edge_agent.classify.libpg_query import TOKENS
from edge_agent.classify.parser import Token, Tree, Unscannable, scan

_OPEN: Final = frozenset((TOKENS["ASCII_40"], TOKENS["ASCII_91"], TOKENS["CASE"]))
_CLOSE: Final = frozenset((TOKENS["ASCII_41"], TOKENS["ASCII_93"], TOKENS["END_P"]))
_COMMENTS: Final = frozenset((TOKENS["SQL_COMMENT"], TOKENS["C_COMMENT"]))
COMMA: Final = TOKENS["ASCII_44"]
DOT: Final = TOKENS["ASCII_46"]
EQUALS: Final = TOKENS["ASCII_61"]
PAREN: Final = TOKENS["ASCII_40"]
END: Final = TOKENS["ASCII_59"]

_NOT_FOUND: Final = "its parts could not be told apart"


class NotRewritten(Exception):
    """There is no such query. The argument says why, in words that end a sentence."""


@dataclass(frozen=True, slots=True)
class Words:
    """The tokens of one statement, without comments; `depth` counts the parentheses around each."""

    text: bytes
    tokens: tuple[Token, ...]
    depths: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.tokens)

    def kind(self, at: int) -> int:
        """The kind of a token; 0 past the end."""
        return self.tokens[at][0] if 0 <= at < len(self.tokens) else 0

    def is_word(self, at: int, *words: str) -> bool:
        """Whether a token is one of these keywords, outside of parentheses."""
        return 0 <= at < len(self.tokens) and not self.depths[at] and self.kind(at) in {TOKENS[word] for word in words}

    def find(self, start: int, *words: str) -> int:
        """The first of these keywords from `start` on, outside of parentheses; the number of tokens without one."""
        return next((at for at in range(start, len(self.tokens)) if self.is_word(at, *words)), len(self.tokens))

    def need(self, start: int, *words: str) -> int:
        """As `find`. Raises NotRewritten without one."""
        at = self.find(start, *words)
        if at == len(self.tokens):
            raise NotRewritten(_NOT_FOUND)
        return at

    def after_group(self, at: int) -> int:
        """The token behind the parentheses that open at `at`."""
        depth = self.depths[at]
        closing = (each for each in range(at + 1, len(self.tokens)) if self.depths[each] == depth)
        return next(closing, len(self.tokens) - 1) + 1

    def slice(self, start: int, stop: int) -> bytes:
        """The exact text from token `start` up to, not with, token `stop`. Raises NotRewritten for none."""
        if not 0 <= start < stop <= len(self.tokens):
            raise NotRewritten(_NOT_FOUND)
        return self.text[self.tokens[start][1] : self.tokens[stop - 1][2]]

    def split(self, start: int, stop: int, depth: int = 0) -> Iterator[tuple[int, int]]:
        """The stretches between commas at a depth."""
        begin = start
        for at in range(start, stop):
            if self.kind(at) == COMMA and self.depths[at] == depth:
                yield begin, at
                begin = at + 1
        yield begin, stop


def words_of(text: bytes, statement: Tree, most: int) -> Words:
    """The words of one RawStmt of `text`. Raises NotRewritten."""
    begin = int(statement.get("stmt_location", 0))
    length = int(statement.get("stmt_len", 0)) or len(text) - begin
    own = text[begin : begin + length]
    try:
        tokens, more = scan(own, most)
    except Unscannable as error:
        raise NotRewritten(_NOT_FOUND) from error
    if more:
        raise NotRewritten("it is too long")
    kept = [token for token in tokens if token[0] not in _COMMENTS and token[0] != END]
    depths, depth = [], 0
    for kind, _, _ in kept:
        depth -= kind in _CLOSE
        depths.append(depth)
        depth += kind in _OPEN
    return Words(own, tuple(kept), tuple(depths))
