"""The auditor's SQL sees the sealed records and nothing else of this machine."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import duckdb
import pytest

from control_plane.chalicelib.adapters.embedded import audit_child, audit_sql
from control_plane.chalicelib.adapters.embedded.audit_sql import Answer, Days, QueryLimits, query
from tests.twokeys.recording import Recording, sample, store
from twokeys.errors import InvalidInput, Refused, TwokeysError, Unavailable
from twokeys.tables import RECORDS, SEALS


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    own = Recording("control-plane", "2026-11-21")
    own.add(
        [
            ({"type": "decision", "person": "rob", "outcome": "approved", "objects": ["write:table:public.o"]}, b""),
            ({"type": "decision", "person": "rob", "outcome": "denied", "reason": "not today", "rows": 3}, b""),
        ]
    )
    # A folder whose name is a pattern must read as itself.
    return store(tmp_path_factory.mktemp("rec") / "a[b]*c", sample(), own)


def test_a_select_answers_from_the_sealed_records(recordings: Path) -> None:
    answer = query(recordings, "SELECT source, count(*) AS n FROM records GROUP BY source ORDER BY source")
    assert answer == Answer(("source", "n"), (("control-plane", 2), ("edge-1", 9)), False)
    answer = query(
        recordings, "SELECT objects[1], rows, in_transaction, dt FROM records WHERE person = 'rob' ORDER BY seq"
    )
    assert answer.rows == (("write:table:public.o", None, None, "2026-11-21"), (None, 3, None, "2026-11-21"))
    answer = query(recordings, "SELECT segment, last_seq, length(signature) > 80 FROM seals ORDER BY segment")
    assert answer.rows[0] == ("control-plane-000000000001", 2, True)
    assert len(answer.rows) == 4


def test_the_tables_are_the_schema_s(recordings: Path) -> None:
    for table in (RECORDS, SEALS):
        answer = query(recordings, f"SELECT * FROM {table.name} LIMIT 0")
        assert answer.columns == (*(column.name for column in table.columns), "dt")


@pytest.mark.parametrize(
    "sql",
    [
        "WITH d AS (SELECT * FROM records WHERE type = 'decision') SELECT count(*) FROM d",
        "SELECT o FROM (SELECT unnest(objects) AS o FROM records)",
        "SELECT r.seq FROM records r JOIN seals s ON r.seq BETWEEN s.first_seq AND s.last_seq AND r.source = s.source",
        "WITH RECURSIVE t(a) AS (SELECT 1 UNION ALL SELECT a + 1 FROM t WHERE a < 5) SELECT * FROM t",
        "FROM records SELECT max(seq)",
        "DESCRIBE records",
        "SELECT now(), now()::TIMESTAMP - TIMESTAMP '2026-01-01', 1.5::DECIMAL(5,2), 'nan'::DOUBLE, 'a'::BLOB",
        "SELECT table_name FROM information_schema.tables",
        "VALUES (1)",
        "SELECT seq FROM records UNION ALL SELECT first_seq FROM seals ORDER BY 1;",
        "SELECT row_number() OVER (PARTITION BY source ORDER BY seq) FROM records -- a comment",
        "SELECT time::TIMESTAMPTZ FROM records",
    ],
)
def test_what_auditors_write_runs(recordings: Path, sql: str) -> None:
    assert query(recordings, sql).columns


def test_parameters_are_values_and_never_text(recordings: Path) -> None:
    sql = "SELECT count(*) FROM records WHERE person = $who AND seq >= $least"
    assert query(recordings, sql, {"who": "rob", "least": "2"}).rows == ((1,),)
    assert query(recordings, sql, {"who": "rob' OR '1'='1", "least": "0"}).rows == ((0,),)
    for bad in ({"who": "rob"}, {"a b": "c"}, {"who": "rob", "least": "y"}, {f"p{n}": "" for n in range(65)}):
        with pytest.raises(InvalidInput):
            query(recordings, sql, bad)


REFUSED = [
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM read_blob('/proc/self/environ')",
    "SELECT * FROM read_json('lines/*')",
    "SELECT * FROM parquet_scan('x')",
    "SELECT * FROM sniff_csv('/etc/passwd')",
    "SELECT * FROM glob('/*')",
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM 'secret.csv'",
    "FROM 'https://example.org/x.csv'",
    "SELECT (SELECT max(content) FROM read_text('/etc/passwd'))",
    "SELECT * FROM records WHERE seq IN (SELECT 1 FROM glob('*'))",
    "WITH x AS (SELECT * FROM read_csv('/etc/passwd')) SELECT * FROM x",
    "COPY records TO 'out.csv'",
    "COPY (SELECT 1) TO '/tmp/out.csv'",
    "COPY records FROM '/etc/passwd'",
    "EXPORT DATABASE 'x'",
    "ATTACH 'x.db'",
    "ATTACH ':memory:' AS y",
    "INSTALL httpfs",
    "LOAD httpfs",
    "PRAGMA database_list",
    "PRAGMA enable_external_access=true",
    "SELECT * FROM pragma_database_list()",
    "CALL pragma_version()",
    "SET enable_external_access = true",
    "SET memory_limit = '64GB'",
    "RESET lock_configuration",
    "SET VARIABLE a = 1",
    "SELECT getenv('HOME')",
    "SELECT write_log('x')",
    "SELECT * FROM query('SELECT 1')",
    "SELECT * FROM query_table('records')",
    "SELECT * FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))",
    "SELECT * FROM duckdb_settings()",
    "SELECT * FROM duckdb_secrets()",
    "SELECT * FROM memory.main.sqlite_master",
    "SELECT * FROM job",
    "SELECT * FROM connection",
    "CREATE TABLE t (a INT)",
    "CREATE TEMP TABLE t AS SELECT 1",
    "CREATE SECRET s (TYPE s3)",
    "DROP TABLE records",
    "INSERT INTO records (seq) VALUES (1)",
    "UPDATE records SET person = 'ann'",
    "DELETE FROM records",
    "WITH x AS (DELETE FROM records RETURNING *) SELECT * FROM x",
    "WITH x AS (INSERT INTO records (seq) VALUES (1) RETURNING *) SELECT * FROM x",
    "EXPLAIN ANALYZE SELECT 1",
    "PREPARE p AS SELECT 1",
    "PIVOT records ON source USING count(*)",
    "SELECT 1; SELECT 2",
    "SELECT 1; COPY records TO 'out.csv'",
    "BEGIN",
    "COMMIT",
    "USE memory",
    "CHECKPOINT",
    "",
    "-- nothing",
]


@pytest.fixture(scope="module")
def connection(recordings: Path) -> duckdb.DuckDBPyConnection:
    """A loaded and locked connection in this process, for what needs no process of its own."""
    found = audit_child._connect(256)
    audit_child._load(found, {"recordings": str(recordings), "tables": audit_sql._tables(recordings, Days())})
    audit_child._lock(found)
    return found


@pytest.mark.parametrize("sql", REFUSED)
def test_what_is_no_select_over_the_tables_is_refused(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    with pytest.raises((audit_child.RefusedError, duckdb.ParserException, duckdb.Error)):
        audit_child.judge(connection, sql, {"records", "seals"})
        connection.execute(f"SELECT * FROM ({sql}) LIMIT 0")  # getenv is refused by its absence


@pytest.mark.parametrize("sql", [*REFUSED[:3], *REFUSED[6:9], REFUSED[13], "DELETE FROM records", "SET VARIABLE a = 1"])
def test_a_refusal_reads_nothing_changes_nothing_and_says_why(recordings: Path, sql: str) -> None:
    before = {path: path.stat().st_mtime_ns for path in recordings.rglob("*")}
    with pytest.raises((Refused, InvalidInput)) as refusal:
        query(recordings, sql)
    assert refusal.value.code in {"query_refused", "query_failed"}
    assert "root:" not in str(refusal.value)
    assert {path: path.stat().st_mtime_ns for path in recordings.rglob("*")} == before


@pytest.mark.parametrize("sql", REFUSED[:13])
def test_files_stay_closed_when_the_judge_is_asleep(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """The second wall: DuckDB's own lock, when the judge lets everything through."""
    with pytest.raises(duckdb.Error):
        connection.execute(sql)
    with pytest.raises(duckdb.Error):
        connection.execute("SET enable_external_access = true")


