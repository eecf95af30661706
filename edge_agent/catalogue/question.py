"""What is asked of the server about its catalogue, and how the answer is read.

Both questions are simple Queries of constants, in a read-only transaction with an empty search_path: there every name
and operator without a schema is the server's own, and what the server spells has every name of users' qualified.
Each row is one column: a JSON array, `snapshot`'s types in their order.
https://www.postgresql.org/docs/current/catalogs.html
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, get_args

import msgspec

from edge_agent.catalogue.limits import CatalogueLimits
from edge_agent.catalogue.snapshot import (
    FIRST_USER_OID,
    Builtin,
    Cast,
    Entry,
    Function,
    Operator,
    Relation,
    Snapshot,
    Type,
)


class Overfull(Exception):
    """The catalogue holds more than a limit allows, or what nobody expects: then nothing of it counts."""


_U: Final = FIRST_USER_OID

_STAMPED: Final = (
    ("pg_proc", "true"),
    ("pg_operator", "true"),
    ("pg_cast", "true"),
    ("pg_type", "true"),
    ("pg_constraint", "contypid <> 0"),
    ("pg_amproc", "true"),
    ("pg_rewrite", "true"),
    ("pg_policy", "true"),
    ("pg_namespace", "nspname !~ '^pg_(toast_)?temp_'"),
    ("pg_attrdef", "true"),
    ("pg_class", "relpersistence <> 't' AND relkind IN ('r', 'p', 'v', 'f')"),
)
"""Catalogues whose users' rows make the stamp, and which of them."""


# A changed row is a new row version: xmin moves even where the id stays (and shows after freezing, too).
_SUM: Final = """
(SELECT count(*) || '.' || coalesce(sum(hashtextextended(oid::text || '.' || xmin::text, 0)), 0)
 FROM pg_catalog.{table} WHERE oid >= {user} AND {condition})
"""


def _transaction(*statements: str) -> str:
    return "; ".join(("BEGIN READ ONLY", "SET LOCAL search_path = ''", *statements, "COMMIT"))


_STAMP: Final = (
    "SELECT concat_ws(' ', 'v1', "
    + ", ".join(_SUM.format(table=table, condition=condition, user=_U).strip() for table, condition in _STAMPED)
    + ")"
)
STAMP_SQL: Final = _transaction(_STAMP)
"""One row: a text that moves whenever anything of the Snapshot may have moved."""

_FUNCTIONS: Final = """
SELECT json_build_array('f', p.oid::int8, n.nspname, p.proname, p.prokind, p.provolatile, l.lanname,
 pg_get_userbyid(p.proowner), p.prosecdef, coalesce(array_to_json(p.proconfig), '[]'),
 p.pronargs - p.pronargdefaults, oidvectortypes(p.proargtypes),
 array_to_json(ARRAY(SELECT t::int8 FROM unnest(p.proargtypes::oid[] || p.prorettype) AS t)),
 coalesce((SELECT t.typtype IN ('c', 'p') OR t.typbasetype <> 0 FROM pg_catalog.pg_type t
  WHERE t.oid = p.proargtypes[0]), false),
 CASE WHEN l.lanname = 'sql' AND octet_length(p.prosrc) <= {bytes} THEN p.prosrc END,
 CASE WHEN l.lanname = 'sql' AND p.prokind IN ('f', 'p') THEN pg_get_function_sqlbody(p.oid) END,
 CASE WHEN p.pronargdefaults > 0 THEN pg_get_expr(p.proargdefaults, 0) END,
 CASE WHEN l.lanname = 'c' THEN coalesce(p.probin, '') ELSE '' END,
 coalesce((SELECT e.extname FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
  WHERE d.classid = 'pg_catalog.pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
  AND d.refclassid = 'pg_catalog.pg_extension'::regclass LIMIT 1), ''),
 CASE WHEN p.prokind = 'a' OR l.lanname IN ('c', 'internal') THEN ''
  ELSE encode(sha256(convert_to(pg_get_functiondef(p.oid), 'UTF8')), 'hex') END,
 coalesce((SELECT array_to_json(array_remove(ARRAY[a.aggtransfn::int8, a.aggfinalfn::int8, a.aggcombinefn::int8,
  a.aggserialfn::int8, a.aggdeserialfn::int8, a.aggmtransfn::int8, a.aggminvtransfn::int8, a.aggmfinalfn::int8], 0))
  FROM pg_catalog.pg_aggregate a WHERE a.aggfnoid = p.oid), '[]'))
FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
JOIN pg_catalog.pg_language l ON l.oid = p.prolang
WHERE p.oid >= {user} AND p.prorettype NOT IN ('pg_catalog.trigger'::regtype, 'pg_catalog.event_trigger'::regtype)
LIMIT {most}
"""

