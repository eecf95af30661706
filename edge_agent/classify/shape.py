"""Verdicts of reads that differ from a known one by their literals alone.

    text ─▶ skeleton ─▶ what is known under it? ─▶ parse ─▶ the same tree without literals? ─▶ the same verdict

Clients that write values into their texts never send one twice. Walking each tree costs far more than parsing it, so a
walk's verdict is used again for a tree that is byte for byte the same, but for the values of constants and for where
things stand in the text.

Rules:
  1. The skeleton only finds a candidate. Every text is parsed by the server's grammar, and the parser's output decides.
  2. Only for trees of `NODES`: no judge of those looks at a constant's value. Functions whose arguments are looked at
     (`builtins`' set_config, and what grows strings) have no shape.
  3. Only for single statements that are proven reads. What was proven is the tree, and it is compared whole.
  4. Some texts are known by all their bytes. So a text with a shape is judged once more with other values, and has none
     when the verdicts differ.
  5. The normalised text is the candidate's: that of a text with the same words. Texts with comments, quoted names,
     backslashes or dollars, where this may not be so, have no shape.
"""

from __future__ import annotations

import re
from typing import Final

from edge_agent.classify.limits import SqlLimits
from edge_agent.classify.names import words
from edge_agent.classify.parser import Unparsable, tree_json
from edge_agent.classify.sql import SqlVerdict

MAX_SHAPES: Final = 1024
"""Shapes remembered; the least recently used goes first."""

MAX_TEXT_BYTES: Final = 4096
"""A longer text has no shape."""

MAX_TREE_BYTES: Final = 64 * 1024
"""A longer tree is not remembered: with `MAX_SHAPES` this bounds the memory to 64 MiB."""

NODES: Final = words(
    """
    SelectStmt RangeVar A_Expr SortBy SubLink ColumnRef TypeName FuncCall Alias BoolExpr BooleanTest CaseExpr CaseWhen
    CoalesceExpr CommonTableExpr JoinExpr List MinMaxExpr NullTest RangeSubselect ResTarget RowExpr TypeCast WindowDef
    WithClause A_ArrayExpr A_Const A_Star ParamRef String Integer
    """
)
"""Nodes whose judges look at names and at what is there, never at a constant's value."""

_LOOKED_INTO: Final = re.compile(rb'"sval":"(?:set_config|repeat|lpad|rpad)"')
_NODE: Final = re.compile(rb'"([A-Z]\w*)":\{')
_HAS_NO_SHAPE: Final = re.compile(rb'["\\$]|--|/\*')
_LITERAL: Final = re.compile(rb"'[^']*'|(?<![\w.\x80-\xff])\d+(?![\w.\x80-\xff])")
_VALUES: Final = (
    (b'"location":', re.compile(rb'"location":-?\d+'), b""),
    (b'"stmt_len":', re.compile(rb'"stmt_len":\d+'), b""),
    (b'list_start":', re.compile(rb'"(?:rexpr_)?list_(?:start|end)":-?\d+'), b""),
    (b'"A_Const":{"ival"', re.compile(rb'"A_Const":\{"ival":\{(?:"ival":-?\d+)?\}'), b"i"),
    (b'"A_Const":{"fval"', re.compile(rb'"A_Const":\{"fval":\{(?:"fval":"[^"\\]*")?\}'), b"f"),
    (b'"A_Const":{"sval"', re.compile(rb'"A_Const":\{"sval":\{(?:"sval":"(?:[^"\\]|\\.)*")?\}'), b"s"),
)
"""What is left out, and what stands for it: 1 is no '1'. Each begins with constant bytes, so that it is found quickly.

A key of the parser's JSON is never in a string: there its quotes would have backslashes."""


def skeleton(text: bytes) -> bytes | None:
    """`text` without plain numbers and strings, to find a candidate by; None when it has no shape."""
    if len(text) > MAX_TEXT_BYTES or _HAS_NO_SHAPE.search(text) is not None:
        return None
    return _LITERAL.sub(b"?", text)


def other_values(text: bytes) -> bytes:
    """A text with a shape, with other values: they must not matter to its verdict."""
    return _LITERAL.sub(_other, text)


def _other(found: re.Match[bytes]) -> bytes:
    return b"'_7919'" if found[0].startswith(b"'") else b"7919"


def without_values(json: bytes) -> bytes:
    """The parser's output without the values of constants, and without positions."""
    for hint, found, instead in _VALUES:
        if hint in json:
            json = found.sub(instead, json)
    return json


class Shapes:
    """Remembered shapes. Not for several threads at once."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[tuple[bytes, tuple[str, ...], int], tuple[bytes, SqlVerdict]] = {}

    def __len__(self) -> int:
        return len(self._known)

    def find(self, bones: bytes, text: bytes, search_path: tuple[str, ...], revision: int) -> SqlVerdict | None:
        """The verdict of `text`, when one with the same tree is known.

        Args:
            bones: Its skeleton.
            text: UTF-8 without NUL; nothing is found for other bytes.
            search_path: As for `classify_sql`.
            revision: Of the catalogue that it was judged by.
        """
        key = (bones, search_path, revision)
        found = self._known.get(key)
        if found is None or not _is_parsable(text):
            return None
        try:
            same = without_values(tree_json(text)) == found[0]
        except Unparsable:
            return None
        return found[1] if same else None

    def remember(
        self, bones: bytes, text: bytes, search_path: tuple[str, ...], revision: int, verdict: SqlVerdict
    ) -> None:
        """Take note of the verdict of a walk, which is also that of `other_values`."""
        if not verdict.is_read or verdict.classification.statements != 1 or not _is_parsable(text):
            return
        json = tree_json(text)
        if len(json) > MAX_TREE_BYTES or _LOOKED_INTO.search(json) is not None:
            return
        if not NODES.issuperset(name.decode() for name in _NODE.findall(json)):
            return
        key = (bones, search_path, revision)
        self._known.pop(key, None)
        self._known[key] = (without_values(json), verdict)
        if len(self._known) > MAX_SHAPES:
            del self._known[next(iter(self._known))]


def has_shapes(limits: SqlLimits) -> bool:
    """Whether texts with a shape are short enough to be parsed at once, by these limits."""
    return min(limits.unscanned_bytes, limits.text_bytes) >= MAX_TEXT_BYTES


def _is_parsable(text: bytes) -> bool:
    if b"\0" in text:
        return False
    if text.isascii():
        return True
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
