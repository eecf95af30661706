"""What the catalogue says of the relation that a statement changes, asked of the server in one question.

Everything is named in pg_catalog, so that no search_path can put another function or operator in its place.
https://www.postgresql.org/docs/current/catalogs.html
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from twokeys.preview import MAX_LINES

_MOST: Final = MAX_LINES
"""Most triggers, rules or foreign keys that are listed."""

_ROW, _BEFORE, _INSERT, _DELETE, _UPDATE, _TRUNCATE, _INSTEAD = 1, 2, 4, 8, 16, 32, 64
"""Bits of pg_trigger.tgtype (catalog/pg_trigger.h)."""

EVENTS: Final = {"INSERT": _INSERT, "UPDATE": _UPDATE, "DELETE": _DELETE, "TRUNCATE": _TRUNCATE}


@dataclass(frozen=True, slots=True)
class TargetColumn:
    """A column. `cast`: the built-in type a value is converted to, or empty; `default`: its source, or empty."""

    name: str
    cast: str
    default: str
    key: bool


@dataclass(frozen=True, slots=True)
class Trigger:
    """A trigger that fires: its name, `pg_trigger.tgtype`, and the function it calls."""

    name: str
    bits: int
    calls: str

    def fires_on(self, event: int) -> bool:
        """Whether it fires on one of `EVENTS`."""
        return bool(self.bits & event)

    @property
    def when(self) -> str:
        """When, in words."""
        moment = "instead of" if self.bits & _INSTEAD else "before" if self.bits & _BEFORE else "after"
        return f"{moment} each {'row' if self.bits & _ROW else 'statement'}"


@dataclass(frozen=True, slots=True)
class Cascade:
    """A foreign key that acts on other rows: which one, of which table, what it does, and how far away it is."""

    name: str
    table: str
    on_delete: str
    on_update: str
    columns: frozenset[str]
    level: int


@dataclass(frozen=True, slots=True)
class Target:
    """A relation."""

    name: str
    kind: str
    columns: tuple[TargetColumn, ...]
    triggers: tuple[Trigger, ...]
    rules: tuple[tuple[str, str], ...]
    """Name and event of each rewrite rule but a view's own."""
    cascades: tuple[Cascade, ...]
    row_security: bool
    """It has policies for rows, whoever asks."""
    partitions: int
    role: str
    """As whom the session asks, and as whom the statement will run."""
    unread: bool
    """Row-level security holds for this role, and policies of single commands: it may change rows it can't read."""


def literal(text: str) -> str:
    """A string constant, under standard_conforming_strings."""
    return "'" + text.replace("'", "''") + "'"


def quoted(name: str) -> str:
    """A quoted identifier."""
    return '"' + name.replace('"', '""') + '"'


