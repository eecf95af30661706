"""What PostgreSQL itself does in a session that was started with default_transaction_read_only=on, by version.

Each Try is a script of messages and what came of it on a server without an Edge:

    25006, 0A000, …   refused with this SQLSTATE, and nothing was written
    executed          done, though nothing was written to a table: an effect that read-only mode does not know
    escapes           a row was written, and stays
    harmless          done, and the session is as read-only as before

The same scripts must not get through an Edge, whoever its role at the server is: see `test_witness_matrix_live`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

ROW: Final = "INSERT INTO shop.matrix VALUES (1)"
OFF: Final = "default_transaction_read_only"

SETUP: Final = f"""
DROP SCHEMA IF EXISTS matrix CASCADE;
CREATE SCHEMA matrix;
CREATE EXTENSION IF NOT EXISTS dblink SCHEMA public;
CREATE EXTENSION IF NOT EXISTS tablefunc SCHEMA public;
CREATE TABLE IF NOT EXISTS shop.matrix (n int, at serial PRIMARY KEY);
TRUNCATE shop.matrix;
INSERT INTO shop.matrix VALUES (0);
CREATE MATERIALIZED VIEW matrix.kept AS SELECT 1 AS n;
CREATE FUNCTION matrix.volatile(int DEFAULT 1) RETURNS int LANGUAGE sql VOLATILE AS '{ROW} RETURNING 1';
CREATE FUNCTION matrix.definer() RETURNS int LANGUAGE sql VOLATILE SECURITY DEFINER AS '{ROW} RETURNING 1';
CREATE FUNCTION matrix.stable() RETURNS int LANGUAGE plpgsql STABLE AS 'BEGIN {ROW}; RETURN 1; END';
CREATE FUNCTION matrix.immutable() RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN {ROW}; RETURN 1; END';
CREATE FUNCTION matrix.plus(int, int) RETURNS int LANGUAGE sql AS '{ROW} RETURNING 1';
CREATE OPERATOR matrix.@+> (FUNCTION = matrix.plus, LEFTARG = int, RIGHTARG = int);
CREATE TYPE matrix.pair AS (a int, b int);
CREATE FUNCTION matrix.as_pair(text) RETURNS matrix.pair LANGUAGE sql AS '{ROW} RETURNING ROW(1, 1)::matrix.pair';
CREATE CAST (text AS matrix.pair) WITH FUNCTION matrix.as_pair(text);
CREATE FUNCTION matrix.checks(int) RETURNS bool LANGUAGE sql AS '{ROW} RETURNING true';
CREATE DOMAIN matrix.checked AS int CHECK (matrix.checks(VALUE));
CREATE VIEW matrix.seeing AS SELECT matrix.definer() AS n;
CREATE FUNCTION matrix.unset() RETURNS text LANGUAGE sql AS $$SELECT set_config('{OFF}', 'off', false)$$;
CREATE FUNCTION matrix.unset_here() RETURNS int LANGUAGE sql SET {OFF} = off AS '{ROW} RETURNING 1';
CREATE PROCEDURE matrix.commits() LANGUAGE plpgsql AS 'BEGIN COMMIT; SET TRANSACTION READ WRITE; {ROW}; END';
"""


@dataclass(frozen=True, slots=True)
class Try:
    """One script.

    Args:
        name: Of the row of the matrix, and its variant.
        messages: One simple Query each.
        outcome: See the module; by major version where versions differ, `default` for the others.
        told: The server reports that the session's default is off.
    """

    name: str
    messages: tuple[str, ...]
    outcome: str | dict[int, str]
    told: bool = False

    def on(self, major: int) -> str:
        """What this version does."""
        return self.outcome if isinstance(self.outcome, str) else self.outcome.get(major, self.outcome[0])


def _all(outcome: str | dict[int, str], **scripts: str | tuple[str, ...]) -> tuple[Try, ...]:
    return tuple(
        Try(name, (script,) if isinstance(script, str) else script, outcome) for name, script in scripts.items()
    )


WRITES: Final = _all(
    "25006",
    insert=ROW,
    update="UPDATE shop.matrix SET n = 2",
    delete="DELETE FROM shop.matrix",
    merge="MERGE INTO shop.matrix m USING (SELECT 0 AS n) s ON m.n = s.n WHEN MATCHED THEN DELETE",
    truncate="TRUNCATE shop.matrix",
    cte=f"WITH w AS ({ROW} RETURNING 1) SELECT * FROM w",
    select_into="SELECT 1 AS a INTO matrix.made",
    for_update="SELECT * FROM shop.matrix FOR UPDATE",
    for_no_key_update="SELECT * FROM shop.matrix FOR NO KEY UPDATE",
    for_share="SELECT * FROM shop.matrix FOR SHARE",
    for_key_share="SELECT * FROM shop.matrix FOR KEY SHARE",
    copy_from="COPY shop.matrix (n) FROM PROGRAM 'echo 1'",
    explain_analyze=f"EXPLAIN ANALYZE {ROW}",
    prepare_execute=(f"PREPARE matrix_p AS {ROW}", "EXECUTE matrix_p"),
    explain_execute=(f"PREPARE matrix_q AS {ROW}", "EXPLAIN ANALYZE EXECUTE matrix_q"),
    cursor=("BEGIN", "DECLARE c CURSOR FOR SELECT * FROM matrix.seeing", "FETCH ALL FROM c"),
    holding_cursor=("BEGIN", "DECLARE h CURSOR WITH HOLD FOR SELECT * FROM matrix.seeing", "COMMIT"),
    function="SELECT matrix.volatile()",
    function_in_from="SELECT * FROM matrix.volatile() f",
    definer="SELECT matrix.definer()",
    view="SELECT * FROM matrix.seeing",
    operator="SELECT 1 OPERATOR(matrix.@+>) 1",
    cast="SELECT CAST('x'::text AS matrix.pair)",
    domain="SELECT 1::matrix.checked",
    do=f"DO $$BEGIN {ROW}; END$$",
    nextval="SELECT nextval('shop.matrix_at_seq')",
    setval="SELECT setval('shop.matrix_at_seq', 5)",
    temporary="CREATE TEMP TABLE matrix_t (a int)",
    temporary_as="CREATE TEMP TABLE matrix_t AS SELECT 1 AS a",
    refresh="REFRESH MATERIALIZED VIEW matrix.kept",
    create="CREATE TABLE matrix.made (a int)",
    grant="GRANT SELECT ON shop.matrix TO PUBLIC",
    comment="COMMENT ON TABLE shop.matrix IS 'x'",
    alter_role="ALTER ROLE CURRENT_USER SET work_mem = '1MB'",
    alter_database="ALTER DATABASE shop SET work_mem = '1MB'",
    create_database="CREATE DATABASE matrix_made",
    create_extension="CREATE EXTENSION hstore",
)

REFUSED: Final = _all(
    "0A000",
    stable="SELECT matrix.stable()",
    immutable="SELECT matrix.immutable()",
    crosstab=f"SELECT * FROM crosstab('{ROW} RETURNING 1, 1, 1') AS t (a int, b int)",
    query_to_xml=f"SELECT query_to_xml('{ROW} RETURNING 1', true, true, '')",
)

LARGE_OBJECTS: Final = _all(
    {15: "executed", 0: "25006"},
    lo_create="SELECT lo_create(0)",
    lo_from_bytea=r"SELECT lo_from_bytea(0, '\x01')",
    lo_import="SELECT lo_import('/etc/hostname')",
    lo_unlink="SELECT lo_unlink(oid) FROM pg_largeobject_metadata LIMIT 1",
)

NOT_KNOWN_TO_READ_ONLY: Final = _all(
    "executed",
    advisory_lock="SELECT pg_advisory_lock(77)",
    advisory_xact_lock="SELECT pg_advisory_xact_lock(77)",
    lock_table=("BEGIN", "LOCK TABLE shop.matrix IN ACCESS EXCLUSIVE MODE"),
    notify="NOTIFY matrix_a",
    pg_notify="SELECT pg_notify('matrix_a', 'b')",
    listen="LISTEN matrix_a",
    terminate="SELECT pg_terminate_backend(0)",
    cancel="SELECT pg_cancel_backend(0)",
    vacuum="VACUUM shop.matrix",
    analyze="ANALYZE shop.matrix",
    reindex="REINDEX TABLE shop.matrix",
    cluster="CLUSTER shop.matrix USING matrix_pkey",
    copy_to_program="COPY shop.matrix TO PROGRAM 'cat > /dev/null'",
    alter_system=("ALTER SYSTEM SET work_mem = '5MB'", "ALTER SYSTEM RESET work_mem"),
    checkpoint="CHECKPOINT",
    load="LOAD 'auto_explain'",
    switch_wal="SELECT pg_switch_wal()",
    reload="SELECT pg_reload_conf()",
    emit_message="SELECT pg_logical_emit_message(false, 'a', 'b')",
    restore_point="SELECT pg_create_restore_point('a')",
    slot=("SELECT pg_create_physical_replication_slot('matrix')", "SELECT pg_drop_replication_slot('matrix')"),
    origin=("SELECT pg_replication_origin_create('matrix')", "SELECT pg_replication_origin_drop('matrix')"),
    stat_reset="SELECT pg_stat_reset()",
    export_snapshot=("BEGIN", "SELECT pg_export_snapshot()"),
    read_file="SELECT pg_read_file('PG_VERSION')",
    list_files="SELECT pg_ls_dir('.')",
    set_role=("SET ROLE twokeys_edge", "RESET ROLE"),
)

ESCAPES: Final = (
    *_all(
        "escapes",
        set_transaction=("BEGIN", "SET TRANSACTION READ WRITE", ROW, "COMMIT"),
        begin_read_write=("BEGIN READ WRITE", ROW, "COMMIT"),
        start_read_write=("START TRANSACTION READ WRITE", ROW, "COMMIT"),
        one_message=f"SET transaction_read_only = off; {ROW}",
        do_commit=f"DO $$BEGIN COMMIT; SET TRANSACTION READ WRITE; {ROW}; END$$",
        call_commit="CALL matrix.commits()",
        dblink="SELECT dblink_exec('host=127.0.0.1 port=' || current_setting('port')"
        " || ' dbname=' || current_database() || ' user=' || current_user || ' password={password}',"
        f" '{ROW}')",
    ),
    *(
        Try(name, script, "escapes", told=True)
        for name, script in {
            "set_default": (f"SET {OFF} = off", ROW),
            "commit_between": (f"SELECT set_config('{OFF}', 'off', false); COMMIT; {ROW}",),
            "characteristics": ("SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE", ROW),
            "set_config": (f"SELECT set_config('{OFF}', 'off', false)", ROW),
            "set_config_in_a_function": ("SELECT matrix.unset()", ROW),
            "set_config_in_do": (f"DO $$BEGIN PERFORM set_config('{OFF}', 'off', false); END$$", ROW),
        }.items()
    ),
)

KEPT: Final = (
    *_all(
        "25001",
        after_a_query=("BEGIN", "SELECT 1", "SET TRANSACTION READ WRITE", ROW),
        set_after_a_query=("BEGIN", "SELECT 1", "SET transaction_read_only = off", ROW),
        in_a_savepoint=("BEGIN", "SAVEPOINT a", "SET TRANSACTION READ WRITE", ROW),
        in_do=f"DO $$BEGIN SET TRANSACTION READ WRITE; {ROW}; END$$",
        set_config_in_a_select=("SELECT set_config('transaction_read_only', 'off', true)", ROW),
    ),
    *_all("25006", by_a_functions_clause="SELECT matrix.unset_here()"),
    *_all(
        "harmless",
        reset_all="RESET ALL",
        reset=f"RESET {OFF}",
        set_to_default=f"SET {OFF} TO DEFAULT",
        discard_all="DISCARD ALL",
        session_authorization=("SET SESSION AUTHORIZATION twokeys_edge", "RESET SESSION AUTHORIZATION"),
    ),
)

MATRIX: Final = (*WRITES, *REFUSED, *LARGE_OBJECTS, *NOT_KNOWN_TO_READ_ONLY, *ESCAPES, *KEPT)
