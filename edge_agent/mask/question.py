"""What is asked of the server about classified columns, and how its answer is read.

One question, asked in the session itself: the tables that hold classified columns, and all through which these can be
seen: views and materialized views on them, parents and children by inheritance and partitioning, views that call
functions or operators of users, and the server's own views of column statistics and of other sessions' texts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from edge_agent.mask.view_tree import MAX_TREE_CHARS
from twokeys.data_class import DataClass

MAX_COLUMNS: Final = 5_000
"""Most columns of relations through which something classified can be seen; with more nothing is known, and all that
has no known origin is redacted."""

TELLTALE: Final = (
    "pg_stats", "pg_stats_ext", "pg_stats_ext_exprs", "pg_statistic", "pg_statistic_ext_data", "pg_stat_activity",
    "pg_largeobject", "pg_prepared_statements", "pg_cursors",
)  # fmt: skip
"""Relations of pg_catalog that show values of other tables, or texts that hold some."""

_COLUMNS: Final = 9


@dataclass(frozen=True, slots=True)
class ColumnRow:
    """One column of a relation through which something classified can be seen.

    Args:
        table: OID of the relation.
        schema: Its schema.
        relation: Its name.
        number: The column's number.
        column: The column's name.
        generated: The server computes it from others of its row.
        parents: OIDs of tables that it inherits from.
        rule: Of a view its stored rule, told with the first column; else empty.
        newest: The highest OID of any relation at this time.
    """

    table: int
    schema: str
    relation: str
    number: int
    column: str
    generated: bool
    parents: tuple[int, ...]
    rule: str
    newest: int


def question(classes: Iterable[DataClass]) -> bytes:
    """The question about the columns of these classes. It calls and compares by pg_catalog's names alone."""
    patterns = [pattern for each in classes for pattern in each.columns]
    wanted = "|".join(map(pattern_regex, patterns)) or "(?!)"
    telltale = ", ".join(f"'{name}'" for name in TELLTALE)
    return _QUESTION.format(wanted=_literal(f"^(?:{wanted})$"), telltale=telltale, most=MAX_COLUMNS + 1,
                            rule=MAX_TREE_CHARS).encode()  # fmt: skip


def pattern_regex(pattern: str) -> str:
    """A column pattern as a regular expression that Python and PostgreSQL read alike; parts are joined by NUL's
    stand-in, the unit separator, which no pattern has."""
    return r"\u001f".join(map(_part, pattern.split(".")))


def _part(part: str) -> str:
    wild = {"*": r"[^\u001f]*", "?": r"[^\u001f]"}
    return "".join(wild.get(sign, sign if sign.isalnum() or sign == "_" else "\\" + sign) for sign in part)


def matcher(patterns: Sequence[str]) -> re.Pattern[str]:
    """Matches ``schema␟relation␟column`` where one of these patterns does."""
    return re.compile("|".join(map(pattern_regex, patterns)) or "(?!)")


def read_answer(rows: Iterable[Sequence[bytes | None]]) -> list[ColumnRow] | None:
    """Read the answer. None when there are too many columns, or it is not as asked: then nothing is known."""
    found: list[ColumnRow] = []
    try:
        for row in rows:
            if len(row) != _COLUMNS:
                return None
            texts = [(value or b"").decode() for value in row]
            parents = tuple(map(int, filter(None, texts[6].split(","))))
            table, number, newest = int(texts[0]), int(texts[3]), int(texts[8])
            names = texts[1], texts[2], number, texts[4]
            found.append(ColumnRow(table, *names, texts[5] == "t", parents, texts[7], newest))
    except ValueError:
        return None
    return None if len(found) > MAX_COLUMNS else found


def _literal(text: str) -> str:
    """A string constant, as standard_conforming_strings reads it."""
    return "'" + text.replace("'", "''") + "'"


_QUESTION: Final = r"""
WITH RECURSIVE telltale AS (
  SELECT c.oid FROM pg_catalog.pg_class c
  WHERE c.relnamespace = 'pg_catalog'::pg_catalog.regnamespace AND c.relname IN ({telltale})
), hit(oid) AS (
  (SELECT a.attrelid FROM pg_catalog.pg_attribute a
     JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
   WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
     AND pg_catalog.concat_ws(pg_catalog.chr(31), n.nspname, c.relname, a.attname) ~ {wanted}
   UNION SELECT oid FROM telltale
   UNION SELECT r.ev_class FROM pg_catalog.pg_rewrite r
     JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND d.objid = r.oid
   WHERE d.refclassid IN ('pg_catalog.pg_proc'::pg_catalog.regclass, 'pg_catalog.pg_operator'::pg_catalog.regclass)
   UNION SELECT r.ev_class FROM pg_catalog.pg_rewrite r, telltale t
   WHERE r.ev_class >= 16384 AND pg_catalog.strpos(
     r.ev_action::pg_catalog.text, ' :relid ' || t.oid::pg_catalog.text || ' ') > 0)
  UNION
  SELECT beside.oid FROM hit CROSS JOIN LATERAL (
    SELECT i.inhrelid FROM pg_catalog.pg_inherits i WHERE i.inhparent = hit.oid
    UNION ALL SELECT i.inhparent FROM pg_catalog.pg_inherits i WHERE i.inhrelid = hit.oid
    UNION ALL SELECT r.ev_class FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid
    WHERE d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
      AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid = hit.oid
  ) beside(oid)
)
SELECT c.oid, n.nspname, c.relname, a.attnum, a.attname, a.attgenerated <> '',
  (SELECT pg_catalog.string_agg(i.inhparent::pg_catalog.text, ',') FROM pg_catalog.pg_inherits i
   WHERE i.inhrelid = c.oid),
  CASE WHEN a.attnum = 1 THEN (SELECT pg_catalog.left(r.ev_action::pg_catalog.text, {rule} + 1)
    FROM pg_catalog.pg_rewrite r WHERE r.ev_class = c.oid AND r.rulename = '_RETURN') END,
  (SELECT pg_catalog.max(newest.oid) FROM pg_catalog.pg_class newest)
FROM hit JOIN pg_catalog.pg_class c ON c.oid = hit.oid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LIMIT {most}
"""