_SQL: Final = """WITH RECURSIVE target AS (SELECT c.* FROM pg_catalog.pg_class c \
WHERE c.oid OPERATOR(pg_catalog.=) pg_catalog.to_regclass(%(name)s)::pg_catalog.oid), \
keys AS (SELECT k.conname, k.conrelid, k.confdeltype, k.confupdtype, k.confrelid, k.confkey, 1 AS level \
FROM pg_catalog.pg_constraint k JOIN target t ON k.confrelid OPERATOR(pg_catalog.=) t.oid \
WHERE k.contype OPERATOR(pg_catalog.=) 'f' AND k.conparentid OPERATOR(pg_catalog.=) 0::pg_catalog.oid \
UNION SELECT k.conname, k.conrelid, k.confdeltype, k.confupdtype, k.confrelid, k.confkey, \
b.level OPERATOR(pg_catalog.+) 1 FROM pg_catalog.pg_constraint k \
JOIN keys b ON k.confrelid OPERATOR(pg_catalog.=) b.conrelid \
WHERE k.contype OPERATOR(pg_catalog.=) 'f' AND k.conparentid OPERATOR(pg_catalog.=) 0::pg_catalog.oid \
AND b.confdeltype OPERATOR(pg_catalog.=) 'c' AND b.level OPERATOR(pg_catalog.<) 5) \
SELECT pg_catalog.jsonb_build_object(\
'schema', n.nspname, 'name', t.relname, 'kind', t.relkind, 'row_security', t.relrowsecurity, 'role', current_user, \
'unread', pg_catalog.row_security_active(t.oid) AND EXISTS (SELECT FROM pg_catalog.pg_policy o \
WHERE o.polrelid OPERATOR(pg_catalog.=) t.oid AND o.polcmd::pg_catalog.text OPERATOR(pg_catalog.<>) '*'), \
'partitions', (SELECT pg_catalog.count(*) FROM pg_catalog.pg_inherits i \
WHERE i.inhparent OPERATOR(pg_catalog.=) t.oid), \
'columns', (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(a.attname, \
CASE WHEN y.typnamespace OPERATOR(pg_catalog.=) 'pg_catalog'::pg_catalog.regnamespace::pg_catalog.oid THEN \
pg_catalog.format_type(a.atttypid, CASE WHEN a.atttypid OPERATOR(pg_catalog.=) ANY \
('{1042,1043,1560,1562,1014,1015,1561,1563}'::pg_catalog.oid[]) THEN -1 ELSE a.atttypmod END) ELSE '' END, \
coalesce(pg_catalog.left(pg_catalog.pg_get_expr(d.adbin, d.adrelid), 100), ''), \
EXISTS (SELECT FROM pg_catalog.pg_index x WHERE x.indrelid OPERATOR(pg_catalog.=) t.oid AND x.indisprimary \
AND a.attnum OPERATOR(pg_catalog.=) ANY (x.indkey))) ORDER BY a.attnum) \
FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type y ON y.oid OPERATOR(pg_catalog.=) a.atttypid \
LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid OPERATOR(pg_catalog.=) t.oid \
AND d.adnum OPERATOR(pg_catalog.=) a.attnum \
WHERE a.attrelid OPERATOR(pg_catalog.=) t.oid AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped), \
'triggers', (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(g.tgname, g.tgtype, \
pg_catalog.concat(s.nspname, '.', p.proname, '()'))) FROM (SELECT * FROM pg_catalog.pg_trigger z \
WHERE z.tgrelid OPERATOR(pg_catalog.=) t.oid AND NOT z.tgisinternal \
AND z.tgenabled OPERATOR(pg_catalog.<>) 'D' ORDER BY z.tgname LIMIT %(most)d) g \
JOIN pg_catalog.pg_proc p ON p.oid OPERATOR(pg_catalog.=) g.tgfoid \
JOIN pg_catalog.pg_namespace s ON s.oid OPERATOR(pg_catalog.=) p.pronamespace), \
'rules', (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(r.rulename, r.ev_type)) \
FROM (SELECT * FROM pg_catalog.pg_rewrite w WHERE w.ev_class OPERATOR(pg_catalog.=) t.oid \
AND w.ev_type OPERATOR(pg_catalog.<>) '1' AND w.ev_enabled OPERATOR(pg_catalog.<>) 'D' \
ORDER BY w.rulename LIMIT %(most)d) r), \
'cascades', (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(k.conname, \
pg_catalog.concat(m.nspname, '.', c.relname), k.confdeltype, k.confupdtype, \
(SELECT pg_catalog.jsonb_agg(a.attname) FROM pg_catalog.pg_attribute a \
WHERE a.attrelid OPERATOR(pg_catalog.=) k.confrelid AND a.attnum OPERATOR(pg_catalog.=) ANY (k.confkey)), k.level)) \
FROM (SELECT * FROM keys ORDER BY level, conname LIMIT %(most)d) k \
JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) k.conrelid \
JOIN pg_catalog.pg_namespace m ON m.oid OPERATOR(pg_catalog.=) c.relnamespace)\
)::pg_catalog.text FROM target t JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) t.relnamespace"""


def target_sql(schema: str, name: str) -> bytes:
    """One row, one text column, or no row: what there is under this name, found as the session finds it."""
    path = f"{quoted(schema)}.{quoted(name)}" if schema else quoted(name)
    return (_SQL % {"name": literal(path), "most": _MOST}).encode()


def read_target(answer: str) -> Target | None:
    """Read the answer; None when it is not as asked for."""
    try:
        found: dict[str, Any] = json.loads(answer)
        return Target(
            f"{found['schema']}.{found['name']}",
            str(found["kind"]),
            tuple(
                TargetColumn(str(name), str(cast), str(default), bool(key))
                for name, cast, default, key in found["columns"] or ()
            ),
            tuple(Trigger(str(name), int(bits), str(calls)) for name, bits, calls in found["triggers"] or ()),
            tuple((str(name), str(event)) for name, event in found["rules"] or ()),
            tuple(
                Cascade(str(name), str(table), str(deleted), str(updated), frozenset(columns or ()), int(level))
                for name, table, deleted, updated, columns, level in found["cascades"] or ()
            ),
            bool(found["row_security"]),
            int(found["partitions"]),
            str(found["role"]),
            bool(found["unread"]),
        )
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
