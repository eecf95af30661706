"""Every kind of statement: how bad it is, what it is called, and each object that it reads or writes."""

from __future__ import annotations

import pytest

from edge_agent.classify.grammar import ALL_NODES
from edge_agent.classify.sql import classify_sql
from edge_agent.classify.statements import STATEMENTS

PARTS = {"PLAssignStmt", "RawStmt", "ReplicaIdentityStmt", "ReturnStmt", "SetOperationStmt"}
"""Parts of statements, or of the server's own trees: no text begins with one."""

KINDS = [
    ("COPY t FROM STDIN", "write", "COPY", "write:table:public.t"),
    ("COPY t TO STDOUT", "read", "COPY", "read:table:public.t"),
    ("COPY (DELETE FROM t RETURNING *) TO STDOUT", "write", "COPY", "write:table:public.t"),
    ("COPY (SELECT 1) TO PROGRAM 'x'", "privileged", "COPY", "privileged:database:"),
    ("COPY t FROM PROGRAM 'x'", "privileged", "COPY", "privileged:database: write:table:public.t"),
    ("COPY t TO '/tmp/x'", "privileged", "COPY", "privileged:database: read:table:public.t"),
    (
        "COPY t FROM STDIN WHERE nextval('s') > 1",
        "write",
        "COPY",
        "write:function:pg_catalog.nextval write:table:public.t",
    ),
    ("WITH x AS (INSERT INTO t VALUES (1) RETURNING *) SELECT * FROM x", "write", "SELECT", "write:table:public.t"),
    ("SELECT * INTO n FROM t", "ddl", "SELECT", "ddl:table:public.n read:table:public.t"),
    ("SELECT 1 INTO n UNION SELECT 2", "ddl", "SELECT", "ddl:table:public.n"),
    ("SELECT * FROM t FOR UPDATE", "write", "SELECT", "write:table:public.t"),
    ("SELECT * FROM t FOR KEY SHARE SKIP LOCKED", "write", "SELECT", "write:table:public.t"),
    ("EXPLAIN SELECT 1", "read", "EXPLAIN", "read:database:"),
    ("EXPLAIN ANALYZE DELETE FROM t", "write", "EXPLAIN", "read:database: write:table:public.t"),
    ("EXPLAIN (ANALYZE, BUFFERS) UPDATE t SET a=1", "write", "EXPLAIN", "read:database: write:table:public.t"),
    ("EXPLAIN (ANALYZE false) DELETE FROM t", "write", "EXPLAIN", "read:database: write:table:public.t"),
    ("EXPLAIN ANALYZE CREATE TABLE x AS SELECT 1", "ddl", "EXPLAIN", "read:database: ddl:table:public.x"),
    ("EXPLAIN EXECUTE p", "unknown", "EXPLAIN", "privileged:database:"),
    ("PREPARE p AS DELETE FROM t", "write", "PREPARE", "write:table:public.t"),
    ("PREPARE p AS SELECT * FROM t", "read", "PREPARE", "read:table:public.t"),
    ("EXECUTE p", "unknown", "EXECUTE", "privileged:database:"),
    ("DEALLOCATE p", "read", "DEALLOCATE", "read:database:"),
    ("DEALLOCATE ALL", "read", "DEALLOCATE", "read:database:"),
    ("DECLARE c CURSOR FOR SELECT * FROM t", "read", "DECLARE CURSOR", "read:table:public.t"),
    ("DECLARE c CURSOR FOR SELECT * FROM t FOR UPDATE", "write", "DECLARE CURSOR", "write:table:public.t"),
    ("DECLARE c CURSOR WITH HOLD FOR SELECT * FROM t", "read", "DECLARE CURSOR", "read:table:public.t"),
    ("FETCH 1 FROM c", "read", "FETCH", "read:database:"),
    ("MOVE 1 FROM c", "read", "FETCH", "read:database:"),
    ("CLOSE c", "read", "CLOSE", "read:database:"),
    ("CLOSE ALL", "read", "CLOSE", "read:database:"),
    ("UPDATE t SET a=1 WHERE CURRENT OF c", "write", "UPDATE", "write:table:public.t"),
    ("DO $$ begin end $$", "privileged", "DO", "privileged:database:"),
    ("CALL f()", "privileged", "CALL", "privileged:database:"),
    (
        "MERGE INTO t USING u ON t.a=u.a WHEN MATCHED THEN DELETE",
        "write",
        "MERGE",
        "write:table:public.t read:table:public.u",
    ),
    ("SET search_path = x", "privileged", "SET", "privileged:database:"),
    ("SET LOCAL work_mem = '1GB'", "privileged", "SET", "privileged:database:"),
    ("SET ROLE x", "privileged", "SET", "privileged:database:"),
    ("SET SESSION AUTHORIZATION x", "privileged", "SET", "privileged:database:"),
    ("RESET ROLE", "read", "RESET", "read:database:"),
    ("RESET ALL", "read", "RESET ALL", "read:database:"),
    ("SELECT set_config('role','x',false)", "privileged", "SELECT", "privileged:function:pg_catalog.set_config"),
    ("SELECT set_config('application_name','x',false)", "read", "SELECT", "read:database:"),
    ("DISCARD ALL", "read", "DISCARD ALL", "read:database:"),
    ("DISCARD PLANS", "read", "DISCARD PLANS", "read:database:"),
    ("DISCARD TEMP", "read", "DISCARD TEMP", "read:database:"),
    ("DISCARD SEQUENCES", "read", "DISCARD SEQUENCES", "read:database:"),
    ("LISTEN x", "write", "LISTEN", "write:database:"),
    ("NOTIFY x", "write", "NOTIFY", "write:database:"),
    ("UNLISTEN *", "read", "UNLISTEN", "read:database:"),
    ("SELECT pg_notify('a','b')", "write", "SELECT", "write:function:pg_catalog.pg_notify"),
    ("LOCK t", "privileged", "LOCK", "privileged:table:public.t"),
    ("LOCK t IN ACCESS SHARE MODE", "read", "LOCK", "read:table:public.t"),
    ("SELECT lo_create(0)", "write", "SELECT", "write:function:pg_catalog.lo_create"),
    ("SELECT lo_get(1)", "write", "SELECT", "write:function:pg_catalog.lo_get"),
    ("SELECT lo_open(1, 131072)", "write", "SELECT", "write:function:pg_catalog.lo_open"),
    ("SELECT loread(0, 10)", "write", "SELECT", "write:function:pg_catalog.loread"),
    ("SELECT lo_import('/x')", "privileged", "SELECT", "privileged:function:pg_catalog.lo_import"),
    ("TRUNCATE t, u", "write", "TRUNCATE", "write:table:public.t write:table:public.u"),
    ("VACUUM", "write", "VACUUM", "write:database:"),
    ("VACUUM FULL t", "write", "VACUUM", "write:table:public.t"),
    ("ANALYZE", "write", "ANALYZE", "write:database:"),
    ("ANALYZE t", "write", "ANALYZE", "write:table:public.t"),
    ("CLUSTER", "ddl", "CLUSTER", "ddl:database:"),
    ("REINDEX TABLE t", "ddl", "REINDEX", "ddl:table:public.t"),
    ("CHECKPOINT", "privileged", "CHECKPOINT", "privileged:database:"),
    ("LOAD 'x'", "privileged", "LOAD", "privileged:database:"),
    ("ALTER SYSTEM SET a=1", "privileged", "ALTER SYSTEM", "privileged:database:"),
    ("GRANT SELECT ON t TO x", "privileged", "GRANT", "privileged:database: privileged:table:public.t"),
    ("REVOKE x FROM y", "privileged", "REVOKE ROLE", "privileged:database:"),
    ("COMMENT ON TABLE t IS 'x'", "ddl", "COMMENT", "ddl:table:public.t"),
    ("COMMENT ON COLUMN app.t.a IS 'x'", "ddl", "COMMENT", "ddl:table:app.t"),
    ("COMMENT ON SCHEMA app IS 'x'", "ddl", "COMMENT", "ddl:database:"),
    ("SECURITY LABEL ON TABLE t IS 'x'", "privileged", "SECURITY LABEL", "privileged:database:"),
    ("REFRESH MATERIALIZED VIEW m", "write", "REFRESH MATERIALIZED VIEW", "write:table:public.m"),
    ("SET CONSTRAINTS ALL IMMEDIATE", "write", "SET CONSTRAINTS", "write:database:"),
    ("IMPORT FOREIGN SCHEMA x FROM SERVER y INTO z", "privileged", "IMPORT FOREIGN SCHEMA", "privileged:database:"),
    ("REASSIGN OWNED BY a TO b", "privileged", "REASSIGN OWNED", "privileged:database:"),
    ("CREATE TEMP TABLE x (a int)", "ddl", "CREATE TABLE", "ddl:table:public.x"),
    ("CREATE TEMP VIEW v AS SELECT * FROM t", "ddl", "CREATE VIEW", "read:table:public.t ddl:table:public.v"),
    ("CREATE TABLE x AS EXECUTE p", "unknown", "CREATE TABLE AS", "privileged:database: privileged:table:public.x"),
    ("SET TRANSACTION READ WRITE", "read", "SET TRANSACTION", "read:database:"),
    ("BEGIN READ WRITE", "read", "BEGIN", "read:database:"),
    ("SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE", "privileged", "SET", "privileged:database:"),
    ("PREPARE TRANSACTION 'x'", "privileged", "PREPARE TRANSACTION", "privileged:database:"),
    ("SHOW ALL", "read", "SHOW", "read:database:"),
    ("BEGIN; DELETE FROM t; COMMIT", "refused", "DELETE", "read:database: write:table:public.t"),
    ("SELECT 1; COMMIT; DROP TABLE t", "refused", "DROP TABLE", "read:database: ddl:table:public.t"),
    ("BEGIN; SELECT 1; COMMIT", "read", "BEGIN", "read:database:"),
    ("SELECT 1; DELETE FROM t", "write", "DELETE", "read:database: write:table:public.t"),
    ("SELECT * FROM t TABLESAMPLE f(1)", "unknown", "SELECT", "privileged:database: privileged:table:public.t"),
    (
        "INSERT INTO t SELECT * FROM u ON CONFLICT DO NOTHING",
        "write",
        "INSERT",
        "write:table:public.t read:table:public.u",
    ),
    ("DELETE FROM t USING u WHERE t.a = u.a", "write", "DELETE", "write:table:public.t read:table:public.u"),
    ("ALTER TABLE t ADD FOREIGN KEY (a) REFERENCES u", "ddl", "ALTER TABLE", "ddl:table:public.t ddl:table:public.u"),
    ("CREATE INDEX CONCURRENTLY ON t (a)", "ddl", "CREATE INDEX", "ddl:table:public.t"),
    ("DROP TABLE t, app.u CASCADE", "ddl", "DROP TABLE", "ddl:table:app.u ddl:table:public.t"),
]


@pytest.mark.parametrize(("text", "mark", "kind", "accesses"), KINDS)
def test_each_kind_of_statement_is_what_it_is(text: str, mark: str, kind: str, accesses: str) -> None:
    verdict = classify_sql(text.encode(), ("public",))
    found = verdict.classification
    word = "refused" if verdict.refusal else found.effect.word if found.certain else "unknown"
    assert (word, found.kind, " ".join(one.spelled for one in found.accesses)) == (mark, kind, accesses)
    assert found.statements == text.count("; ") + 1


def test_every_statement_of_the_grammar_is_known_or_no_statement() -> None:
    assert {name for name in ALL_NODES if name.endswith("Stmt")} - STATEMENTS == PARTS
