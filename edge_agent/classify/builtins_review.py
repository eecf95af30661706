"""How the functions of pg_catalog were reviewed: the rule behind `builtin_functions.txt`.

The file is made by applying `review` to a live server's pg_proc (tests/edge_agent/classify/live_builtins.py does it,
and a test compares the two). A function is a proven reader when every overload is immutable or stable and its name is
not denied here, or when it is volatile and stands in `VOLATILE_READERS`.
"""

from __future__ import annotations

import re
from typing import Final

from edge_agent.classify.names import words

READ: Final = "read"
ROW: Final = "row"
"""A reader that returns several columns, so that `alias.name` can't be a call of a function `name`."""
WRITE: Final = "write"
PRIVILEGED: Final = "privileged"

VOLATILE_READERS: Final = words(
    """
    random random_normal array_sample array_shuffle gen_random_uuid uuidv4 uuidv7 clock_timestamp timeofday
    current_query currval lastval pg_sleep pg_sleep_for pg_sleep_until pg_blocking_pids
    pg_safe_snapshot_blocking_pids pg_collation_actual_version pg_database_collation_actual_version
    pg_control_checkpoint pg_control_init pg_control_recovery pg_control_system pg_current_wal_flush_lsn
    pg_current_wal_insert_lsn pg_current_wal_lsn pg_database_size pg_indexes_size pg_relation_size pg_table_size
    pg_tablespace_size pg_total_relation_size pg_get_shmem_allocations pg_get_wait_events
    pg_get_multixact_members pg_get_wal_replay_pause_state pg_get_wal_resource_managers
    pg_get_backend_memory_contexts pg_is_in_recovery pg_is_wal_replay_paused pg_jit_available
    pg_last_committed_xact pg_last_wal_receive_lsn pg_last_wal_replay_lsn pg_last_xact_replay_timestamp
    pg_lock_status pg_notification_queue_usage pg_partition_ancestors pg_partition_tree pg_prepared_xact
    pg_sequence_last_value pg_get_sequence_data pg_stat_have_stats pg_stat_clear_snapshot pg_xact_status txid_status
    pg_xact_commit_timestamp pg_xact_commit_timestamp_origin pg_show_replication_origin_status
    pg_advisory_unlock_all
    """
)
"""Volatile, yet without effect on anybody else. `pg_advisory_unlock_all` gives back what this session took: pools
call it when a connection returns."""

_VOLATILE_READER = re.compile(r"pg_stat_get_\w+")

_WRITERS = re.compile(
    r"nextval|setval|setseed|pg_notify|pg_(try_)?advisory_\w+|lo(_\w+|read|write)|pg_export_snapshot"
    r"|brin_(de)?summarize_\w+|gin_clean_pending_list|pg_stat_force_next_flush"
)
"""What changes rows, sequences, large objects, locks or other sessions' view; reading a large object is among it,
since its descriptor may be open for writing."""

_DENIED = re.compile(
    # Files, the server's own logs and signals.
    r"pg_(read|ls|file|stat_file|rotate|reload|switch|promote|terminate|cancel|log|logical|create|drop|copy)(_\w+)?"
    r"|lo_(import|export)"
    # SQL in strings, or whole tables by name.
    r"|(query|cursor|table|schema|database)_to_xml\w*|ts_stat|ts_rewrite|currtid2?"
    # Settings; `set_config` is judged by its arguments.
    r"|set_config|pg_stat_reset\w*"
    r"|pg_(hba_file_rules|ident_file_mappings|show_all_file_settings|import_system_collations|nextoid)"
    r"|pg_replication_\w+|pg_(clear|restore)_\w+_stats|pg_sync_replication_slots|pg_wal_(replay|summary)_\w+"
    r"|binary_upgrade_\w+|\w+_validator|pg_extension_config_dump|pg_get_loaded_modules"
)


def review(name: str, volatilities: str, columns: int) -> str:
    """The mark of one function name.

    Args:
        name: The name in pg_catalog; all its overloads are judged together.
        volatilities: The letters of provolatile of all overloads.
        columns: Most result columns (OUT, INOUT and TABLE parameters) of an overload, but of the fewest.

    Returns:
        `READ`, `ROW`, `WRITE` or `PRIVILEGED`; whatever was not looked at is `PRIVILEGED`.
    """
    if name not in VOLATILE_READERS:
        if _DENIED.fullmatch(name):
            return PRIVILEGED
        if _WRITERS.fullmatch(name):
            return WRITE
        if "v" in volatilities and not _VOLATILE_READER.fullmatch(name):
            return PRIVILEGED
    return ROW if columns > 1 else READ
