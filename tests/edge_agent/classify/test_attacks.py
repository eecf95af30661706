"""Regression tests named after the classes of attack on a reader's proof."""

from __future__ import annotations

import pytest

from edge_agent.classify.sql import SqlVerdict, classify_sql
from twokeys.effect import Effect


def verdict(text: str) -> SqlVerdict:
    return classify_sql(text.encode(), ("public",))


@pytest.mark.parametrize(
    "text",
    [
        "COMMIT; DROP TABLE t",
        "END; INSERT INTO t VALUES (1)",
        "ROLLBACK; DELETE FROM t",
        "/* SELECT */ DELETE FROM t",
        "-- SELECT\nDELETE FROM t",
        "SELECT 1; /* ; */ UPDATE t SET a = 1",
        "SELECT '--'; DROP TABLE t",
        "SELECT 1\n;\n;DROP TABLE t",
        "EXPLAIN SELECT 1; DELETE FROM t",
    ],
)
def test_p1_a_second_statement_is_seen(text: str) -> None:
    assert not verdict(text).is_read


@pytest.mark.parametrize(
    "text",
    [
        "WITH x AS (DELETE FROM t RETURNING *) SELECT * FROM x",
        "SELECT * FROM (WITH x AS (SELECT 1) SELECT * FROM x) y FOR UPDATE",
        "SELECT * INTO x FROM t",
        "CREATE TABLE x AS SELECT 1",
        "EXPLAIN ANALYZE DELETE FROM t",
        "EXPLAIN (VERBOSE, ANALYZE) DELETE FROM t",
        "EXPLAIN (ANALYZE off, ANALYZE on) DELETE FROM t",
        "EXPLAIN (FORMAT JSON, analyze 'true') WITH x AS (DELETE FROM t RETURNING 1) SELECT 1",
        "EXPLAIN ANALYZE EXECUTE x",
        "EXPLAIN ANALYZE CREATE TABLE x AS SELECT 1",
        "EXPLAIN ANALYZE DECLARE c CURSOR WITH HOLD FOR SELECT f()",
        "PREPARE x AS DELETE FROM t",
        "EXECUTE x",
        "DECLARE c CURSOR FOR SELECT * FROM t FOR UPDATE",
        "DECLARE c SCROLL CURSOR WITH HOLD FOR SELECT f()",
        "MERGE INTO t USING u ON true WHEN MATCHED THEN DELETE",
        "CREATE RULE r AS ON SELECT TO t DO INSTEAD SELECT * FROM u",
        "COPY (WITH x AS (DELETE FROM t RETURNING 1) SELECT 1) TO STDOUT",
    ],
)
def test_p2_a_write_inside_something_that_reads_is_seen(text: str) -> None:
    assert not verdict(text).is_read


@pytest.mark.parametrize(
    "text",
    [
        "SELECT mine()",
        "SELECT * FROM mine()",
        "SELECT * FROM t, LATERAL mine(t.a)",
        "SELECT * FROM ROWS FROM (generate_series(1, 2), mine())",
        "SELECT * FROM t ORDER BY mine(a)",
        "SELECT count(*) FROM t GROUP BY mine(a)",
        "SELECT count(*) FILTER (WHERE mine(a)) FROM t",
        "SELECT sum(a) OVER (PARTITION BY mine(a)) FROM t",
        "SELECT 1 FROM t WINDOW w AS (ORDER BY mine(a))",
        "SELECT string_agg(b, ',' ORDER BY mine(a)) FROM t",
        "SELECT * FROM t LIMIT mine()",
        "SELECT * FROM t OFFSET (SELECT mine())",
        "SELECT 1 FROM t JOIN u ON mine(t.a)",
        "SELECT CASE WHEN mine() THEN 1 END",
        "SELECT ARRAY[mine()], ROW(mine())",
        "SELECT (ARRAY[1])[mine()]",
        "SELECT $1 IN (1, mine())",
        "SELECT XMLELEMENT(name a, mine())",
        "SELECT JSON_OBJECT('a': mine())",
        "SELECT * FROM JSON_TABLE(mine(), '$' COLUMNS (a int PATH '$'))",
        "SELECT * FROM t TABLESAMPLE system (mine())",
        "VALUES (mine())",
        "SELECT public.now()",
        'SELECT "PG_CATALOG".now()',
        'SELECT "Lower"(b) FROM t',
        "SELECT db.pg_catalog.now()",
        "SELECT 1 OPERATOR(public.+) 2",
        "SELECT 1 = ANY (SELECT 1) OR 1 OPERATOR(public.=) ANY (SELECT 1)",
        "SELECT 'x'::mine",
        "SELECT CAST(1 AS public.text)",
        "DO $$ BEGIN DELETE FROM t; END $$",
        "CALL mine()",
        "SELECT (t).mine FROM t",
        "SELECT ((SELECT t FROM t)).mine",
        "SELECT x.mine FROM unnest(ARRAY[1]) AS x(n)",
        "SELECT x.mine FROM (VALUES (1)) AS y, unnest(ARRAY[1]) AS x",
        "FETCH 1 FROM c; SELECT mine()",
    ],
)
def test_p3_code_of_users_is_no_proven_read(text: str) -> None:
    assert not verdict(text).is_read


