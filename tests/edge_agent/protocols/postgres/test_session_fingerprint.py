"""The fingerprint is the same while nothing changed, and another one when the session means something else."""

from __future__ import annotations

import psycopg
import pytest

from edge_agent.protocols.postgres.events import Fingerprint, Prepared
from edge_agent.protocols.postgres.fingerprint import FINGERPRINT_SQL
from edge_agent.protocols.postgres.greeting import greeting
from tests.edge_agent.protocols.postgres.live import shell
from tests.edge_agent.protocols.postgres.script import kinds
from tests.support.postgres import RealPostgres


def test_it_is_the_same_at_hold_and_before_the_forward(any_postgres: RealPostgres) -> None:
    with shell(any_postgres) as running, psycopg.connect(running.dsn, autocommit=True) as client:
        for parameters in (None, [1]):
            sql = "UPDATE orders SET total = total WHERE id = " + ("%s" if parameters else "1")
            client.execute(sql, parameters)
            with client.transaction():
                client.execute("SELECT 1")
                client.execute(sql, parameters)
        asked = {effect.fingerprint for effect in running.of(Fingerprint) if isinstance(effect, Fingerprint)}
        prepared = {effect.fingerprint for effect in running.of(Prepared) if isinstance(effect, Prepared)}
        assert asked == prepared and len(asked) == 1
        client.execute("SET TimeZone = 'Asia/Tokyo'")
        client.execute("UPDATE orders SET total = total WHERE id = 1")
        last = running.of(Prepared)[-1]
        assert isinstance(last, Prepared) and last.fingerprint not in asked


@pytest.mark.parametrize("change", [
    "SET search_path = public, shop", "CREATE TEMP TABLE orders (id int)", "CREATE TYPE pg_temp.t AS ENUM ('a')",
    "SET ROLE pg_monitor", "SET session_replication_role = replica", "SET row_security = off",
    "SET SESSION AUTHORIZATION twokeys_edge", "SET lc_numeric = 'POSIX'", "SET DateStyle = 'SQL, DMY'",
    "PREPARE todo AS DELETE FROM shop.orders",
])  # fmt: skip
def test_w6_whatever_changes_meaning_changes_it(any_postgres: RealPostgres, change: str) -> None:
    with psycopg.connect(any_postgres.admin_dsn, autocommit=True) as server:
        server.execute("SET lc_numeric = 'C'")
        before = server.execute(FINGERPRINT_SQL).fetchone()
        server.execute("SET application_name = 'other'")
        assert server.execute(FINGERPRINT_SQL).fetchone() == before
        server.execute(change.encode())
        assert server.execute(FINGERPRINT_SQL).fetchone() != before


def test_w6_a_function_of_the_search_path_cannot_shadow_it(any_postgres: RealPostgres) -> None:
    with psycopg.connect(any_postgres.admin_dsn) as server:
        before = server.execute(FINGERPRINT_SQL).fetchone()
        server.execute(
            "CREATE FUNCTION public.current_setting(text, boolean) RETURNS text LANGUAGE sql AS 'SELECT 1/0'"
        )
        server.execute("SET LOCAL search_path = public, pg_catalog")
        changed = server.execute(FINGERPRINT_SQL).fetchone()
        server.rollback()
        assert before is not None and changed is not None and "public, pg_catalog" in str(changed[0])


def test_who_may_write_is_told_that_transactions_may() -> None:
    reported = {"default_transaction_read_only": "on", "server_version": "18.6"}
    told = greeting(reported, may_write=True, pid=7, key=b"abcd")
    assert kinds(told) == "SSKZI" and b"default_transaction_read_only\0off\0" in told
    assert b"default_transaction_read_only\0on\0" in greeting(reported, may_write=False, pid=7, key=b"abcd")
