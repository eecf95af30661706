"""Any sequence of transaction control, reads and allowed writes answers through the Edge as it does without."""

from __future__ import annotations

import select
import time
from collections.abc import Iterator
from contextlib import closing
from zlib import crc32

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import pq

from tests.edge_agent.net.edge_in_process import edge_in_process
from tests.support.postgres import RealPostgres
from twokeys_cli.postgres import SUPERUSER

ALLOWS = '@id("all") permit(principal, action in [Action::"read", Action::"write"], resource);'
STATEMENTS = (
    "BEGIN", "begin;", "BEGIN -- aside", "START TRANSACTION ISOLATION LEVEL REPEATABLE READ", "BEGIN READ ONLY",
    "COMMIT", "COMMIT WORK;", "END", "ROLLBACK", "ABORT", "SAVEPOINT a", 'SAVEPOINT "A b"', "ROLLBACK TO a",
    "RELEASE a", 'ROLLBACK TO SAVEPOINT "A b"', "SELECT n FROM {t} ORDER BY 1", "SELECT count(*) FROM {t}",
    "SELECT 1/0", "UPDATE {t} SET n = n + 1", "INSERT INTO {t} VALUES (7), (8)", "INSERT INTO {t} VALUES (NULL)",
    "DELETE FROM {t} WHERE n > 8", "UPDATE {t} SET n = 1 RETURNING n", "SHOW transaction_isolation",
    "DECLARE c CURSOR FOR SELECT n FROM {t} ORDER BY 1", "FETCH 2 FROM c", "SET LOCAL statement_timeout = 5000",
    "DECLARE h CURSOR WITH HOLD FOR SELECT n FROM {t} ORDER BY 1", "FETCH 2 FROM h", "CLOSE h",
)  # fmt: skip
SEVERAL = (
    "BEGIN; SELECT n FROM {t} ORDER BY 1", "SELECT 2; COMMIT", "BEGIN; SELECT 1; SELECT 1/0; COMMIT", "COMMIT; BEGIN",
    "SAVEPOINT a; SELECT 1; RELEASE a", "SELECT 1; ROLLBACK; SELECT 2", "BEGIN; UPDATE {t} SET n = n + 2",
    "BEGIN; DECLARE h CURSOR WITH HOLD FOR SELECT n FROM {t}; FETCH 1 FROM h", "CLOSE h; COMMIT",
)  # fmt: skip
ANSWER_SECONDS = 10.0
Seen = list[tuple[str, str, list[tuple[bytes | None, ...]]]]


class Side:
    """One connection, and the table that it changes."""

    def __init__(self, dsn: str, table: str) -> None:
        # Not `PGconn.connect`, which holds the interpreter's lock, and so the Edge in this process.
        self._opened = psycopg.connect(dsn, autocommit=True)
        self.connection = self._opened.pgconn
        self.table = table
        self._prepared: set[str] = set()

    def close(self) -> None:
        self._opened.close()

    def run(self, text: str, how: str) -> tuple[Seen, str]:
        """All results of a text, and the state of the transaction after it."""
        sql, connection = text.format(t=self.table), self.connection
        name = f"p{crc32(text.encode())}"
        if how == "prepared" and name not in self._prepared:
            connection.send_prepare(name.encode(), sql.encode())
            seen = self._results()
            if seen[0][0]:
                return seen, self._state()
            self._prepared.add(name)
        if how == "prepared":
            connection.send_query_prepared(name.encode(), None)
        elif how == "extended":
            connection.send_query_params(sql.encode(), None)
        else:
            connection.send_query(sql.encode())
        return self._results(), self._state()

    def _state(self) -> str:
        return pq.TransactionStatus(self.connection.transaction_status).name

    def _results(self) -> Seen:
        seen: Seen = []
        until = time.monotonic() + ANSWER_SECONDS
        while True:
            while self.connection.is_busy():
                if not select.select([self.connection.socket], [], [], max(0.0, until - time.monotonic()))[0]:
                    return [*seen, ("no answer", "", [])]
                self.connection.consume_input()
            if (result := self.connection.get_result()) is None:
                return seen
            rows = [
                tuple(result.get_value(row, column) for column in range(result.nfields))
                for row in range(result.ntuples)
            ]
            state = (result.error_field(pq.DiagnosticField.SQLSTATE) or b"").decode()
            seen.append((state, (result.command_status or b"").decode(), rows))


class Twins:
    """The same table twice: one is reached through an Edge, one without."""

    def __init__(self, real: RealPostgres, edge: str, direct: str) -> None:
        self.real, self._edge, self._direct = real, edge, direct

    def through(self) -> Side:
        return Side(self._edge, "twin_a")

    def beside(self) -> Side:
        return Side(self._direct, "twin_b")

    def fill(self) -> None:
        self.real.admin("SET lock_timeout = '5s'; TRUNCATE shop.twin_a, shop.twin_b")
        for name in ("twin_a", "twin_b"):
            self.real.admin(f"INSERT INTO shop.{name} VALUES (1), (9)")

    def rows(self) -> list[str]:
        return [self.real.admin(f"SELECT array_agg(n ORDER BY n) FROM shop.{n}") for n in ("twin_a", "twin_b")]


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory, any_postgres: RealPostgres) -> Iterator[Twins]:
    real = any_postgres
    real.admin(
        "CREATE TABLE shop.twin_a (n int NOT NULL UNIQUE DEFERRABLE INITIALLY DEFERRED);"
        "CREATE TABLE shop.twin_b (LIKE shop.twin_a INCLUDING ALL);"
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON shop.twin_a, shop.twin_b TO {real.user}"
    )
    direct = f"{real.dsn_of(SUPERUSER, real.server.superuser_password)} options='-c search_path=shop,public'"
    with edge_in_process(tmp_path_factory.mktemp("edge"), real, ALLOWS) as edge:
        yield Twins(real, edge.dsn, direct)
    real.admin("DROP TABLE shop.twin_a, shop.twin_b")


def steps() -> st.SearchStrategy[list[tuple[str, str]]]:
    one = st.tuples(st.sampled_from(STATEMENTS), st.sampled_from(("simple", "extended", "prepared")))
    several = st.tuples(st.sampled_from(SEVERAL), st.just("simple"))
    return st.lists(st.one_of(one, one, one, several), min_size=2, max_size=14)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps())
def test_it_answers_as_it_does_without_the_edge(twins: Twins, script: list[tuple[str, str]]) -> None:
    twins.fill()
    with closing(twins.through()) as through, closing(twins.beside()) as beside:
        for number, (text, how) in enumerate(script):
            mine, theirs = through.run(text, how), beside.run(text, how)
            assert mine == theirs, (number, script[: number + 1])
        through.run("ROLLBACK", "simple"), beside.run("ROLLBACK", "simple")
    here, there = twins.rows()
    assert here == there, script
