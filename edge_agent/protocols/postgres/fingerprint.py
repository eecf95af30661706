"""The session's fingerprint: all that changes what a text means, asked of the server in one query.

An Approval covers it (attack class W6): role, settings that change meaning, the session's own temporary relations and
types, which are found before all others, and the texts that EXECUTE's names stand for. Everything is named in
pg_catalog, so that no search_path can put another function or operator in its place.
"""

from __future__ import annotations

import json
from typing import Final

SETTINGS: Final = (
    "search_path",
    "DateStyle",
    "TimeZone",
    "IntervalStyle",
    "bytea_output",
    "extra_float_digits",
    "standard_conforming_strings",
    "client_encoding",
    "row_security",
    "session_replication_role",
    "transform_null_equals",
    "array_nulls",
    "backslash_quote",
    "quote_all_identifiers",
    "default_transaction_isolation",
    "default_table_access_method",
    "default_tablespace",
    "default_toast_compression",
    "temp_tablespaces",
    "xmlbinary",
    "xmloption",
    "lc_monetary",
    "lc_numeric",
    "lc_time",
    "default_text_search_config",
    "check_function_bodies",
    "lo_compat_privileges",
    "synchronous_commit",
)
"""Settings that change what a statement does. Not transaction_read_only: that one is ours."""

_OWN: Final = """(SELECT pg_catalog.jsonb_agg(pg_catalog.concat({kind}, ':', {name}) \
ORDER BY pg_catalog.concat({kind}, ':', {name}) COLLATE pg_catalog."C") FROM pg_catalog.{table} \
WHERE {schema} OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema())"""

_PREPARED: Final = """(SELECT pg_catalog.jsonb_object_agg(name, \
pg_catalog.sha256(pg_catalog.convert_to(statement, 'UTF8'))::pg_catalog.text) \
FROM pg_catalog.pg_prepared_statements WHERE from_sql)"""
"""What EXECUTE means: the texts prepared by SQL, digested. What Parse made, a Command carries itself."""


def _expression() -> str:
    settings = ", ".join(f"'{name}', pg_catalog.current_setting('{name}', true)" for name in SETTINGS)
    relations = _OWN.format(kind="relkind", name="relname", table="pg_class", schema="relnamespace")
    types = _OWN.format(kind="typtype", name="typname", table="pg_type", schema="typnamespace")
    return (
        "pg_catalog.jsonb_build_object("
        "'session_user', session_user, 'current_user', current_user, "
        f"'settings', pg_catalog.jsonb_build_object({settings}), "
        f"'relations', {relations}, 'types', {types}, 'prepared', {_PREPARED})::pg_catalog.text"
    )


FINGERPRINT_SQL: Final = f"SELECT {_expression()}".encode()
"""One row, one text column: JSON with sorted keys (jsonb). Runs read-only."""


def search_path_of(answer: str) -> str:
    """The search_path in an answer to the fingerprint's question; a comma, which is none, when there is none to be
    read."""
    try:
        return str(json.loads(answer)["settings"]["search_path"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return ","


XID_SQL: Final = f"SELECT pg_catalog.pg_current_xact_id()::pg_catalog.text, {_expression()}".encode()
"""The transaction's id, which this assigns, and the fingerprint."""

XID_AND_PATH_SQL: Final = (
    b"SELECT pg_catalog.pg_current_xact_id()::pg_catalog.text, pg_catalog.current_setting('search_path')"
)
"""The transaction's id, which this assigns, and what unqualified names mean."""

ASSIGNED_XID_SQL: Final = b"SELECT pg_catalog.pg_current_xact_id_if_assigned()::pg_catalog.text"
"""The transaction's id; NULL where nothing was written in it."""