_BUILTINS: Final = """
SELECT json_build_array('b', p.oid::int8, p.proname, p.provolatile) FROM pg_catalog.pg_proc p
WHERE p.oid < {user} AND p.oid IN (
 SELECT oprcode FROM pg_catalog.pg_operator WHERE oid >= {user}
 UNION ALL SELECT castfunc FROM pg_catalog.pg_cast WHERE oid >= {user}
 UNION ALL SELECT amproc FROM pg_catalog.pg_amproc WHERE oid >= {user}
 UNION ALL SELECT unnest(ARRAY[aggtransfn, aggfinalfn, aggcombinefn, aggserialfn, aggdeserialfn, aggmtransfn,
  aggminvtransfn, aggmfinalfn]::oid[]) FROM pg_catalog.pg_aggregate WHERE aggfnoid >= {user}) LIMIT {most}
"""

_OPERATORS: Final = """
SELECT json_build_array('o', o.oid::int8, n.nspname, o.oprname, o.oprcode::int8) FROM pg_catalog.pg_operator o
JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace WHERE o.oid >= {user} LIMIT {most}
"""

_CASTS: Final = """
SELECT json_build_array('c', castsource::int8, casttarget::int8, castfunc::int8) FROM pg_catalog.pg_cast
WHERE oid >= {user} AND castfunc <> 0 LIMIT {most}
"""

_TYPES: Final = """
SELECT json_build_array('t', t.oid::int8, n.nspname, t.typname,
 array_to_json(array_remove(ARRAY[t.typbasetype::int8, t.typelem::int8] || ARRAY(
  SELECT a.atttypid::int8 FROM pg_catalog.pg_attribute a
  WHERE t.typrelid <> 0 AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped)
  || ARRAY(SELECT r.rngsubtype::int8 FROM pg_catalog.pg_range r WHERE t.oid IN (r.rngtypid, r.rngmultitypid)), 0)),
 array_to_json(ARRAY(SELECT pg_get_expr(c.conbin, 0) FROM pg_catalog.pg_constraint c
  WHERE c.contypid = t.oid AND c.contype = 'c' AND c.conbin IS NOT NULL)),
 array_to_json(ARRAY(SELECT DISTINCT s.amproc::oid::int8 FROM pg_catalog.pg_amproc s
  WHERE s.oid >= {user} AND t.oid IN (s.amproclefttype, s.amprocrighttype))))
FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
WHERE t.oid >= {user}
AND (t.typrelid = 0 OR (SELECT k.relkind FROM pg_catalog.pg_class k WHERE k.oid = t.typrelid) = 'c')
AND NOT (t.typelem <> 0 AND t.typarray = 0 AND (SELECT coalesce(k.relkind, 'c') <> 'c' FROM pg_catalog.pg_type e
 LEFT JOIN pg_catalog.pg_class k ON k.oid = e.typrelid WHERE e.oid = t.typelem)) LIMIT {most}
"""
"""Row types of tables are left out, and arrays of these: the tables' columns are looked at where the tables are."""

