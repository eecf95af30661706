"""Texts of well-known programs that look worse than they are; matched to the byte, never in part."""

from __future__ import annotations

from typing import Final

WITHOUT_SECRETS: Final = {
    # pg_dump (10 to 18) asks this of everybody who is no superuser, and dumps nothing when it is refused.
    b"SELECT count(*) FROM pg_subscription WHERE subdbid = (SELECT oid FROM pg_database"
    b"                 WHERE datname = current_database())": frozenset({"pg_subscription"}),
}
"""Text, and the tables of `SECRET_RELATIONS` of which it shows nothing secret."""

HARMLESS_CALLS: Final = frozenset(
    {
        # Forbids more: pg_dump keeps itself from what views and foreign tables run (CVE-2024-7348).
        b"SELECT set_config(name, 'view, foreign-table', false) FROM pg_settings "
        b"WHERE name = 'restrict_nonsystem_relation_kind'",
        # Lets the jobs of `pg_dump --jobs` read one state, for as long as the transaction that exports it lasts.
        b"SELECT pg_catalog.pg_export_snapshot()",
    }
)
"""Texts whose calls are harmless as they stand, though the same functions with other arguments are not."""
