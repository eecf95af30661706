"""PostgreSQL's lexical rules, as far as colour needs them.

Colour can lie: a highlighter that ends a comment or a string elsewhere than the server does would paint a write as a
comment. So this follows the server's rules (nested comments, dollar quotes, escape strings), and comments are never
dimmed. It decides nothing: what a statement does is told by the Edge's classification.

Source: PostgreSQL documentation, section 4.1 "Lexical Structure".
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator
from typing import Final

MAX_COLOURED_CHARACTERS: Final = 64 * 1024
"""Longest text that is coloured; a longer one is shown whole, in one colour."""


class Token(enum.StrEnum):
    """What a stretch of text is."""

    PLAIN = "plain"
    KEYWORD = "keyword"
    NAME = "name"
    QUOTED_NAME = "quoted"
    STRING = "string"
    NUMBER = "number"
    PARAMETER = "parameter"
    COMMENT = "comment"


_KEYWORD_TEXT = """
all alter analyze and any as asc begin between by call cascade case cast check cluster collate column comment commit
concurrently constraint copy create cross cursor database declare default deferrable delete desc distinct do domain
drop each else end escape except execute exists explain extension false fetch filter first for force foreign from full
function grant group having if ilike in index inherits inner insert intersect into is isolation join key language last
lateral left level like limit listen load lock materialized merge move natural not nothing notify null nulls of off
offset on only or order outer over owner partition policy prepare primary privileges procedure program publication
read recursive references refresh reindex release rename reset restrict returning returns revoke right role rollback
row rows rule savepoint schema security select sequence serializable session set setof share show similar some stdin
stdout subscription system table tablesample temp temporary then to transaction trigger true truncate type union
unique unlisten unlogged update user using vacuum values view volatile when where window with within without work
"""

_KEYWORDS: Final = frozenset(_KEYWORD_TEXT.split())

_SCANNER = re.compile(
    r"""
      (?P<space>[ \t\r\n\f\v]+)
    | (?P<line_comment>--[^\n\r]*)
    | (?P<block>/\*)
    | (?P<escape>[eE]'(?:[^'\\]|\\.|'')*(?:'|\\?\Z))
    | (?P<string>(?:[bBxXnN]|[uU]&)?'[^']*(?:''[^']*)*'?)
    | (?P<quoted>(?:[uU]&)?"[^"]*(?:""[^"]*)*"?)
    | (?P<parameter>\$[0-9]+)
    | (?P<dollar>\$(?:[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_\x80-\U0010ffff]*)?\$)
    | (?P<number>[0-9][0-9A-Za-z_.]*)
    | (?P<word>[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_$\x80-\U0010ffff]*)
    | (?P<other>.)
""",
    re.VERBOSE | re.DOTALL,
)

_COMMENT_EDGE = re.compile(r"/\*|\*/")

_TOKENS: Final = {
    "space": Token.PLAIN,
    "other": Token.PLAIN,
    "line_comment": Token.COMMENT,
    "escape": Token.STRING,
    "string": Token.STRING,
    "quoted": Token.QUOTED_NAME,
    "parameter": Token.PARAMETER,
    "number": Token.NUMBER,
}


def tokens(text: str) -> Iterator[tuple[Token, str]]:
    """Split a text into tokens; joined again they are the text. Takes time linear in its length."""
    position = 0
    while position < len(text):
        match = _SCANNER.match(text, position)
        if match is None:  # its last branch takes any character
            raise AssertionError("the scanner stopped")
        kind, end = match.lastgroup or "other", match.end()
        if kind == "block":
            token, end = Token.COMMENT, _comment_end(text, position)
        elif kind == "dollar":
            close = text.find(match[0], end)
            token, end = Token.STRING, len(text) if close < 0 else close + len(match[0])
        elif kind == "word":
            token = Token.KEYWORD if match[0].lower() in _KEYWORDS else Token.NAME
        else:
            token = _TOKENS[kind]
        yield token, text[position:end]
        position = end


def _comment_end(text: str, start: int) -> int:
    """Where a block comment ends; they nest, and an open one takes the rest."""
    depth = 0
    for edge in _COMMENT_EDGE.finditer(text, start):
        depth += 1 if edge[0] == "/*" else -1
        if depth == 0:
            return edge.end()
    return len(text)
