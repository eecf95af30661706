"""From what each output of a SELECT derives, by its parse tree. Pure.

    SELECT ─▶ its WITH, then its FROM: Sources ─▶ each target: one Entry
                                      └▶ each condition: does it steer?

Rules:
  1. What is not listed here is not understood: it is of unknown origin, and steers.
  2. A value holds all that its parts hold.
  3. A condition that sets classified values beside free ones *steers*: `chr(n) … WHERE n = ascii(email)` shows the
     address in free columns. So do numbers of rows that classified values decide. In a text that steers nothing is
     proven but what the text says itself.
  4. A condition of classified columns and constants alone is a guess, which masks do not hinder (docs/adr/0026), but
     one a text: in any SELECT but the outermost it steers, as many guesses put together are the value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from edge_agent.classify.builtins import TYPES
from edge_agent.classify.calls import names_of
from edge_agent.classify.names import words
from edge_agent.classify.parser import Tree
from edge_agent.mask.columns import Columns
from edge_agent.mask.sources import (
    CLASSIFIED,
    FREE,
    UNKNOWN,
    Entry,
    Source,
    any_of,
    named,
    of_entries,
    of_relation,
    unqualified,
)
from edge_agent.mask.transparent import MANY_ROWS, ONE_ROW

MAX_NODES: Final = 20_000
"""Most parts of a text that are looked at, those of recursive expressions each time; with more nothing is proven."""

MAX_DEPTH: Final = 120
"""Deepest nesting that is followed."""

_MAX_ROUNDS: Final = 8
"""Most times that a recursive expression is looked at; origins only grow, so few are needed."""


class NotProven(Exception):
    """The text is larger or deeper than is looked at."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Where an expression stands.

    Args:
        levels: FROM items that it sees, from the innermost SELECT outwards.
        tables: Common table expressions that it sees; what None stands for is not known (yet).
        window: Origin of all that the SELECT's named windows are about.
    """

    levels: tuple[Sequence[Source], ...] = ()
    tables: dict[str, tuple[Entry, ...] | None] | None = None
    window: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a SELECT shows.

    Args:
        entries: Its outputs.
        about: Origin of what decides about its rows.
    """

    entries: tuple[Entry, ...]
    about: int

    @property
    def origin(self) -> int:
        """Of any output."""
        return any_of(entry.origin for entry in self.entries)

    @property
    def is_exact(self) -> bool:
        """Whether each entry is one column."""
        return all(entry.star is None for entry in self.entries)


_SELECT_FIELDS: Final = words(
    """
    distinctClause targetList fromClause whereClause groupClause groupDistinct havingClause windowClause valuesLists
    sortClause limitOffset limitCount limitOption lockingClause withClause op all larg rarg
    """
)
_PARTS: Final[dict[str, tuple[tuple[str, ...], frozenset[str]]]] = {
    kind: (tuple(parts.split()), words(f"{parts} {rest} location"))
    for kind, parts, rest in (
        ("A_Expr", "lexpr rexpr", "kind name rexpr_list_start rexpr_list_end"),
        ("BoolExpr", "args", "boolop"),
        ("BooleanTest", "arg", "booltesttype"),
        ("NullTest", "arg", "nulltesttype argisrow"),
        ("CaseExpr", "arg args defresult", ""),
        ("CaseWhen", "expr result", ""),
        ("CoalesceExpr", "args", ""),
        ("MinMaxExpr", "args", "op"),
        ("TypeCast", "arg", "typeName"),
        ("CollateClause", "arg", "collname"),
        ("A_ArrayExpr", "elements", "list_start list_end"),
        ("RowExpr", "args", "row_format"),
        ("List", "items", ""),
        ("A_Indirection", "arg indirection", ""),
        ("A_Indices", "lidx uidx", "is_slice"),
        ("NamedArgExpr", "arg", "name argnumber"),
        ("GroupingFunc", "args", ""),
        ("GroupingSet", "content", "kind"),
        ("SortBy", "node", "sortby_dir sortby_nulls useOp"),
        (
            "FuncCall",
            "args agg_order agg_filter",
            "over funcname agg_within_group agg_star agg_distinct func_variadic funcformat",
        ),
        ("SubLink", "testexpr", "subselect subLinkType operName subLinkId"),
    )
}
"""By node: the fields whose values the node's value is made of, and all that are understood."""

