"""Read where a view's columns come from, in the rule that the server keeps for it.

`pg_rewrite.ev_action` is a list of one QUERY node in the server's own notation: ``({QUERY … :targetList ({TARGETENTRY
:expr … :resno 1 :resname email … :resorigtbl 16385 :resorigcol 2 :resjunk false} …)``. Braces open and close nodes, a
backslash makes the next character a plain one. Entries of the view itself stand at depth two; those of sub-selects are
deeper. The server has traced each through joins, sub-selects and common table expressions already.

Source: PostgreSQL's src/backend/nodes/outfuncs.c and read.c (`resorigtbl`: "OID of column's source table").
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

MAX_TREE_CHARS: Final = 256 * 1024
"""Longest rule read; a longer one's columns are of unknown origin."""

MAX_KNOWN: Final = 256
"""How many rules' columns are remembered, some kB each. Each session to which masks are owed reads the same
rules, the server's own views' too; walking their text was most of what its sign-in took."""

_known: Final[dict[bytes, dict[int, tuple[int, int]]]] = {}
"""By SHA-256 of the rule: texts are long."""

_TOKEN: Final = re.compile(r"\\.|[{}]|:res(?:no|origtbl|origcol) -?\d+|:resjunk (?:true|false)", re.DOTALL)
_ENTRY: Final = "{TARGETENTRY"


class UnreadableTree(ValueError):
    """The rule is not as this reader knows them."""


def origins(tree: str) -> dict[int, tuple[int, int]]:
    """By column number, the table's OID and the column's number there; (0, 0) for what comes from no column.

    Raises:
        UnreadableTree: the text is too long, or not as expected.
    """
    if len(tree) > MAX_TREE_CHARS or not tree.startswith("({QUERY "):
        raise UnreadableTree
    digest = hashlib.sha256(tree.encode("utf-8", "surrogatepass")).digest()
    if digest not in _known:
        found = _read(tree)
        if len(_known) >= MAX_KNOWN:
            _known.clear()
        _known[digest] = found
    return dict(_known[digest])


def _read(tree: str) -> dict[int, tuple[int, int]]:
    found: dict[int, tuple[int, int]] = {}
    depth, entry = 0, dict[str, int]()
    inside = False
    for match in _TOKEN.finditer(tree):
        sign = match[0]
        if sign == "{":
            depth += 1
            if depth == 1 and match.start() != 1:
                # A second query: a rule that does more than select.
                raise UnreadableTree
            if depth == 2:
                inside, entry = tree.startswith(_ENTRY, match.start()), {}
        elif sign == "}":
            if depth == 2 and inside:
                _note(found, entry)
            depth -= 1
        elif depth == 2 and inside and sign[0] == ":":
            name, _, value = sign.partition(" ")
            if name in entry:
                raise UnreadableTree
            entry[name] = {"true": 1, "false": 0}[value] if name == ":resjunk" else int(value)
    if depth != 0 or not found:
        raise UnreadableTree
    return found


def _note(found: dict[int, tuple[int, int]], entry: dict[str, int]) -> None:
    try:
        number, table, column = entry[":resno"], entry[":resorigtbl"], entry[":resorigcol"]
        junk = entry[":resjunk"]
    except KeyError as error:
        raise UnreadableTree from error
    if number in found:
        raise UnreadableTree
    if not junk:
        found[number] = (table, column)
