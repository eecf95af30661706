"""What became of a transaction, asked of a real server."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from edge_agent.config import PostgresSection
from edge_agent.net.postgres_settle import SLACK_SECONDS, outcome_of
from edge_agent.net.postgres_start import Door
from edge_agent.protocols.postgres.startup_rules import Plaintext, StartupRules
from edge_agent.protocols.postgres.upstream_rules import UpstreamRules
from edge_agent.secret import Secret
from tests.support.killed import DEFERRED, LASTING, kill_server, start_again
from tests.support.postgres import RealPostgres, running_postgres
from twokeys_cli.postgres import wheel_binaries

XID = "SELECT pg_current_xact_id()::text"


def door_to(postgres: RealPostgres, port: int | None = None) -> Door:
    section = PostgresSection(
        target="sample-db",
        upstream_host="127.0.0.1",
        upstream_port=port or postgres.port,
        upstream_user=postgres.user,
        upstream_password=Secret(postgres.password),
        upstream_database=postgres.database,
        connect_seconds=5,
    )
    return Door(
        section,
        StartupRules("sample-db", False, b"m" * 32, None, Plaintext.LOOPBACK, postgres.database),
        UpstreamRules(user=postgres.user, password=postgres.password, tls=False),
        None,
        None,
    )


def asked(postgres: RealPostgres, xid: str, port: int | None = None, age: int = -SLACK_SECONDS) -> str:
    return asyncio.run(outcome_of(door_to(postgres, port), xid, age))


def test_each_end_of_a_transaction_is_told(any_postgres: RealPostgres) -> None:
    with psycopg.connect(any_postgres.admin_dsn) as session:
        ends = {}
        for end in (session.commit, session.rollback):
            row = session.execute(XID).fetchone()
            assert row is not None
            ends[end.__name__] = row[0]
            end()
        row = session.execute(XID).fetchone()
        assert row is not None
        assert asked(any_postgres, ends["commit"]) == "done"
        assert asked(any_postgres, ends["rollback"]) == "failed"
        assert asked(any_postgres, row[0]) == "in_doubt"


@pytest.mark.parametrize("xid", ["", "-1", "1; DROP TABLE x", "'", "1" * 21, "18446744073709551615", "\u0661"])
def test_what_is_no_known_transaction_stays_in_doubt(postgres: RealPostgres, xid: str) -> None:
    assert asked(postgres, xid) == "in_doubt"


def test_a_server_out_of_reach_leaves_the_doubt(postgres: RealPostgres) -> None:
    assert asked(postgres, "700", port=1) == "in_doubt"


def test_after_a_crash_of_the_server_an_id_given_again_is_not_believed() -> None:
    with running_postgres(wheel_binaries(), LASTING) as mortal:
        mortal.admin(DEFERRED)
        session = psycopg.connect(mortal.admin_dsn)
        session.execute("UPDATE shop.sleepy SET total = 2")
        row = session.execute(XID).fetchone()
        assert row is not None
        kill_server(mortal)
        session.close()
        start_again(mortal)
        assert asked(mortal, row[0], age=60) == "failed"
        for at in range(4):
            mortal.admin(f"CREATE TABLE again_{at} (a int)")
        assert mortal.admin(f"SELECT pg_xact_status('{row[0]}')").strip() == "committed"
        assert asked(mortal, row[0], age=60) == "in_doubt"


def test_after_a_clean_restart_an_id_is_believed() -> None:
    with running_postgres(wheel_binaries(), LASTING) as server:
        xid = server.admin("BEGIN; CREATE TABLE shop.one (a int); SELECT pg_current_xact_id(); COMMIT").strip()
        port = server.port
        server.server.stop()
        server.server.start(port)
        assert asked(server, xid) == "done"