_WINDOW_FIELDS: Final = words("name refname partitionClause orderClause frameOptions startOffset endOffset location")
_TEXT: Final = frozenset({"A_Const", "ParamRef", "SQLValueFunction"})
"""What stands in the text itself, or is told by the client."""


class Derivation:
    """One look at one text.

    Args:
        columns: What is classified; known.
    """

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self._nodes = 0
        self._depth = 0
        self.steers = False
        """See rule 3."""

    def outermost(self, node: Tree) -> tuple[Entry, ...]:
        """What the SELECT of a text shows. Raises NotProven."""
        return self._select(node, Scope()).entries

    def _within(self, node: Tree, outer: Scope) -> Answer:
        """What a SELECT within another shows."""
        answer = self._select(node, outer)
        self._rows(answer.about)
        return answer

    def _select(self, node: Tree, outer: Scope) -> Answer:
        self._deeper()
        if set(node) - _SELECT_FIELDS:
            self.steers = True
        outer = replace(outer, window=0)
        if "withClause" in node:
            outer = self._with(node["withClause"], outer)
        if node.get("op", "SETOP_NONE") != "SETOP_NONE":
            answer = self._set_operation(node, outer)
            scope = outer
        elif "valuesLists" in node:
            answer = self._values(node["valuesLists"], outer)
            scope = outer
        else:
            answer, scope = self._plain(node, outer)
        about = answer.about | self._ordered(node, scope, answer.entries)
        self._depth -= 1
        return Answer(answer.entries, about)

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise NotProven

    # What a SELECT is made of.

    def _plain(self, node: Tree, outer: Scope) -> tuple[Answer, Scope]:
        level: list[Source] = []
        scope = replace(outer, levels=(level, *outer.levels))
        about = any_of([self._from(item, level, scope) for item in node.get("fromClause", [])])
        windows = any_of(self._window(held["WindowDef"], scope) for held in node.get("windowClause", []))
        scope = replace(scope, window=windows)
        entries = tuple(self._target(held["ResTarget"], scope, level) for held in node.get("targetList", []))
        for key in ("whereClause", "havingClause"):
            if key in node:
                about |= self._condition(node[key], scope)
        for key in ("groupClause", "distinctClause"):
            about |= any_of([self._key(item, scope, entries) for item in node.get(key, []) if item])
        if {} in node.get("distinctClause", []):
            about |= any_of([self._compared(entry.origin) for entry in entries])
        return Answer(entries, about), scope

    def _ordered(self, node: Tree, scope: Scope, entries: Sequence[Entry]) -> int:
        about = any_of([self._key(item["SortBy"]["node"], scope, entries) for item in node.get("sortClause", [])])
        for key in ("limitOffset", "limitCount"):
            if key in node:
                about |= self._rows(self.value(node[key], scope))
        return about

    def _target(self, node: Tree, scope: Scope, level: Sequence[Source]) -> Entry:
        value: Tree = node.get("val", {})
        fields: list[Tree] = value.get("ColumnRef", {}).get("fields", [])
        if fields and "A_Star" in fields[-1]:
            behind = tuple(level if len(fields) == 1 else named(scope.levels, names_of(fields)[-2]))
            return Entry("", any_of(one.row for one in behind) if behind else UNKNOWN, behind)
        origin = self.value(value, scope)
        if fields:
            return Entry(node.get("name", names_of(fields)[-1]), origin)
        indirection: list[Tree] = value.get("A_Indirection", {}).get("indirection", [])
        star = (Source("", others=UNKNOWN),) if any("A_Star" in part for part in indirection) else None
        # Computed of classified values is beside constants at least, see rule 3.
        return Entry(node.get("name", ""), UNKNOWN if origin & CLASSIFIED else origin, star)

    def _set_operation(self, node: Tree, scope: Scope) -> Answer:
        left, right = self._within(node["larg"], scope), self._within(node["rarg"], scope)
        about = left.about | right.about
        origin = left.origin | right.origin
        if node["op"] != "SETOP_UNION" or "all" not in node:
            # Which rows are equal is a comparison.
            self._rows(origin)
        if not (left.is_exact and right.is_exact) or len(left.entries) != len(right.entries):
            return Answer((Entry("", _both(origin), (Source("", others=_both(origin)),)),), about)
        pairs = zip(left.entries, right.entries, strict=True)
        return Answer(tuple(Entry(one.name, _both(one.origin | other.origin)) for one, other in pairs), about)

    def _values(self, rows: list[Tree], scope: Scope) -> Answer:
        found: list[int] = []
        for row in rows:
            values = [self.value(item, scope) for item in row["List"]["items"]]
            found = [one | other for one, other in zip(found or [0] * len(values), values, strict=False)]
        return Answer(tuple(Entry(f"column{at}", _both(origin)) for at, origin in enumerate(found, 1)), 0)

    # WITH.

    def _with(self, clause: Tree, outer: Scope) -> Scope:
        tables = dict(outer.tables or {})
        held: list[Tree] = [each["CommonTableExpr"] for each in clause.get("ctes", [])]
        if "recursive" in clause:
            tables.update((each["ctename"], None) for each in held)
        for each in held:
            tables[each["ctename"]] = self._table(each, replace(outer, tables=dict(tables)), "recursive" in clause)
        return replace(outer, tables=tables)

    def _table(self, node: Tree, scope: Scope, recursive: bool) -> tuple[Entry, ...] | None:
        query: Tree | None = node.get("ctequery", {}).get("SelectStmt")
        if query is None or "search_clause" in node or "cycle_clause" in node:
            self.steers = True
            return None
        renamed = names_of(node.get("aliascolnames", []))
        if not recursive or query.get("op", "SETOP_NONE") == "SETOP_NONE":
            return _renamed(self._within(query, scope), renamed)
        return self._fixpoint(node["ctename"], query, scope, renamed)

    def _fixpoint(self, name: str, query: Tree, scope: Scope, renamed: list[str]) -> tuple[Entry, ...] | None:
        """Of an expression that may ask itself: origins grow from those of its first arm until they stay."""
        within = scope if "withClause" not in query else self._with(query["withClause"], scope)
        found = _renamed(self._within(query["larg"], within), renamed)
        for _ in range(_MAX_ROUNDS):
            tables = (scope.tables or {}) | {name: found}
            again = _renamed(self._within(query, replace(scope, tables=tables)), renamed)
            if again == found:
                return found
            found = again
        return None

    # FROM.

    def _from(self, item: Tree, level: list[Source], scope: Scope) -> int:
        """Add the sources of an item to `level`; returns what decides about its rows."""
        self._deeper()
        self._nodes += 1
        ((kind, node),) = item.items()
        alias: Tree = node.get("alias", {})
        about = 0
        match kind:
            case "RangeVar":
                level.append(self._relation(node, alias, scope))
            case "RangeSubselect":
                seen = scope if "lateral" in node else replace(scope, levels=scope.levels[1:])
                answer = self._within(node["subquery"]["SelectStmt"], seen)
                names = names_of(alias.get("colnames", []))
                level.append(of_entries(alias.get("aliasname", ""), answer.entries, names))
                about = answer.about
            case "RangeFunction":
                level.append(self._function(node, alias, scope))
            case "RangeTableSample":
                about = self._from(node["relation"], level, scope)
                sampled = [*node.get("args", []), *([node["repeatable"]] if "repeatable" in node else [])]
                about |= self._rows(any_of([self.value(arg, scope) for arg in sampled]))
            case "JoinExpr":
                about = self._join(node, alias, level, scope)
            case _:
                self.steers = True
                level.append(Source(alias.get("aliasname", ""), others=UNKNOWN))
        self._depth -= 1
        return about

    def _relation(self, node: Tree, alias: Tree, scope: Scope) -> Source:
        name, tables = node["relname"], scope.tables or {}
        if "schemaname" in node or name not in tables:
            return of_relation(self._columns, node.get("schemaname", ""), name, alias)
        entries = tables[name]
        spelled = str(alias.get("aliasname", name))
        if entries is None:
            return Source(spelled, others=UNKNOWN)
        return of_entries(spelled, entries, names_of(alias.get("colnames", [])))

    def _join(self, node: Tree, alias: Tree, level: list[Source], scope: Scope) -> int:
        before = len(level)
        about = self._from(node["larg"], level, scope)
        between = len(level)
        about |= self._from(node["rarg"], level, scope)
        sides = level[before:between], level[between:]
        joined = [*sides[0], *sides[1]]
        using = names_of(node.get("usingClause", []))
        for name in using:
            about |= self._compared(any_of((unqualified([side], name) or 0) for side in sides))
        if "isNatural" in node and any_of(source.row for source in joined) & CLASSIFIED:
            self.steers = True
        if "quals" in node:
            about |= self._condition(node["quals"], scope)
        if node["jointype"] != "JOIN_INNER":
            # Whether the other side's columns are there is a value then.
            self._rows(about)
        if alias:
            level.append(_merged(alias, joined))
        if "join_using_alias" in node:
            level.append(_merged({**node["join_using_alias"], "colnames": []}, joined))
        return about

    def _function(self, node: Tree, alias: Tree, scope: Scope) -> Source:
        """A function in FROM: its columns are of one origin, under all names that they could have."""
        calls = [each["List"]["items"][0] for each in node.get("functions", [])]
        origin = any_of(self.value(call, scope) for call in calls)
        origin = self._rows(origin) or FREE
        names = {alias.get("aliasname", ""), "ordinality", "key", "value", *names_of(alias.get("colnames", []))}
        for call in calls:
            names.update(names_of(call.get("FuncCall", {}).get("funcname", []))[-1:])
        names.update(held["ColumnDef"]["colname"] for held in node.get("coldeflist", []))
        spelled = alias.get("aliasname", "") or names_of(calls[0].get("FuncCall", {}).get("funcname", []) or [{}])[-1]
        others = origin if origin & CLASSIFIED else None
        return Source(spelled, dict.fromkeys(names - {""}, origin), others)

    # Conditions.

    def _condition(self, node: Tree, scope: Scope) -> int:
        """Origin of a condition; what is joined by AND is looked at part by part."""
        self._deeper()
        if node.get("BoolExpr", {}).get("boolop") == "AND_EXPR":
            found = any_of([self._condition(arg, scope) for arg in node["BoolExpr"]["args"]])
        else:
            found = self._compared(self.value(node, scope))
        self._depth -= 1
        return found

    def _key(self, node: Tree, scope: Scope, entries: Sequence[Entry]) -> int:
        """Of what is ordered or grouped by: an expression, an output's name or its number."""
        if "GroupingSet" in node:
            return any_of([self._key(item, scope, entries) for item in node["GroupingSet"].get("content", [])])
        if "A_Const" in node:
            return any_of([self._compared(origin) for origin in _numbered(node["A_Const"], entries)])
        fields: list[Tree] = node.get("ColumnRef", {}).get("fields", [])
        meant = [entry.origin for entry in entries if len(fields) == 1 and entry.name == names_of(fields)[0]]
        if meant:
            meant.append(unqualified(scope.levels, names_of(fields)[0]) or 0)
            return any_of([self._compared(origin) for origin in meant])
        return self._compared(self.value(node, scope))

    def _compared(self, origin: int) -> int:
        if origin == UNKNOWN:
            self.steers = True
        return origin

    def _rows(self, origin: int) -> int:
        """Of what decides how many rows there are."""
        if origin & CLASSIFIED:
            self.steers = True
        return origin

    def _window(self, node: Tree, scope: Scope) -> int:
        if set(node) - _WINDOW_FIELDS:
            return UNKNOWN
        parts = [*node.get("partitionClause", []), *node.get("orderClause", [])]
        parts += [node[key] for key in ("startOffset", "endOffset") if key in node]
        return any_of([self.value(part, scope) for part in parts]) | scope.window

    # Values.

    def value(self, item: Tree, scope: Scope) -> int:
        """Origin of an expression's value, from where it stands. Raises NotProven."""
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise NotProven
        if len(item) != 1:
            return self._not_understood()
        ((kind, node),) = item.items()
        if kind in _TEXT:
            return 0
        if kind == "ColumnRef":
            # A name is looked for in each item of each FROM list around it.
            self._nodes += sum(map(len, scope.levels)) // 8
            return _column(names_of(node["fields"]), node["fields"], scope)
        if kind not in _PARTS or set(node) - _PARTS[kind][1]:
            return self._not_understood()
        self._deeper()
        found = 0
        for key in _PARTS[kind][0]:
            held = node.get(key, [])
            for part in held if isinstance(held, list) else [held]:
                if "String" in part or "A_Star" in part:
                    # A field of a value: it may call a function on it.
                    found = self._rows(found) | UNKNOWN
                else:
                    found |= self.value(part, scope)
        special = _SPECIAL.get(kind)
        if special is not None:
            found |= special(self, node, scope, found)
        self._depth -= 1
        return found

    def _not_understood(self) -> int:
        self.steers = True
        return UNKNOWN

    def _call(self, node: Tree, scope: Scope, held: int) -> int:
        spelled = names_of(node["funcname"])
        over = self._window(node["over"], scope) if "over" in node else 0
        if spelled[:-1] in ([], ["pg_catalog"]):
            if spelled[-1] in ONE_ROW:
                # An aggregate of no arguments holds something all the same: a number of rows.
                return over | FREE
            if spelled[-1] in MANY_ROWS:
                return self._rows(held | over) | FREE
        # Whatever it is, it may answer with as many rows as its arguments say.
        self._rows(held | over)
        return UNKNOWN

    def _operator(self, node: Tree, scope: Scope, held: int) -> int:
        return 0 if names_of(node.get("name", []))[:-1] in ([], ["pg_catalog"]) else UNKNOWN

    def _cast(self, node: Tree, scope: Scope, held: int) -> int:
        # A type of users' own may have a cast that is code of theirs.
        spelled = names_of(node["typeName"].get("names", []))
        known = bool(spelled) and spelled[-1] in TYPES and spelled[:-1] in ([], ["pg_catalog"])
        return 0 if known else UNKNOWN

    def _sublink(self, node: Tree, scope: Scope, held: int) -> int:
        answer = self._within(node["subselect"]["SelectStmt"], scope)
        operator = names_of(node.get("operName", []))[:-1] in ([], ["pg_catalog"])
        return answer.origin | answer.about | FREE | (0 if operator else UNKNOWN)