@pytest.mark.parametrize(
    "name", ["pg_terminate_backend", "pg_advisory_lock", "lo_unlink", "pg_read_file", "dblink_exec"]
)
@pytest.mark.parametrize(
    "form",
    [
        "SELECT {}(1)",
        "SELECT pg_catalog.{}(1)",
        "SELECT (1).{}",
        "SELECT (1::int).{}",
        "SELECT ((SELECT 1)).{}",
        "SELECT x.{} FROM unnest(ARRAY[1]) AS x",
        "SELECT x FROM generate_series(1, 2) AS x WHERE x.{} IS NULL",
        "SELECT 1 FROM t, generate_series(1, 2) AS x ORDER BY x.{}",
    ],
)
def test_p3_each_notation_of_a_call_is_a_call(form: str, name: str) -> None:
    assert not verdict(form.replace("{}", name)).is_read


@pytest.mark.parametrize(
    "text",
    [
        "SELECT query_to_xml('DELETE FROM t', true, true, '')",
        "SELECT pg_catalog.query_to_xml_and_xmlschema('x', true, true, '')",
        "SELECT cursor_to_xml('c', 1, true, true, '')",
        "SELECT table_to_xml('t', true, true, '')",
        "SELECT schema_to_xml('public', true, true, '')",
        "SELECT database_to_xml(true, true, '')",
        "SELECT dblink_exec('', 'DELETE FROM t')",
        "SELECT * FROM dblink('', 'SELECT 1') AS x(a int)",
        "SELECT public.dblink('x')",
        "SELECT cron.schedule('* * * * *', 'DELETE FROM t')",
        "SELECT * FROM ts_stat('SELECT b FROM t')",
        "SELECT ts_rewrite('a'::tsquery, 'SELECT a, b FROM t')",
        "SELECT * FROM crosstab('SELECT 1')",
    ],
)
def test_p4_sql_in_strings_is_privileged(text: str) -> None:
    assert verdict(text).classification.effect is Effect.PRIVILEGED


@pytest.mark.parametrize(
    "text",
    [
        "COPY t TO PROGRAM 'sh'",
        "COPY t FROM PROGRAM 'sh'",
        "COPY (SELECT 1) TO PROGRAM 'sh'",
        "COPY t TO '/tmp/x'",
        "COPY t FROM '/etc/passwd'",
        "SELECT pg_read_file('x')",
        "SELECT pg_read_binary_file('x')",
        "SELECT * FROM pg_ls_dir('.')",
        "SELECT * FROM pg_stat_file('x')",
        "SELECT lo_import('/etc/passwd')",
        "SELECT lo_export(1, '/tmp/x')",
        "LOAD 'x'",
        "CREATE EXTENSION x",
        "ALTER SYSTEM SET x = 1",
        "SELECT pg_reload_conf()",
        "CREATE VIEW v AS SELECT pg_read_file('x')",
        "ALTER TABLE t ALTER a SET DEFAULT pg_read_file('x')",
    ],
)
def test_p5_files_and_programs_are_privileged(text: str) -> None:
    assert verdict(text).classification.effect is Effect.PRIVILEGED


