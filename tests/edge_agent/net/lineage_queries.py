"""Queries about one classified column, made up: joins, sub-selects, WITH, set operations, calls, and misleading names.

Tables are `person (id, name, email, code)`, of which the last two are classified, and `notes (id, person_id, word)`,
all of text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from hypothesis import strategies as st

PERSON: Final = ("id", "name", "email", "code")
NOTES: Final = ("id", "person_id", "word")
ALIASES: Final = ("p", "n", "x", "y", "person", "notes", "email", "name", "word", "c")
CLASSIFIED: Final = frozenset({"email", "code"})

_ONE = ("lower({})", "upper({})", "reverse({})", "{}::varchar", "({})::text", "substr({}, 2)", "coalesce({}, 'none')",
        "md5({})", "left({}, 9)", "concat({}, '!')", "initcap({})", "{} COLLATE \"C\"", "nullif({}, 'x')",
        "(ARRAY[{}])[1]", "json_build_object('k', {})::text", "format('%s', {})", "replace({}, 'q', 'q')")  # fmt: skip
_TWO = ("{} || {}", "concat_ws('/', {}, {})", "coalesce({}, {})", "greatest({}, {})", "(ARRAY[{}, {}])::text",
        "ROW({}, {})::text", "CASE WHEN {} > 'b' THEN {} END", "string_to_array({}, {})::text")  # fmt: skip
_ROW = ("{}::text", "row_to_json({})::text", "{}.row_to_json::text", "to_jsonb({})::text", "{}.*::text", "concat({})",
        "json_build_array({})::text", "({}).email", "({}).name", "({} IS NULL)::text", "quote_literal({})",
        "{}.quote_literal", "email({})", "{}.to_json::text", "num_nulls({})::text")  # fmt: skip
_AGGREGATES = ("max({})", "min({})", "string_agg({}, ',')", "array_agg({})::text", "json_agg({})::text", "count({})",
               "string_agg({}, ',' ORDER BY {})", "max({}) FILTER (WHERE {} > '')")  # fmt: skip
_WINDOWS = ("first_value({}) OVER ()", "lag({}) OVER (ORDER BY {})", "max({}) OVER (PARTITION BY {})")


@dataclass(frozen=True)
class Table:
    """An item of a FROM list: its text, its name, its columns."""

    text: str
    name: str
    columns: tuple[str, ...]


class Maker:
    """Makes one query.

    Args:
        draw: Of hypothesis.
        clean: Only what is plainly free of classified columns: qualified names, no whole rows, no misleading names.
    """

    def __init__(self, draw: st.DrawFn, *, clean: bool) -> None:
        self._draw, self._clean, self._made = draw, clean, 0
        self._tables: list[Table] = []

    def _pick(self, options: Sequence[str]) -> str:
        return self._draw(st.sampled_from(list(options)))

    def _number(self, most: int, least: int = 0) -> int:
        return self._draw(st.integers(least, most))

    def _alias(self, taken: Sequence[Table]) -> str:
        self._made += 1
        free = [alias for alias in ALIASES if alias not in {table.name for table in taken}]
        return f"t{self._made}" if self._clean else self._pick(free)

    def query(self) -> str:
        """A whole query."""
        named = []
        for at in range(self._number(2)):
            columns = self._number(3, 1)
            name = f"cte{at}" if self._clean else self._pick([f"cte{at}", "notes", "person", "email"])
            if any(table.name == name for table in self._tables):
                continue
            spelled = tuple(f"c{i}" if self._clean else self._pick(["email", "name", "id", f"c{i}"]) + "_" * i
                            for i in range(columns))  # fmt: skip
            text = f"{name}({', '.join(spelled)}) AS ({self.select(2, columns, ())})"
            named.append(text)
            self._tables.append(Table(name, name, spelled))
        select = self.select(3, self._number(3, 1), ())
        return f"WITH {', '.join(named)} {select}" if named else select

    def select(self, depth: int, columns: int, outer: Sequence[Table]) -> str:
        """A SELECT of so many columns."""
        if depth > 1 and self._number(4) == 0:
            kind = self._pick(
                ["UNION", "UNION ALL"] if self._clean else ["UNION ALL"] * 5 + ["UNION", "EXCEPT", "INTERSECT"]
            )
            left, right = (self.select(depth - 1, columns, outer) for _ in "lr")
            return f"({left}) {kind} ({right})"
        tables: list[Table] = []
        items = [self._item(depth, tables, outer) for _ in range(self._number(2, 1))]
        # The nearest first: a name of an outer item that is here, too, means the one here.
        here = {table.name for table in tables}
        seen = [*tables, *(table for table in outer if table.name not in here)]
        shape = self._pick(["plain", "plain", "aggregate", "window"])
        templates = {"aggregate": _AGGREGATES, "window": _WINDOWS}.get(shape)
        targets = []
        for at in range(columns):
            if templates is None:
                value = self.value(depth, seen)
            else:
                value = self._fill(self._pick(templates), 0, tables) + "::text"
            targets.append(f"{value} AS {f'o{at}' if self._clean else self._pick(['email', 'name', 'o'])}{at}")
        text = f"SELECT {', '.join(targets)} FROM {', '.join(items)}"
        # Most queries have none: a condition that compares anything classified hides all that is computed.
        if self._number(7) == 0:
            text += f" WHERE {self.value(0, seen)} {self._pick(['<>', '>', 'LIKE', '='])} {self.value(0, seen)}"
        if self._number(4) == 0 and shape == "plain":
            text += " ORDER BY 1 LIMIT 5"
        return text

    def _item(self, depth: int, tables: list[Table], outer: Sequence[Table]) -> str:
        first = self._table(depth, tables, outer)
        if self._number(2) > 0:
            return first
        second = self._table(depth, tables, outer)
        join = self._pick(["JOIN", "LEFT JOIN"])
        on = (
            "true"
            if self._clean or self._number(4)
            else f"{self.value(0, tables)} {self._pick(['=', '<>'])} {self.value(0, tables)}"
        )
        return f"{first} {join} {second} ON {on}"

    def _table(self, depth: int, tables: list[Table], outer: Sequence[Table]) -> str:
        name = self._alias(tables)
        kinds = ["person", "person", "notes", "cte", "values"] + ["select", "select", "lateral"] * (depth > 1)
        kind = self._pick(kinds)
        columns: tuple[str, ...]
        if kind == "cte" and self._tables:
            chosen = self._draw(st.sampled_from(self._tables))
            text, columns = f"{chosen.text} AS {name}", chosen.columns
        elif kind in ("select", "lateral") and depth > 1:
            columns = tuple(
                f"k{at}" if self._clean else self._pick(["email", "name", "id"]) + "_" * at for at in (0, 1)
            )
            here = {table.name for table in tables}
            around = [table for table in outer if table.name not in here]
            seen = [*tables, *around] if kind == "lateral" else around
            text = f"({self.select(depth - 1, 2, seen)}) AS {name}({', '.join(columns)})"
            text = "LATERAL " * (kind == "lateral") + text
        elif kind == "values":
            columns = ("v",)
            text = f"(VALUES ('a'), ('b')) AS {name}(v)"
        elif kind == "notes":
            text, columns = f"shop.notes AS {name}", NOTES
        else:
            text, columns = f"shop.person AS {name}", PERSON
            if not self._clean and self._number(6) == 0:
                columns = ("email", "id", "name", "word")
                text += f"({', '.join(columns)})"
        tables.append(Table(text, name, columns))
        return text

    def value(self, depth: int, seen: Sequence[Table]) -> str:
        """An expression of type text."""
        kind = self._pick(["column", "column", "one", "one", "two", "row", "row", "select", "constant"])
        if kind == "constant":
            return "'k'::text"
        if kind == "one" and depth:
            return f"({self._fill(self._pick(_ONE), depth - 1, seen)})"
        if kind == "two" and depth:
            return f"({self._fill(self._pick(_TWO), depth - 1, seen)})"
        if kind == "row" and not self._clean:
            return f"({self._fill_row(self._pick(_ROW), seen)})"
        if kind == "select" and depth > 1:
            inner = self.select(1, 1, seen)
            return f"(SELECT max(s) FROM ({inner}) AS sub(s))" if self._clean else f"(({inner}) LIMIT 1)"
        table = self._draw(st.sampled_from(list(seen)))
        if self._clean:
            return f"{table.name}.{self._pick([one for one in table.columns if one not in CLASSIFIED])}"
        column = self._pick([*table.columns, *(one for one in table.columns if one in CLASSIFIED)])
        alone = sum(column in other.columns for other in seen) == 1
        return column if alone and self._number(1) == 0 else f"{table.name}.{column}"

    def _fill(self, template: str, depth: int, seen: Sequence[Table]) -> str:
        return template.format(*(self.value(depth, seen) for _ in range(template.count("{}"))))

    def _fill_row(self, template: str, seen: Sequence[Table]) -> str:
        table = self._draw(st.sampled_from(list(seen)))
        field = "email" if "email" in table.columns else table.columns[0]
        return template.replace("email", field).replace("{}", table.name)


@st.composite
def queries(draw: st.DrawFn, *, clean: bool = False) -> str:
    """A query that may show classified values, or, when `clean`, one that plainly does not."""
    return Maker(draw, clean=clean).query()