_SPECIAL: Final[dict[str, Callable[[Derivation, Tree, Scope, int], int]]] = {
    "FuncCall": Derivation._call,
    "A_Expr": Derivation._operator,
    "TypeCast": Derivation._cast,
    "SubLink": Derivation._sublink,
}


def _column(names: list[str], fields: list[Tree], scope: Scope) -> int:
    if "A_Star" in fields[-1]:
        found = [one.row for one in (scope.levels[0] if len(fields) == 1 else named(scope.levels, names[-2]))]
    elif len(names) == 1:
        origin = unqualified(scope.levels, names[0])
        return UNKNOWN if origin is None else origin
    else:
        found = [one.qualified(names[-1]) for one in named(scope.levels, names[-2])]
    return any_of(found) if found else UNKNOWN


def _both(origin: int) -> int:
    """Of rows that are put together: classified ones stand beside others then."""
    return UNKNOWN if origin & CLASSIFIED else origin


def _renamed(answer: Answer, names: Sequence[str]) -> tuple[Entry, ...]:
    if not names:
        return answer.entries
    if not answer.is_exact:
        origin = _both(answer.origin) or FREE
        return (Entry("", origin, (Source("", others=origin),)),)
    spelled = [*names, *(entry.name for entry in answer.entries[len(names) :])]
    return tuple(replace(entry, name=name) for entry, name in zip(answer.entries, spelled, strict=False))


def _merged(alias: Tree, joined: Sequence[Source]) -> Source:
    """A join under a name of its own."""
    row = any_of(source.row for source in joined)
    names = {name for source in joined for name in source.columns}
    others = [source.others for source in joined if source.others is not None]
    if alias.get("colnames"):
        return Source(alias["aliasname"], others=row | FREE)
    columns = {name: unqualified([joined], name) or row for name in names}
    return Source(alias["aliasname"], columns, any_of(others) if others else None)


def _numbered(constant: Tree, entries: Sequence[Entry]) -> list[int]:
    """Origins of the output that a number in ORDER BY or GROUP BY may mean."""
    number = constant.get("ival", {}).get("ival", 0)
    if all(entry.star is None for entry in entries):
        return [entries[number - 1].origin] if 0 < number <= len(entries) else [UNKNOWN]
    found: list[int] = []
    for entry in entries:
        if entry.star is None:
            found.append(entry.origin)
        else:
            found += [origin for one in entry.star for origin in (*one.columns.values(), one.others or 0)]
    return found
