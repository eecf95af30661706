"""pgbouncer behind the Edge: refused, in each mode"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.clients.pooler import INSTALLED, pgbouncer
from tests.edge_agent.net.edge_in_process import edge_in_process
from tests.support.postgres import RealPostgres

pytestmark = INSTALLED

MODES = pytest.mark.parametrize("mode", ["session", "transaction"])


@pytest.fixture
def by_role(postgres: RealPostgres) -> Iterator[None]:
    """The Edge's role begins read-only by itself, so that all that a server reports is as it must be."""
    role = f'ALTER ROLE {postgres.user} {{}} "default_transaction_read_only"'
    postgres.admin(role.format("SET") + " = on")
    yield
    postgres.admin(role.format("RESET"))


def answer(tmp_path: Path, postgres: RealPostgres, mode: str, *settings: str) -> str:
    """What a caller is told at an Edge whose server is such a pgbouncer."""
    user = (postgres.user, postgres.password)
    with (
        pgbouncer(postgres.port, postgres.database, user, mode, *settings) as port,
        edge_in_process(tmp_path, postgres, upstream_port=port) as edge,
    ):
        with pytest.raises(psycopg.OperationalError) as caught:
            psycopg.connect(edge.dsn)
        return str(caught.value)


@MODES
def test_w6_a_pooler_that_takes_no_options_is_refused(tmp_path: Path, postgres: RealPostgres, mode: str) -> None:
    """as it comes it takes no `options`: no session begins, and the error says why"""
    assert "unsupported startup parameter: options" in answer(tmp_path, postgres, mode)


@MODES
def test_w6_a_pooler_that_drops_options_is_refused(tmp_path: Path, postgres: RealPostgres, mode: str) -> None:
    """told to ignore `options`, it drops the read-only mode: no session begins, and the error says why"""
    said = answer(tmp_path, postgres, mode, "ignore_startup_parameters = options")
    assert "connect to the server itself" in said


@MODES
@pytest.mark.usefixtures("by_role")
def test_w6_a_pooler_whose_sessions_begin_read_only_is_refused(
    tmp_path: Path, postgres: RealPostgres, mode: str
) -> None:
    """even where the role's sessions begin read-only, others may have changed the one that is handed out: no session
    begins, and the error says what to do"""
    said = answer(tmp_path, postgres, mode, "ignore_startup_parameters = options")
    assert "a pooler goes before the edge" in said


@pytest.mark.usefixtures("by_role")
def test_a_pooled_session_may_write_whatever_it_reports(postgres: RealPostgres) -> None:
    """why: a client of the pooler is told `default_transaction_read_only=on`, and its reads write"""
    user = (postgres.user, postgres.password)
    settings = ("ignore_startup_parameters = options", "default_pool_size = 1")
    with pgbouncer(postgres.port, postgres.database, user, "transaction", *settings) as port:
        url = f"host=127.0.0.1 port={port} dbname={postgres.database} user={user[0]} password={user[1]}"
        with psycopg.connect(url, autocommit=True) as other:
            other.execute("SET default_transaction_read_only = off")
        with psycopg.connect(url, autocommit=True) as client:
            assert client.info.parameter_status("default_transaction_read_only") == "on"
            assert client.execute("SHOW default_transaction_read_only").fetchone() == ("off",)