def test_a_read_only_transaction_is_the_third_wall(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("BEGIN TRANSACTION READ ONLY")
    with pytest.raises(duckdb.TransactionException):
        connection.execute("WITH x AS (DELETE FROM records RETURNING *) SELECT * FROM x")
    connection.execute("ROLLBACK")


@pytest.mark.parametrize(
    ("sql", "near"),
    [
        ("SELECT caler FROM records", "caller"),
        ("SELECT * FROM record", "records"),
        ("SELECT statment FROM records", "statement"),
    ],
)
def test_an_unknown_name_is_answered_with_near_ones(recordings: Path, sql: str, near: str) -> None:
    with pytest.raises(TwokeysError) as refusal:
        query(recordings, sql)
    assert near in str(refusal.value)
    assert "twokeys audit tables" in refusal.value.advice


@pytest.mark.parametrize(
    "sql", ["SELEC 1", "SELECT", "SELECT '", "SELECT (", "\0", "SELECT 1 FROM", "é" * 40_000, "[" * 9999]
)
def test_malformed_text_is_an_answer_and_no_crash(recordings: Path, sql: str) -> None:
    with pytest.raises((InvalidInput, Unavailable)):
        query(recordings, sql)


def test_rows_and_bytes_are_limited_and_the_answer_says_so(recordings: Path) -> None:
    answer = query(recordings, "SELECT * FROM range(100000)", limits=QueryLimits(rows=10))
    assert (len(answer.rows), answer.truncated) == (10, True)
    answer = query(recordings, "SELECT repeat('x', 1000) FROM range(1000)", limits=QueryLimits(output_bytes=10_000))
    assert (len(answer.rows), answer.truncated) == (9, True)


def test_a_query_without_an_end_is_stopped(recordings: Path) -> None:
    endless = "SELECT count(*) FROM range(10000000) a, range(10000000) b WHERE a.range + b.range < 0"
    with pytest.raises(Unavailable) as refusal:
        query(recordings, endless, limits=QueryLimits(seconds=2))
    assert refusal.value.code == "query_timeout"


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT list(range) FROM range(500000000)",
        "SELECT repeat(repeat('x', 1000000), 100000)",
        "SELECT * FROM range(300000000) ORDER BY hash(range)",
    ],
)
def test_p8_a_query_for_all_the_memory_is_stopped(recordings: Path, sql: str) -> None:
    with pytest.raises((Unavailable, InvalidInput)):
        query(recordings, sql, limits=QueryLimits(memory_megabytes=128, seconds=20))


