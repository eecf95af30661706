"""INSERT as a query of the rows it would add.

https://www.postgresql.org/docs/current/sql-insert.html
"""

from __future__ import annotations

from typing import Any

from edge_agent.classify.libpg_query import TOKENS
from edge_agent.classify.parser import Tree
from edge_agent.preview.change import with_clause
from edge_agent.preview.clauses import DOT, PAREN, NotRewritten, Words
from edge_agent.preview.rewrite import NEW, PLAIN, Rewriting, Source
from edge_agent.preview.same import require, same

_NULL: Any = {"A_Const": {"isnull": True}}

_NOTHING = (
    "ON CONFLICT DO NOTHING: rows that are there already are left out, so fewer may be inserted than are counted."
)
_UPDATED = (
    "ON CONFLICT DO UPDATE: rows that are there already are changed instead; which ones is not previewed."
)  # fmt: skip


def rewrite_insert(words: Words, node: Tree) -> Rewriting:
    """An INSERT. Raises NotRewritten."""
    relation = node["relation"]
    schema, name = relation.get("schemaname", ""), relation["relname"]
    columns = tuple(column["ResTarget"]["name"] for column in node.get("cols", ()))
    if any("indirection" in column["ResTarget"] for column in node.get("cols", ())):
        raise NotRewritten("it inserts a part of a column (an element or a field)")
    notes = _conflicts(node)
    if "selectStmt" not in node:
        return Rewriting(schema, name, None, before=False, known_rows=1, notes=(*notes, "All values are defaults."))
    select = node["selectStmt"]["SelectStmt"]
    lists = [each["List"]["items"] for each in select.get("valuesLists", ())]
    defaults = frozenset((row, at) for row, items in enumerate(lists) for at, item in enumerate(items)
                         if "SetToDefault" in item)  # fmt: skip
    start, stop = _source_at(words, bool(columns), node)
    text = _without_defaults(words, start, stop) if defaults else words.slice(start, stop)
    width = len(columns) or (len(lists[0]) if lists else _selected(select))
    wanted = _with_nulls(select) if defaults else select

    def check(made: Tree) -> None:
        require(same(made.get("withClause"), node.get("withClause")) and "whereClause" not in made)
        items = made.get("fromClause", [])
        require(len(items) == 1 and "RangeSubselect" in items[0] and not items[0]["RangeSubselect"].get("lateral"))
        require(same(items[0]["RangeSubselect"]["subquery"], {"SelectStmt": wanted}))

    alias = f") AS {NEW}"
    if width:
        alias += "(" + ", ".join(f"c{number}" for number in range(1, width + 1)) + ")"
    source = Source(with_clause(words, node), b"(" + text + alias.encode(), b"", check)
    return Rewriting(
        schema, name, source, before=False, columns=columns, width=width,
        known_rows=_known_rows(lists, select), notes=notes, defaults=defaults,
        plain=bool(lists) and all(item.keys() & PLAIN for items in lists for item in items),
    )  # fmt: skip


def _conflicts(node: Tree) -> tuple[str, ...]:
    clause = node.get("onConflictClause")
    if clause is None:
        return ()
    return (_NOTHING if clause.get("action") == "ONCONFLICT_NOTHING" else _UPDATED,)


def _known_rows(lists: list[Any], select: Tree) -> int | None:
    """A bare VALUES list says how many rows it has."""
    bare = select.keys() <= {"valuesLists", "limitOption", "op"}
    return len(lists) if lists and bare else None


def _selected(select: Tree) -> int:
    """How many columns a query has; 0 when a star says it, or a set operation."""
    while "larg" in select:
        select = select["larg"]
    targets = [target["ResTarget"]["val"] for target in select.get("targetList", ())]
    stars = any("A_Star" in field for target in targets for field in target.get("ColumnRef", {}).get("fields", ()))
    indirect = any("A_Indirection" in target for target in targets)
    return 0 if stars or indirect else len(targets)


def _source_at(words: Words, has_columns: bool, node: Tree) -> tuple[int, int]:
    """The tokens at which the source of the rows begins and ends."""
    at = words.need(words.need(0, "INSERT"), "INTO") + 2
    while words.kind(at) == DOT:
        at += 2
    if words.is_word(at, "AS"):
        at += 2
    if has_columns:
        require(words.kind(at) == PAREN)
        at = words.after_group(at)
    if words.is_word(at, "OVERRIDING"):
        at += 3
    stop = words.find(at, "RETURNING")
    if "onConflictClause" in node:
        stop = words.need(at, "ON")
        while not words.is_word(stop + 1, "CONFLICT"):
            stop = words.need(stop + 1, "ON")
    return at, stop


def _without_defaults(words: Words, start: int, stop: int) -> bytes:
    """The source's text with NULL for each DEFAULT: in VALUES it stands for itself inside one pair of parentheses."""
    whole = words.slice(start, stop)
    base = words.tokens[start][1]
    for at in range(stop - 1, start - 1, -1):
        kind, begin, end = words.tokens[at]
        if kind == TOKENS["DEFAULT"] and words.depths[at] == words.depths[start] + 1:
            whole = whole[: begin - base] + b"NULL" + whole[end - base :]
    return whole


def _with_nulls(select: Tree) -> Tree:
    """The same VALUES with NULL for each DEFAULT; a sort or limit has no default."""
    lists = [
        {"List": {**each["List"], "items": [_NULL if "SetToDefault" in one else one for one in each["List"]["items"]]}}
        for each in select["valuesLists"]
    ]
    return {**select, "valuesLists": lists}
