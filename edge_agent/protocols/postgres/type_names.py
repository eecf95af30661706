"""The parameters' types in words, asked of the server: reviewers see them beside the values.

A type outside pg_catalog is named with its schema whatever the search_path is, so that nobody's own `text` looks like
PostgreSQL's. Everything is named in pg_catalog, so that no search_path can put another function in its place.

https://www.postgresql.org/docs/current/functions-info.html (format_type), catalog-pg-type.html
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from twokeys.messages import MAX_TYPE_CHARACTERS, MAX_TYPES

_SQL: Final = """SELECT pg_catalog.jsonb_object_agg(t.oid::pg_catalog.text, CASE WHEN n.nspname OPERATOR(pg_catalog.=) \
'pg_catalog'::pg_catalog.name THEN pg_catalog.format_type(t.oid, NULL) ELSE pg_catalog.concat(\
pg_catalog.quote_ident(n.nspname::pg_catalog.text), '.', \
pg_catalog.quote_ident(coalesce(e.typname, t.typname)::pg_catalog.text), \
CASE WHEN e.oid IS NULL THEN '' ELSE '[]' END) END) FROM pg_catalog.pg_type t \
JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) t.typnamespace \
LEFT JOIN pg_catalog.pg_type e ON e.oid OPERATOR(pg_catalog.=) t.typelem \
AND e.typarray OPERATOR(pg_catalog.=) t.oid \
WHERE t.oid OPERATOR(pg_catalog.=) ANY ('{%s}'::pg_catalog.oid[])"""


def types_sql(types: Sequence[int]) -> bytes:
    """One row, one text column: a JSON object, name by OID, of the first `MAX_TYPES` types."""
    return (_SQL % ",".join(str(oid) for oid in sorted(set(types[:MAX_TYPES])))).encode()


def read_types(types: Sequence[int], answer: str) -> tuple[str, ...]:
    """The names of the first `MAX_TYPES` types by what the server answered; empty for one that it does not know."""
    try:
        names = json.loads(answer or "{}")
    except (ValueError, RecursionError):
        names = {}
    if not isinstance(names, dict):
        names = {}
    return tuple(str(names.get(str(oid), ""))[:MAX_TYPE_CHARACTERS] for oid in types[:MAX_TYPES])
