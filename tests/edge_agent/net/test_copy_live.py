"""COPY FROM STDIN: people decide about the very data, and the server gets those or none."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]
import psycopg
import pytest
from psycopg import generators

from edge_agent.config import LimitsSection
from tests.edge_agent.net.edge_in_process import CALLER, PASSWORD, InProcessEdge, edge_in_process
from tests.edge_agent.protocols.postgres.doors import ALLOW_ALL
from tests.support.postgres import RealPostgres
from twokeys.command import PostgresCommand
from twokeys.copy_data import MAX_HEAD_BYTES, CopyFormat
from twokeys.digest import from_base64

LIMITS = LimitsSection(max_copy_bytes=4 * 2**20)


@pytest.fixture
def edge(tmp_path: Path, any_postgres: RealPostgres) -> Iterator[InProcessEdge]:
    any_postgres.admin("DROP TABLE IF EXISTS shop.stock")
    any_postgres.admin(
        "CREATE TABLE shop.stock (id int PRIMARY KEY, name text, twice int GENERATED ALWAYS AS (id * 2) STORED)"
    )
    any_postgres.admin("GRANT ALL ON shop.stock TO PUBLIC")
    with edge_in_process(tmp_path, any_postgres, limits=LIMITS) as running:
        yield running


def stock(edge: InProcessEdge) -> list[str]:
    return edge.postgres.admin("SELECT id || '=' || name FROM shop.stock ORDER BY id").split()


def held(edge: InProcessEdge) -> PostgresCommand:
    (opened,) = edge.control.opened
    blob = from_base64(opened.command) if opened.command is not None else edge.control.uploaded[-1]
    return PostgresCommand.from_json(json.loads(blob))


def test_w5_people_see_digest_size_rows_and_beginning_and_the_server_gets_those_data(edge: InProcessEdge) -> None:
    with psycopg.connect(edge.dsn) as caller:
        with caller.cursor().copy("COPY stock (id, name) FROM STDIN") as copy:
            copy.write("1\tone\n")
            copy.write_row((2, "two"))
        caller.commit()
    data = b"1\tone\n2\ttwo\n"
    copied = held(edge).copy
    assert copied is not None
    assert (copied.sha256, copied.size, copied.rows) == (hashlib.sha256(data).hexdigest(), len(data), 2)
    assert (copied.head, copied.format) == (data, CopyFormat.TEXT)
    assert stock(edge) == ["1=one", "2=two"]
    assert edge.control.reported.wait(5)
    assert [(one.outcome, one.rows) for one in edge.control.reports] == [("done", 2)]


def test_w5_more_data_than_memory_keeps_arrive_whole(edge: InProcessEdge) -> None:
    rows = 60_000
    with psycopg.connect(edge.dsn, autocommit=True) as caller, caller.cursor().copy("COPY stock FROM STDIN") as copy:
        for number in range(rows):
            copy.write(f"{number}\tname {number} of the stock\n")
    copied = held(edge).copy
    assert copied is not None and copied.rows == rows and copied.size > 2**20
    assert len(copied.head) == MAX_HEAD_BYTES and copied.head.startswith(b"0\tname 0 of")
    assert edge.postgres.admin("SELECT count(*), sum(id) FROM shop.stock").split("|") == [
        f"{rows}", f"{rows * (rows - 1) // 2}\n",
    ]  # fmt: skip


def test_w5_denied_data_are_not_copied_and_the_session_goes_on(edge: InProcessEdge) -> None:
    edge.control.verdict = "denied"
    with psycopg.connect(edge.dsn, autocommit=True) as caller:
        with pytest.raises(psycopg.errors.InsufficientPrivilege), caller.cursor().copy("COPY stock FROM STDIN") as copy:
            copy.write("1\tone\n")
        assert caller.execute("SELECT count(*) FROM stock").fetchone() == (0,)


def test_w5_a_copy_that_the_client_gives_up_opens_nothing(edge: InProcessEdge) -> None:
    with psycopg.connect(edge.dsn, autocommit=True) as caller:
        with pytest.raises(ZeroDivisionError), caller.cursor().copy("COPY stock FROM STDIN") as copy:
            copy.write("1\tone\n")
            raise ZeroDivisionError
        assert caller.execute("SELECT count(*) FROM stock").fetchone() == (0,)
    assert edge.control.opened == []


def test_w5_data_over_the_limit_are_refused_and_the_session_goes_on(edge: InProcessEdge) -> None:
    with psycopg.connect(edge.dsn, autocommit=True) as caller:
        said = pytest.raises(psycopg.Error, match="4194304 bytes at most")
        with said, caller.cursor().copy("COPY stock FROM STDIN") as copy:
            for number in range(6 * 16):
                copy.write(f"{number}\t{'x' * 65_000}\n")
        assert caller.execute("SELECT count(*) FROM stock").fetchone() == (0,)
    assert edge.control.opened == []


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("COPY nothing_such FROM STDIN", "42P01"),
        ("COPY stock (id, nothing_such) FROM STDIN", "42703"),
        ("COPY stock (twice) FROM STDIN", "42703"),
        ("COPY stock FROM STDIN (FORMAT xml)", "0A000"),
    ],
)
def test_what_can_not_be_copied_is_told_before_the_data(edge: InProcessEdge, text: str, state: str) -> None:
    with psycopg.connect(edge.dsn, autocommit=True) as caller:
        with pytest.raises(psycopg.Error) as caught, caller.cursor().copy(text) as copy:
            copy.write("1\n")
        assert caught.value.sqlstate == state
        assert caller.execute("SELECT 1").fetchone() == (1,)
    assert edge.control.opened == []


def test_data_that_the_server_refuses_fail_the_request(edge: InProcessEdge) -> None:
    with psycopg.connect(edge.dsn, autocommit=True) as caller:
        with pytest.raises(psycopg.errors.UniqueViolation), caller.cursor().copy("COPY stock FROM STDIN") as copy:
            copy.write("1\tone\n1\tagain\n")
        assert caller.execute("SELECT count(*) FROM stock").fetchone() == (0,)
        assert edge.control.reported.wait(5)
        assert [(one.outcome, one.sqlstate) for one in edge.control.reports] == [("failed", "23505")]


def test_a_copy_in_a_transaction_of_the_caller_ends_with_it(edge: InProcessEdge) -> None:
    with psycopg.connect(edge.dsn) as caller:
        caller.execute("SELECT 1")
        with caller.cursor().copy("COPY stock FROM STDIN (FORMAT csv, HEADER)") as copy:
            copy.write('id,name\n1,"a\nb"\n')
        assert edge.control.opened[0].in_transaction
        caller.rollback()
    copied = held(edge).copy
    assert copied is not None and copied.rows == 1
    assert stock(edge) == []


def test_a_hang_up_while_copying_in_opens_nothing(edge: InProcessEdge) -> None:
    caller = psycopg.connect(edge.dsn, autocommit=True)
    copy = caller.cursor().copy("COPY stock FROM STDIN")
    copy.__enter__().write("1\tone\n")
    caller.pgconn.finish()
    with psycopg.connect(edge.dsn) as other:
        assert other.execute("SELECT count(*) FROM stock").fetchone() == (0,)
    assert edge.control.opened == []


def test_a_hang_up_while_held_copies_nothing(edge: InProcessEdge) -> None:
    edge.control.verdict = "pending"
    caller = psycopg.connect(edge.dsn, autocommit=True)

    def copy() -> None:
        with pytest.raises(psycopg.OperationalError), caller.cursor().copy("COPY stock FROM STDIN") as copy:
            copy.write("1\tone\n")

    thread = threading.Thread(target=copy)
    thread.start()
    assert edge.control.arrived.wait(5)
    with socket.socket(fileno=os.dup(caller.pgconn.socket)) as connection:
        connection.shutdown(socket.SHUT_RDWR)
    thread.join(5)
    assert edge.control.gone.wait(5)
    assert stock(edge) == []


@pytest.mark.parametrize("policies", [None, ALLOW_ALL])
def test_psql_restores_a_dump_and_copies_both_ways(
    tmp_path: Path, any_postgres: RealPostgres, edge: InProcessEdge, policies: str | None
) -> None:
    if policies is not None:
        edge.enter(policies, 2)
    source, target = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text("4,four\n5,five\n")
    script = (
        "COPY shop.stock (id, name) FROM stdin;\n1\tone\n2\ttwo\n\\.\n\n"
        f"\\copy shop.stock(id, name) from '{source}' csv\n"
        f"\\copy (select id, name from shop.stock order by id) to '{target}' csv\n"
    )
    psql = shutil.which("psql")
    assert psql is not None
    done = subprocess.run(
        [psql, "-X", "-v", "ON_ERROR_STOP=1", edge.dsn, "-f", "-"], input=script, capture_output=True, text=True,
        timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert target.read_text() == "1,one\n2,two\n4,four\n5,five\n"
    assert len(edge.control.opened) == (0 if policies else 2)


@pytest.mark.parametrize("policies", [None, ALLOW_ALL])
def test_psql_restores_what_pg_dump_wrote(edge: InProcessEdge, policies: str | None) -> None:
    if policies is not None:
        edge.enter(policies, 2)
    real = edge.postgres
    real.admin("INSERT INTO shop.stock (id, name) SELECT n, 'name ' || n FROM generate_series(1, 50) AS n")
    program = real.server.server_binaries.program
    dump = subprocess.run(
        [program("pg_dump"), real.admin_dsn, "--data-only", "-t", "shop.stock"], capture_output=True, text=True,
        timeout=30, check=True,
    )  # fmt: skip
    real.admin("TRUNCATE shop.stock")
    done = subprocess.run(
        [program("psql"), "-X", "-v", "ON_ERROR_STOP=1", edge.dsn, "-f", "-"], input=dump.stdout, capture_output=True,
        text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert real.admin("SELECT count(*), max(name) FROM shop.stock").strip() == "50|name 9"


@pytest.mark.parametrize("policies", [None, ALLOW_ALL])
def test_asyncpg_copies_records(edge: InProcessEdge, policies: str | None) -> None:
    if policies is not None:
        edge.enter(policies, 2)

    async def copy() -> str:
        caller = await asyncpg.connect(
            host="127.0.0.1", port=edge.port, user=CALLER.id, password=PASSWORD, database=edge.postgres.database
        )
        records = [(number, f"name {number}") for number in range(500)]
        said = await caller.copy_records_to_table("stock", records=records, columns=["id", "name"])
        assert await caller.fetchval("SELECT count(*) FROM stock") == 500
        await caller.close()
        return str(said)

    assert asyncio.run(copy()) == "COPY 500"
    if policies is None:
        copied = held(edge).copy
        assert copied is not None and (copied.format, copied.rows) == (CopyFormat.BINARY, None)


def test_the_extended_protocol_copies_too(edge: InProcessEdge) -> None:
    with psycopg.connect(edge.dsn, autocommit=True) as caller:
        raw = caller.pgconn

        def answer() -> psycopg.pq.abc.PGresult | None:
            caller.wait(generators.send(raw))
            found: psycopg.pq.abc.PGresult | None = caller.wait(generators.fetch(raw))
            return found

        for policies in (None, ALLOW_ALL):
            if policies is not None:
                edge.enter(policies, 2)
                caller.execute("DELETE FROM stock")
            raw.send_query_params(b"COPY stock FROM STDIN", [])
            result = answer()
            assert result is not None and result.status == psycopg.pq.ExecStatus.COPY_IN, raw.error_message
            assert result.nfields == 2
            raw.put_copy_data(b"1\tone\n")
            raw.put_copy_end()
            result = answer()
            assert result is not None and result.command_status == b"COPY 1", raw.error_message
            assert answer() is None
            assert caller.execute("SELECT count(*) FROM stock").fetchone() == (1,)
    assert len(edge.control.opened) == 1


def test_w5_what_policy_allows_passes_through_and_is_recorded_by_digest(edge: InProcessEdge) -> None:
    edge.enter(ALLOW_ALL, 2)
    with psycopg.connect(edge.dsn, autocommit=True) as caller:
        with caller.cursor().copy("COPY stock FROM STDIN") as copy:
            for number in range(200):
                copy.write(f"{number}\t{'x' * 40_000}\n")
        with pytest.raises(psycopg.errors.UniqueViolation), caller.cursor().copy("COPY stock FROM STDIN") as copy:
            for number in range(200):
                copy.write(f"{number}\t{'x' * 40_000}\n")
        with pytest.raises(ZeroDivisionError), caller.cursor().copy("COPY stock FROM STDIN") as copy:
            copy.write("1000\tone\n")
            raise ZeroDivisionError
        assert caller.execute("SELECT count(*) FROM stock").fetchone() == (200,)
    assert edge.control.opened == []


def test_a_hang_up_in_a_copy_that_passes_through_copies_nothing(edge: InProcessEdge) -> None:
    edge.enter(ALLOW_ALL, 2)
    caller = psycopg.connect(edge.dsn, autocommit=True)
    copy = caller.cursor().copy("COPY stock FROM STDIN")
    copy.__enter__().write("1\tone\n" * 20_000)
    caller.pgconn.finish()
    with psycopg.connect(edge.dsn, autocommit=True) as other:
        # Waits for the other's transaction to end, if it is still there.
        assert other.execute("DELETE FROM stock").rowcount == 0


def test_w2_copy_messages_outside_of_a_copy_end_the_session(edge: InProcessEdge) -> None:
    for message in (b"d\0\0\0\5x", b"c\0\0\0\4", b"f\0\0\0\5\0"):
        with psycopg.connect(edge.dsn, autocommit=True) as caller:
            os.write(caller.pgconn.socket, message)
            with pytest.raises(psycopg.OperationalError):
                caller.execute("SELECT 1")


def test_copies_out_are_reads_for_every_library(edge: InProcessEdge) -> None:
    out = "COPY (SELECT id FROM orders WHERE id <= 3 ORDER BY id) TO STDOUT"
    with psycopg.connect(edge.dsn) as caller:
        with caller.cursor().copy(out) as copy:
            assert [bytes(piece) for piece in copy] == [b"1\n", b"2\n", b"3\n"]
        with caller.cursor().copy(f"{out} (FORMAT binary)") as copy:
            copy.set_types(["int4"])
            assert list(copy.rows()) == [(1,), (2,), (3,)]

    async def copy_out() -> bytes:
        caller = await asyncpg.connect(
            host="127.0.0.1", port=edge.port, user=CALLER.id, password=PASSWORD, database=edge.postgres.database
        )
        file = io.BytesIO()
        await caller.copy_from_query("SELECT id FROM orders WHERE id <= 3 ORDER BY id", output=file)
        await caller.copy_from_table("orders", columns=["id"], output=file, format="csv")
        await caller.close()
        return file.getvalue()

    first, second, third, *table = asyncio.run(copy_out()).splitlines()
    assert (first, second, third) == (b"1", b"2", b"3")
    # A table has no order.
    assert {b"1", b"2", b"3"} <= set(table)
    assert edge.control.opened == []


@pytest.mark.parametrize("policies", [None, ALLOW_ALL])
def test_a_cancel_while_copying_in_ends_the_copy_and_the_session_goes_on(
    edge: InProcessEdge, policies: str | None
) -> None:
    if policies is not None:
        edge.enter(policies, 2)
    with psycopg.connect(edge.dsn, autocommit=True) as caller:
        said = pytest.raises(psycopg.errors.QueryCanceled)
        with said, caller.cursor().copy("COPY stock FROM STDIN") as copy:
            copy.write("1\tone\n")
            caller.cancel_safe()
            copy.write("2\ttwo\n")
        assert caller.execute("SELECT count(*) FROM stock").fetchone() == (0,)
    assert edge.control.opened == []
