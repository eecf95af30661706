"""A write as queries that only read: how many rows, which ones, and what they become.

The queries are made of stretches of the statement's exact text, and are taken only when the grammar reads the same
nodes in them: WITH, FROM, WHERE and each new value. No deparser is trusted, and no text is matched.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from edge_agent.classify.parser import Tree
from edge_agent.preview.clauses import NotRewritten
from edge_agent.preview.limits import PreviewLimits
from edge_agent.preview.same import only_statement, require, same
from edge_agent.preview.target import Target, TargetColumn, quoted

PLAIN: Final = frozenset(("A_Const", "ParamRef", "SetToDefault"))
"""Nodes of values that read nothing but the statement and its parameters."""

DEFAULT: Final = b"DEFAULT"
"""Stands for a value that is a column's default."""

NEW: Final = "_tk_new"
"""The alias of new rows; their columns are c1, c2, …"""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a query finds its rows.

    Args:
        prefix: The WITH clause, or empty.
        items: What follows FROM.
        where: The condition, or empty.
        check: Raises NotRewritten unless a SelectStmt finds its rows as the statement does.
        row: What names the changed row's table, for columns; empty for a source of new rows.
        distinct: One row may be found several times: by a join.
    """

    prefix: bytes
    items: bytes
    where: bytes
    check: Callable[[Tree], None]
    row: bytes = b""
    distinct: bool = False

    def query(self, select: bytes) -> bytes:
        """A query of it."""
        head = self.prefix + b" " if self.prefix else b""
        tail = b" WHERE " + self.where if self.where else b""
        return head + b"SELECT " + select + b" FROM " + self.items + tail


@dataclass(frozen=True, slots=True)
class Value:
    """A column's new value: its exact text (or `DEFAULT`), and its node."""

    column: str
    text: bytes
    node: Any


@dataclass(frozen=True, slots=True)
class Arm:
    """What one WHEN clause of a MERGE does.

    Args:
        does: INSERT, UPDATE, DELETE or NOTHING.
        applies: The condition on which it is this clause, where no earlier one applies.
        values: What INSERT or UPDATE gives to columns.
    """

    does: str
    applies: bytes
    values: tuple[Value, ...] = ()


@dataclass(frozen=True, slots=True)
class Rewriting:
    """What was made of a statement.

    Args:
        schema: Of the relation it changes, or empty.
        name: Of that relation.
        source: Where its rows are found.
        before: Rows exist before.
        values: New values of an UPDATE, by column; empty for others.
        columns: Names of a new row's columns, in order; empty where all the relation's are meant, or none.
        width: Values of a new row; 0 where the server must say.
        known_rows: The number of rows where the text itself says it.
        notes: What the count does not say.
        defaults: Positions of values that are a default, by row and column of a VALUES list.
        plain: All new values are constants or parameters: nothing is read for them.
        unsampled: Why no rows can be shown, though they can be counted; empty where they can.
        arms: Of a MERGE: each row is shown by the first that applies.
    """

    schema: str
    name: str
    source: Source | None
    before: bool
    values: tuple[Value, ...] = ()
    columns: tuple[str, ...] = ()
    width: int = 0
    known_rows: int | None = None
    notes: tuple[str, ...] = ()
    defaults: frozenset[tuple[int, int]] = frozenset()
    plain: bool = False
    unsampled: str = ""
    arms: tuple[Arm, ...] = ()

    @property
    def assigned(self) -> tuple[str, ...]:
        """Names of the columns that are given new values."""
        arms = [value for arm in self.arms for value in arm.values]
        return tuple(dict.fromkeys(value.column for value in (*self.values, *arms)))

    def widened(self, width: int) -> Rewriting:
        """The same with names for a new row's columns, where the statement's text does not say how many there are."""
        if self.width or self.before or self.source is None:
            return self
        names = ", ".join(f"c{number}" for number in range(1, width + 1))
        items = self.source.items + b"(" + names.encode() + b")"
        return replace(self, width=width, source=replace(self.source, items=items))

    @property
    def after(self) -> bool:
        """Whether rows exist afterwards."""
        return bool(self.values) or not self.before

    def count_sql(self) -> bytes:
        """One row, one number: how many rows. Raises NotRewritten."""
        source = self._source
        row = source.row
        what = b"DISTINCT (" + row + b".tableoid, " + row + b".ctid)" if source.distinct else b"*"
        return self._checked(b"pg_catalog.count(" + what + b")")

    def plan_sql(self) -> bytes:
        """One row, one JSON text: the plan of finding the rows. Raises NotRewritten."""
        return b"EXPLAIN (FORMAT JSON) " + self._checked(b"1")

    def sample_sql(self, columns: Sequence[TargetColumn], limits: PreviewLimits) -> bytes:
        """Some rows: for each column its value before, where there is one, then its value after.

        Raises:
            NotRewritten: when the grammar does not read in it what it read in the statement.
        """
        if self.unsampled:
            raise NotRewritten(self.unsampled)
        if self.arms:
            return arms_sql(self.arms, self._source, columns, limits)
        source = self._source
        cut = limits.cut(len(columns) * 2)
        cells, nodes = [], []
        for place, column in enumerate(columns):
            for expression, node in self._cells(place, column):
                cells.append(_cell(expression, column.cast if node is not None else "", cut))
                nodes.append((node, bool(column.cast)))
        once = b"DISTINCT ON (" + source.row + b".tableoid, " + source.row + b".ctid) " if source.distinct else b""
        sql = source.query(once + b", ".join(cells)) + b" LIMIT " + str(limits.rows).encode()
        statement = only_statement(sql, "SelectStmt")
        source.check(statement)
        targets = [target["ResTarget"]["val"] for target in statement["targetList"]]
        require(len(targets) == len(nodes))
        for (node, cast), found in zip(nodes, targets, strict=True):
            if node is not None:
                require(same(_inside(found, cast=cast), node))
        return sql

    @property
    def _source(self) -> Source:
        if self.source is None:
            raise NotRewritten("there is nothing to count")
        return self.source

    def _checked(self, select: bytes) -> bytes:
        sql = self._source.query(select)
        self._source.check(only_statement(sql, "SelectStmt"))
        return sql

    def _cells(self, place: int, column: TargetColumn) -> list[tuple[bytes, Any]]:
        """The expressions of one column; with its node where it is the caller's own."""
        name = quoted(column.name).encode()
        if not self.before:
            given = f"c{place + 1}"
            node = {"ColumnRef": {"fields": [{"String": {"sval": NEW}}, {"String": {"sval": given}}]}}
            return [(f"{NEW}.{given}".encode(), node)]
        cells: list[tuple[bytes, Any]] = [(self._source.row + b"." + name, None)]
        value = next((each for each in self.values if each.column == column.name), None)
        if value is not None:
            cells.append((b"NULL", None) if value.text == DEFAULT else (value.text, value.node))
        return cells