_CALLS = [
    "pg_advisory_lock(1)",
    "pg_try_advisory_lock(1)",
    "pg_advisory_xact_lock_shared(1)",
    "pg_advisory_unlock(1)",
    "pg_terminate_backend(1)",
    "pg_cancel_backend(1)",
    "pg_reload_conf()",
    "pg_switch_wal()",
    "pg_rotate_logfile()",
    "pg_create_restore_point('x')",
    "pg_stat_reset()",
    "pg_stat_reset_shared('x')",
    "pg_logical_emit_message(true,'a','b')",
    "pg_create_logical_replication_slot('a','b')",
    "pg_create_physical_replication_slot('a')",
    "pg_drop_replication_slot('a')",
    "pg_replication_origin_create('a')",
    "lo_create(0)",
    "lo_from_bytea(0,'')",
    "lo_put(1,1,'')",
    "lo_unlink(1)",
    "lowrite(1,'')",
    "pg_export_snapshot()",
    "pg_import_system_collations('a')",
    "pg_promote()",
    "gin_clean_pending_list('i')",
    "brin_summarize_new_values('i')",
    "pg_notify('a','b')",
    "nextval('s')",
    "setval('s',1)",
    "pg_wal_replay_pause()",
    "pg_backup_start('x')",
    "pg_log_backend_memory_contexts(1)",
]


@pytest.mark.parametrize(
    "text",
    [
        "REINDEX TABLE t",
        "CLUSTER t",
        "CHECKPOINT",
        "ANALYZE",
        "VACUUM",
        "NOTIFY a",
        "LISTEN a",
        "LOCK t IN ACCESS EXCLUSIVE MODE",
        "LOCK t IN SHARE MODE",
        "SET ROLE x",
        "LOAD 'x'",
        *(f"SELECT {call}" for call in _CALLS),
    ],
)
def test_p6_what_the_servers_read_only_mode_lets_pass_is_no_read(text: str) -> None:
    assert not verdict(text).is_read


@pytest.mark.parametrize(
    "text",
    [
        "SET default_transaction_read_only = off",
        "SET default_transaction_read_only TO 'nonsense'",
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY, READ WRITE",
        "SELECT set_config('default_transaction_read_only', 'off', false)",
        "SELECT set_config('DEFAULT_TRANSACTION_READ_ONLY', 'off', false)",
        "SELECT set_config('transaction_' || 'read_only', 'off', true)",
        "SELECT set_config($1, $2, false)",
        "SELECT pg_catalog.set_config('role', 'x', false)",
        "SELECT set_config('search_path', $1, false)",
        "SELECT set_config(setting_name => 'role', new_value => 'x', is_local => false)",
        "RESET transaction_read_only",
        "SET transaction_read_only TO DEFAULT",
        "ALTER SYSTEM SET default_transaction_read_only = off",
        "ALTER ROLE x SET default_transaction_read_only = off",
        "ALTER DATABASE d SET default_transaction_read_only = off",
        "SET SESSION AUTHORIZATION x",
        "SET LOCAL ROLE x",
        "SET session_replication_role = replica",
        "DO $$ BEGIN PERFORM set_config('transaction_read_only', 'off', true); END $$",
        "BEGIN READ WRITE; DELETE FROM t",
    ],
)
def test_p7_undoing_the_read_only_mode_is_no_read(text: str) -> None:
    assert not verdict(text).is_read


@pytest.mark.parametrize("text", ["BEGIN READ WRITE", "SET TRANSACTION READ WRITE", "SET transaction_read_only = off"])
def test_p7_transaction_control_that_asks_for_writing_says_so(text: str) -> None:
    assert verdict(text).actions[0].asks_for_writing


@pytest.mark.parametrize(
    "text",
    [
        "SELECT '\\'; DELETE FROM t; --'",
        "SELECT E'\\\\'; DELETE FROM t; --'",
        "SELECT $a$ $b$ $a$; DELETE FROM t",
        "SELECT /* /* */ */ 1; DELETE FROM t",
        "SELECT U&\"\\0070g_read_file\"('x')",
        "SELECT * FROM U&\"d!0061ta\" UESCAPE '!', f()",
        'SELECT * FROM "or\u202eders"',
        'SELECT * FROM "or\u200bders"',
        "SELECT * FROM or\u200bders",
        'WITH "\u2066t" AS (SELECT 1) SELECT 1',
        "SET standard_conforming_strings = off",
        "SET backslash_quote = on",
        "SET client_encoding = 'GBK'",
        "SET NAMES 'SJIS'",
        "SET CLIENT_ENCODING TO utf8x",
        "SELECT repeat(repeat(repeat('x', 10000), 10000), 10000)",
        "SELECT repeat(repeat('x', 1000 * 1000), 1000)",
    ],
)
def test_p8_tricks_of_spelling_hide_nothing(text: str) -> None:
    assert not verdict(text).is_read


def test_p8_a_nul_hides_no_second_statement() -> None:
    assert "NUL" in classify_sql(b"SELECT 1;\0 DELETE FROM t", ("public",)).refusal