def test_the_child_has_no_environment(recordings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONSTARTUP", "/nonexistent")
    monkeypatch.setenv("PYTHONPATH", "/nonexistent")
    monkeypatch.setenv("TWOKEYS_SECRET", "hunter2")
    assert query(recordings, "SELECT 1").rows == ((1,),)


def test_days_narrow_what_is_loaded(recordings: Path) -> None:
    def found(days: Days) -> Any:
        return query(recordings, "SELECT DISTINCT source FROM records ORDER BY 1", days=days).rows

    assert found(Days("2026-11-22")) == (("edge-1",),)
    assert found(Days(last="2026-11-21")) == (("control-plane",),)
    assert found(Days("2027-01-01")) == ()
    with pytest.raises(InvalidInput):
        Days("yesterday")


def test_unsealed_and_strangely_named_files_are_not_evidence(tmp_path: Path) -> None:
    folder = store(tmp_path, sample())
    seal = folder / "seals" / "dt=2026-11-22" / "edge-1-000000000007.json"
    seal.unlink()
    for name in ("x.jsonl.gz", "edge-1-000000000001.jsonl.gz.tmp", "edge-9-000000000001.jsonl.gz"):
        (folder / "lines" / "dt=2026-11-22" / name).write_bytes(b"junk")
    (folder / "lines" / "dt=*").mkdir()
    assert query(folder, "SELECT max(seq) FROM records").rows == ((6,),)


def test_a_damaged_recording_is_said_and_never_answered_around(tmp_path: Path) -> None:
    folder = store(tmp_path, sample())
    lines = folder / "lines" / "dt=2026-11-22" / "edge-1-000000000004.jsonl.gz"
    for data in (b"", b"junk", lines.read_bytes()[:-12], None):
        lines.unlink() if data is None else lines.write_bytes(data)
        with pytest.raises(Unavailable) as refusal:
            query(folder, "SELECT count(*) FROM records")
        assert refusal.value.code == "damaged_recording"
        assert "audit verify" in refusal.value.advice
    with pytest.raises(Unavailable, match="no recordings"):
        query(tmp_path / "nowhere", "SELECT 1")


def test_an_empty_store_answers(tmp_path: Path) -> None:
    (tmp_path / "seals").mkdir()
    assert query(tmp_path, "SELECT count(*) FROM records").rows == ((0,),)


def test_no_process_and_no_folder_is_left_behind(recordings: Path) -> None:
    query(recordings, "SELECT 1")
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    alive = children.read_text().split() if children.exists() else []
    names = [json.dumps(Path(f"/proc/{pid}/cmdline").read_text()) for pid in alive if Path(f"/proc/{pid}").exists()]
    assert not [name for name in names if "audit_child" in name]