def arms_sql(arms: Sequence[Arm], source: Source, columns: Sequence[TargetColumn], limits: PreviewLimits) -> bytes:
    """Some rows of a MERGE: which arm it is, from 0, then each column's value before and after. Raises NotRewritten."""
    cut = str(limits.cut(len(columns) * 2) + 1).encode()
    cells = [b"CASE " + b" ".join(b"WHEN %b THEN %d" % (arm.applies, at) for at, arm in enumerate(arms)) + b" END"]
    for column in columns:
        old = source.row + b"." + quoted(column.name).encode()
        cells.append(_cell(old, "", int(cut) - 1))
        new = b" ".join(b"WHEN %b THEN %b" % (arm.applies, _after(arm, column, old)) for arm in arms)
        cells.append(b"pg_catalog.left(CASE " + new + b" END, " + cut + b")")
    sql = source.query(b", ".join(cells)) + b" LIMIT " + str(limits.rows).encode()
    statement = only_statement(sql, "SelectStmt")
    source.check(statement)
    wanted = [arm["CaseWhen"]["expr"] for arm in statement["whereClause"]["CaseExpr"]["args"]]
    targets = [target["ResTarget"]["val"] for target in statement["targetList"]]
    require(len(targets) == len(cells))
    _check_case(targets[0], wanted)
    for column, found in zip(columns, targets[2::2], strict=True):
        results = _check_case(found.get("FuncCall", {}).get("args", [{}])[0], wanted)
        for arm, result in zip(arms, results, strict=True):
            value = given(arm, column.name)
            if value is not None and value.text != DEFAULT:
                inner = result["TypeCast"]["arg"]
                require(same(inner["TypeCast"]["arg"] if column.cast else inner, value.node))
    return sql


def given(arm: Arm, column: str) -> Value | None:
    """What an arm gives to a column; None: nothing."""
    return next((value for value in arm.values if value.column == column), None)


def _after(arm: Arm, column: TargetColumn, old: bytes) -> bytes:
    value = given(arm, column.name)
    if value is None:
        return b"(" + old + b")::pg_catalog.text" if arm.does == "UPDATE" else b"NULL"
    if value.text == DEFAULT:
        return b"NULL"
    new = b"CAST((" + value.text + b") AS " + column.cast.encode() + b")" if column.cast else b"(" + value.text + b")"
    return b"(" + new + b")::pg_catalog.text"


def _check_case(found: Any, wanted: list[Any]) -> list[Any]:
    """The results of a CASE of our own, whose conditions must be those of WHERE."""
    arms = found.get("CaseExpr", {}).get("args", [])
    require(len(arms) == len(wanted))
    for arm, want in zip(arms, wanted, strict=True):
        require(same(arm["CaseWhen"]["expr"], want))
    return [arm["CaseWhen"]["result"] for arm in arms]


def sample_columns(target: Target, first: Sequence[str], most: int) -> tuple[TargetColumn, ...]:
    """The columns of a sample: the primary key, those named, then the others, as many as there is room for."""
    named = frozenset(first)
    ranked = sorted(target.columns, key=lambda column: (not column.key, column.name not in named))
    chosen = {column.name for column in ranked[:most]}
    return tuple(column for column in target.columns if column.name in chosen)


def _cell(expression: bytes, cast: str, cut: int) -> bytes:
    value = b"CAST((" + expression + b") AS " + cast.encode() + b")" if cast else b"(" + expression + b")"
    # One more than is shown: so it is seen that there is more.
    return b"pg_catalog.left((" + value + b")::pg_catalog.text, " + str(cut + 1).encode() + b")"


def _inside(cell: Any, *, cast: bool) -> Any:
    try:
        converted = cell["FuncCall"]["args"][0]["TypeCast"]["arg"]
        return converted["TypeCast"]["arg"] if cast else converted
    except (KeyError, IndexError, TypeError) as error:
        raise NotRewritten("the query made of it does not read as it does") from error
