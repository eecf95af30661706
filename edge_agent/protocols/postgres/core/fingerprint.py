"""What a session means: asked of the server at hold and again just before the forward.

Whoever approves a text approves what it means: who runs it, how names and literals are read, and which of the
session's own temporary relations stand before the real ones. Every function is named with its schema: `search_path`
must not decide what this very question means.
"""

from __future__ import annotations

from typing import Final

SETTINGS: Final = (
    "search_path", "DateStyle", "TimeZone", "IntervalStyle", "bytea_output", "extra_float_digits",
    "standard_conforming_strings", "client_encoding", "row_security", "session_replication_role",
    "transform_null_equals", "default_table_access_method", "default_tablespace", "xmloption", "lc_monetary",
    "lc_numeric", "lc_time", "check_function_bodies", "default_transaction_isolation", "role",
)  # fmt: skip
"""Settings that change what a statement means or does."""

_PAIRS: Final = ", ".join(f"'{name}', pg_catalog.current_setting('{name}', true)" for name in SETTINGS)

EXPRESSION: Final = (  # noqa: S608 - of our own constants alone
    "pg_catalog.json_build_object('session_user', session_user, 'current_user', current_user, "
    f"'settings', pg_catalog.json_build_object({_PAIRS}), "
    "'temporary', (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(relname, relkind) ORDER BY relname) "
    "FROM pg_catalog.pg_class WHERE relnamespace OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema()))"
    "::pg_catalog.text"
)

FINGERPRINT: Final = f"SELECT {EXPRESSION}"
"""One row, one text column."""

XID_AND_FINGERPRINT: Final = f"SELECT pg_catalog.pg_current_xact_id()::pg_catalog.text, {EXPRESSION}"
"""One row: the transaction's id, assigned now, and the fingerprint."""