_RELATIONS: Final = """
WITH RECURSIVE remote(oid) AS (SELECT oid FROM pg_catalog.pg_class WHERE relkind = 'f'
 UNION SELECT i.inhparent FROM remote JOIN pg_catalog.pg_inherits i ON i.inhrelid = remote.oid)
SELECT json_build_array('r', k.oid::int8, n.nspname, k.relname,
 CASE k.relkind WHEN 'v' THEN 'v' WHEN 'f' THEN 'f' ELSE 'r' END,
 CASE WHEN k.relkind = 'v' AND octet_length(pg_get_viewdef(k.oid)) <= {bytes} THEN pg_get_viewdef(k.oid) END,
 array_to_json(ARRAY(
  SELECT pg_get_expr(q.polqual, q.polrelid) FROM pg_catalog.pg_policy q
  WHERE q.polrelid = k.oid AND q.polqual IS NOT NULL
  UNION ALL SELECT pg_get_expr(g.adbin, g.adrelid) FROM pg_catalog.pg_attrdef g
  JOIN pg_catalog.pg_attribute a ON a.attrelid = g.adrelid AND a.attnum = g.adnum
  WHERE g.adrelid = k.oid AND a.attgenerated = 'v')),
 array_to_json(ARRAY(
  SELECT CASE WHEN d.refclassid = 'pg_catalog.pg_proc'::regclass THEN d.refobjid::int8
   ELSE (SELECT o.oprcode::oid::int8 FROM pg_catalog.pg_operator o WHERE o.oid = d.refobjid) END
  FROM (SELECT 'pg_catalog.pg_rewrite'::regclass AS class, w.oid FROM pg_catalog.pg_rewrite w
    WHERE w.ev_class = k.oid AND w.ev_type = '1'
   UNION ALL SELECT 'pg_catalog.pg_policy'::regclass, q.oid FROM pg_catalog.pg_policy q WHERE q.polrelid = k.oid) AS s
  JOIN pg_catalog.pg_depend d ON d.classid = s.class AND d.objid = s.oid
  WHERE d.refclassid IN ('pg_catalog.pg_proc'::regclass, 'pg_catalog.pg_operator'::regclass))),
 array_to_json(ARRAY(SELECT DISTINCT a.atttypid::int8 FROM pg_catalog.pg_attribute a
  WHERE a.attrelid = k.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.atttypid >= {user})),
 k.oid IN (SELECT oid FROM remote))
FROM pg_catalog.pg_class k JOIN pg_catalog.pg_namespace n ON n.oid = k.relnamespace
WHERE k.oid >= {user} AND k.relpersistence <> 't' AND k.relkind IN ('r', 'p', 'v', 'm', 'f')
AND (k.relkind IN ('v', 'f') OR k.relrowsecurity OR k.oid IN (SELECT oid FROM remote)
 OR EXISTS (SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = k.oid AND a.attnum > 0
  AND (a.atttypid >= {user} OR a.attgenerated = 'v'))) LIMIT {most}
"""


def load_sql(limits: CatalogueLimits) -> str:
    """The text that loads a Snapshot: its first row is the stamp of the same moment."""
    texts = (_FUNCTIONS, _BUILTINS, _OPERATORS, _CASTS, _TYPES, _RELATIONS)
    filled = (text.format(user=_U, bytes=limits.definition_bytes, most=limits.objects + 1).strip() for text in texts)
    # One moment for all: the stamp must not be newer than what it stands for.
    return _transaction("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", _STAMP, *filled)


_ENTRY: Final = msgspec.json.Decoder(Entry)


def read_snapshot(rows: Iterable[bytes], limits: CatalogueLimits) -> Snapshot:
    """Read the rows of `load_sql`'s answer.

    Raises:
        Overfull: More than a limit allows, or a row that is none of ours.
    """
    found: dict[type, list[Entry]] = {kind: [] for kind in get_args(Entry)}
    stamp = ""
    try:
        for row in rows:
            if not stamp:
                stamp = row.decode()
                continue
            entry = _ENTRY.decode(row)
            kept = found[type(entry)]
            kept.append(entry)
            if len(kept) > limits.objects:
                raise Overfull(f"more than {limits.objects} of one kind")
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Overfull("a row that nobody expects") from error
    kinds = (Function, Builtin, Operator, Cast, Type, Relation)
    return Snapshot(stamp, *(tuple(found[kind]) for kind in kinds))  # type: ignore[arg-type]
