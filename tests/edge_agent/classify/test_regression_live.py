"""The classifier agrees with PostgreSQL's own regression tests: what the server says writes is never called a read."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.pq import DiagnosticField, ExecStatus, TransactionStatus

from edge_agent.catalogue.limits import DEFAULT_LIMITS
from edge_agent.catalogue.question import load_sql, read_snapshot
from edge_agent.catalogue.rules import Catalogue
from edge_agent.classify.sql import classify_sql
from tests.edge_agent.classify.postgres_sources import regression_scripts
from tests.edge_agent.classify.regression_script import Statement, statements
from tests.support.postgres import RealPostgres, running_postgres
from twokeys_cli.postgres import system_binaries

READ_ONLY = "25006"
LEFT_OUT = {"tablespace", "infinite_recurse", "stats", "prepared_xacts", "database"}
"""They need files of the server's, minutes, or leave something that blocks the others."""


@pytest.fixture(scope="module")
def server() -> Iterator[RealPostgres]:
    binaries = system_binaries()
    if not binaries:
        pytest.skip("no PostgreSQL of the system is installed, whose regression tests could be run")
    with running_postgres(binaries[0]) as real:
        real.admin("CREATE DATABASE regression TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'")
        yield real


class Script:
    """One session that runs a script: each statement once in read-only mode, then for good."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.connection = psycopg.connect(dsn, autocommit=True)
        self.pg = self.connection.pgconn
        self.run(Statement("SET statement_timeout = '3s'"))
        self.run(Statement("SET lock_timeout = '1s'"))

    def run(self, one: Statement) -> tuple[str, str]:
        """The SQLSTATE of a text, empty when it ran, and the last value of its last row."""
        state = value = ""
        self.pg.send_query(one.text.encode())
        while (result := self.pg.get_result()) is not None:
            match result.status:
                case ExecStatus.COPY_IN:
                    for row in one.data:
                        self.pg.put_copy_data(row.encode() + b"\n")
                    self.pg.put_copy_end()
                case ExecStatus.COPY_OUT:
                    while self.pg.get_copy_data(0)[0] > 0:
                        pass
                case ExecStatus.TUPLES_OK if result.ntuples and result.nfields:
                    value = (result.get_value(0, 0) or b"").decode("utf-8", "replace")
                case ExecStatus.FATAL_ERROR:
                    state = state or (result.error_field(DiagnosticField.SQLSTATE) or b"-").decode()
        return state, value

    def say(self, text: str) -> tuple[str, str]:
        return self.run(Statement(text))

    def stopped(self, one: Statement) -> bool:
        """Whether the server's read-only mode stops it, here and now; nothing of it is left."""
        if self.pg.transaction_status == TransactionStatus.IDLE:
            self.say("BEGIN READ ONLY")
            state = self.run(one)[0]
            self.say("ROLLBACK")
            return state == READ_ONLY
        if self.pg.transaction_status != TransactionStatus.INTRANS:
            return False
        self.say("SAVEPOINT _probe")
        self.say("SET LOCAL transaction_read_only = on")
        state = self.run(one)[0]
        self.say("ROLLBACK TO SAVEPOINT _probe")
        self.say("RELEASE SAVEPOINT _probe")
        return state == READ_ONLY

    def wrote(self, one: Statement, count: Counter[str]) -> bool:
        """Run what is called a read for good; whether it took a transaction id, as whatever writes does."""
        if self.pg.transaction_status != TransactionStatus.IDLE:
            count["reads in a transaction"] += 1
            self.run(one)
            return False
        self.say("BEGIN")
        count["reads that ran"] += self.run(one)[0] == ""
        taken = self.say("SELECT pg_catalog.pg_current_xact_id_if_assigned()")[1]
        self.say("COMMIT")
        return taken != ""

    def catalogue(self) -> Catalogue:
        with contextlib.closing(psycopg.connect(self.dsn, autocommit=True)) as connection:
            rows: list[bytes] = []
            connection.pgconn.send_query(load_sql(DEFAULT_LIMITS).encode())
            while (result := connection.pgconn.get_result()) is not None:
                rows += [result.get_value(at, 0) or b"" for at in range(result.ntuples)]
        return Catalogue(read_snapshot(rows, DEFAULT_LIMITS))


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_what_postgresql_says_writes_is_never_called_a_read(
    server: RealPostgres, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(request.config.cache.mkdir("postgresql-source"))
    dsn = server.admin_dsn.replace(f"dbname={server.database}", "dbname=regression")
    count: Counter[str] = Counter()
    wrong: list[str] = []
    for path in regression_scripts(folder, server.major):
        if path.stem in LEFT_OUT:
            continue
        script = Script(dsn)
        with contextlib.closing(script.connection):
            for one in statements(path.read_text("utf-8", "replace"), path.parent.parent):
                found = run_one(script, one, count)
                if found:
                    wrong.append(f"{path.stem}: {found}: {one.text[:200]}")
                if script.pg.status != psycopg.pq.ConnStatus.OK:
                    break
    with capsys.disabled():
        print(f"\n  {dict(count)}")
    assert count["statements"] > 30_000
    assert count["stopped"] > 15_000
    assert count["reads that ran"] > 10_000
    assert not wrong, "\n".join(wrong)


def run_one(script: Script, one: Statement, count: Counter[str]) -> str:
    """Run one statement; says what the classifier got wrong about it, or nothing."""
    count["statements"] += 1
    text = one.text.encode()
    verdict = classify_sql(text, ("public",))
    count["reads" if verdict.is_read else "refused" if verdict.refusal else "not reads"] += 1
    if verdict.actions or (verdict.is_read and verdict.classification.kind in SESSION):
        script.run(one)
        return ""
    stopped = script.stopped(one)
    count["stopped"] += stopped
    wrote = False
    if verdict.is_read:
        wrote = script.wrote(one, count) and not any(name in one.text for name in TAKE_AN_ID)
    else:
        script.run(one)
    count["wrote"] += wrote
    if not (verdict.is_read and (stopped or wrote)):
        return ""
    if script.pg.transaction_status != TransactionStatus.IDLE:
        count["hidden, not committed"] += 1
        return ""
    if not classify_sql(text, ("public",), known=script.catalogue()).is_read:
        count["known by the catalogue alone"] += 1
        return ""
    return "stopped" if stopped else "wrote"


TAKE_AN_ID = ("txid_current()", "pg_current_xact_id()")
"""They take a transaction id, which is no write: the server's read-only mode lets them pass, too."""

SESSION = {
    "SET",
    "RESET",
    "RESET ALL",
    "SET TRANSACTION",
    "DISCARD ALL",
    "DISCARD TEMP",
    "DEALLOCATE",
    "CLOSE",
    "FETCH",
    "SHOW",
}
"""What lives in the session: a second run, or an undone one, would make it another session."""