@pytest.mark.parametrize("filler", [" " * 500_000, "/*" + "x" * 500_000 + "*/ ", "-- " + "x " * 250_000 + "\n"])
def test_p8_the_end_of_a_long_text_counts(filler: str) -> None:
    assert not verdict(f"SELECT 1; {filler}DELETE FROM t").is_read
    assert not verdict(f"SELECT 1, {filler}lo_create(1)").is_read


def test_p8_other_encodings_are_refused() -> None:
    gbk = b"SELECT '" + b"\xd6\x5c'; DELETE FROM t; --'"
    assert "UTF-8" in classify_sql(gbk, ("public",)).refusal
    assert "UTF-8" in classify_sql(b"SELECT '\xc0\xa7'", ("public",)).refusal


def test_p8_homoglyphs_are_other_tables() -> None:
    (access,) = verdict("SELECT * FROM \u043erders").classification.accesses
    assert access.object.name == "public.\u043erders"


def test_p8_invisible_characters_are_spelled_out_to_people() -> None:
    classification = verdict('SELECT * FROM "or\u202eders"').classification
    assert "\u202e" not in "".join((classification.normalised, *classification.reasons))
    assert "\\u{202e}" in classification.normalised


def test_p8_strings_may_hold_anything() -> None:
    for text in ("SELECT '\u202e \u200d'", "SELECT '; DELETE FROM t'", "SELECT $x$; DROP TABLE t$x$", "SELECT '\\'"):
        assert verdict(text).is_read


@pytest.mark.parametrize(
    "name",
    [
        "pg_authid",
        "pg_catalog.pg_authid",
        "pg_shadow",
        "pg_user_mapping",
        "pg_hba_file_rules",
        "pg_largeobject",
        "pg_statistic",
    ],
)
@pytest.mark.parametrize("form", ["SELECT * FROM {}", "TABLE {}", "COPY {} TO STDOUT", "SELECT (SELECT 1 FROM {})"])
def test_p9_secrets_of_the_catalogue_are_privileged(form: str, name: str) -> None:
    assert verdict(form.format(name)).classification.effect is Effect.PRIVILEGED


def test_p9_the_toast_of_a_table_is_no_way_around_its_policy() -> None:
    assert verdict("SELECT * FROM pg_toast.pg_toast_16385").classification.effect is Effect.PRIVILEGED


_ARMS = {
    "SELECT 1 AS a INTO x": "ddl",
    "SELECT mine()": "privileged",
    "SELECT 1 WHERE mine()": "privileged",
    "SELECT 1 GROUP BY mine()": "privileged",
    "SELECT 1 HAVING mine()": "privileged",
    "SELECT 1 FROM mine()": "privileged",
    "SELECT DISTINCT ON (mine()) 1": "privileged",
    "SELECT 1 FROM t WINDOW w AS (ORDER BY mine())": "privileged",
    "VALUES (mine())": "privileged",
    "SELECT * FROM pg_authid": "privileged",
    "TABLE pg_shadow": "privileged",
    "(SELECT 1 FROM t FOR UPDATE)": "write",
    "(SELECT 1 FROM t ORDER BY mine())": "privileged",
    "(SELECT 1 LIMIT mine())": "privileged",
    "(SELECT 1 OFFSET mine())": "privileged",
    "(WITH d AS (DELETE FROM t RETURNING 1) SELECT * FROM d)": "write",
    "(WITH d AS (SELECT mine()) SELECT 1 FROM d)": "privileged",
    "SELECT 1 FROM (SELECT nextval('s')) AS x": "write",
}


@pytest.mark.parametrize("operator", ["UNION", "UNION ALL", "INTERSECT", "EXCEPT ALL"])
@pytest.mark.parametrize(("arm", "effect"), _ARMS.items())
def test_p2_each_clause_is_seen_in_each_arm_of_a_set_operation(arm: str, effect: str, operator: str) -> None:
    for text in (
        f"{arm} {operator} SELECT 2",
        f"SELECT 2 {operator} {arm}",
        f"SELECT 2 {operator} (SELECT 3 {operator} {arm})",
        f"SELECT 0 {operator} {arm} {operator} SELECT 2",
        f"WITH c AS (SELECT 2 {operator} {arm}) SELECT * FROM c",
        f"SELECT * FROM (SELECT 2 {operator} {arm}) AS y",
        f"EXPLAIN SELECT 2 {operator} {arm}",
    ):
        assert verdict(text).classification.effect.word == effect
