"""What the session's open transaction keeps locked, asked together with the fingerprint, for people to know (W7).

It is shown and never digested: what a transaction locks may change while people think. Only relations of users, the
first `MAX_LOCKS` by name; everything is named in pg_catalog, as in `fingerprint`.
https://www.postgresql.org/docs/current/view-pg-locks.html
"""

from __future__ import annotations

import json
from typing import Final

from twokeys.messages import MAX_LOCKS

MAX_LOCK_CHARACTERS: Final = 256
"""Longest lock told: two names and the mode."""

LOCKS_SQL: Final = f"""(SELECT pg_catalog.jsonb_agg(held)::pg_catalog.text FROM (\
SELECT DISTINCT pg_catalog.concat(n.nspname, '.', c.relname, ' ', l.mode) COLLATE pg_catalog."C" AS held \
FROM pg_catalog.pg_locks AS l JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) l.relation \
JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace \
WHERE l.pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid() AND l.granted AND l.mode \
OPERATOR(pg_catalog.<>) 'SIReadLock' \
AND n.nspname::pg_catalog.text OPERATOR(pg_catalog.<>) ALL ('{{pg_catalog,pg_toast,information_schema}}') \
AND c.relkind::pg_catalog.text OPERATOR(pg_catalog.<>) ALL ('{{i,I}}') \
ORDER BY 1 LIMIT {MAX_LOCKS + 1}) AS locked)""".encode()  # noqa: S608 - nothing in it comes from outside
"""One text column: a JSON list of ``schema.relation Mode``; NULL without any. Runs read-only."""


def read_locks(answer: str) -> tuple[str, ...]:
    """The answer as a list; of more than `MAX_LOCKS` the last says so."""
    try:
        found = json.loads(answer) if answer else []
    except (ValueError, RecursionError):
        return ()
    if not isinstance(found, list):
        return ()
    locks = [str(one)[:MAX_LOCK_CHARACTERS] for one in found]
    return tuple(locks if len(locks) <= MAX_LOCKS else [*locks[: MAX_LOCKS - 1], "and more"])
