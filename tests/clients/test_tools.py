"""Tools for reports, diagrams and administration: texts of the kind that they send (`metadata/*.sql`)"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import psycopg
import pytest
from psycopg.pq import ExecStatus

from tests.clients.scene import Scene

FOLDER: Final = Path(__file__).with_name("metadata")
DONE: Final = (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK)
ASKED: Final = ("SET work_mem = '64MB'", "SET search_path = other", "SET ROLE postgres", "LISTEN a")
"""What such tools may send at connect, and people are asked about: memory, names' meaning, rights, other sessions."""


def statements(name: str) -> list[str]:
    """The statements of a file; each ends with a semicolon before an empty line."""
    lines = (line for line in (FOLDER / f"{name}.sql").read_text().splitlines() if not line.startswith("--"))
    return re.split(r"(?<=;)\n\n+", "\n".join(lines).strip())


def connect(scene: Scene) -> psycopg.Connection:
    return psycopg.connect(scene.url, autocommit=True)


def test_there_are_enough_of_them() -> None:
    assert sum(len(statements(file.stem)) for file in FOLDER.glob("*.sql")) > 150


@pytest.mark.parametrize("name", ["administration", "applications", "completion", "dashboard", "desktop", "standard"])
def test_tools_look_up_metadata(scene: Scene, name: str) -> None:
    """look-ups in `pg_catalog` and `information_schema` (trees of objects, keys, privileges, sizes, activity, tab
    completion, the inspection of ORMs): each answers as a simple and as a prepared query, and nobody is asked"""
    with connect(scene) as client:
        for text in statements(name):
            simple = client.pgconn.exec_(text.encode())
            extended = client.pgconn.exec_params(text.encode(), [])
            for answer in (simple, extended):
                assert answer.status == ExecStatus.TUPLES_OK, (text, answer.error_message.decode())
    assert scene.asked == 0


def test_tools_set_up_their_session(scene: Scene) -> None:
    """what they send at connect: formats, time-outs, encoding, read-only by default, isolation, planner settings,
    `search_path` among the session's own schemas; nobody is asked"""
    with connect(scene) as client:
        for text in statements("connecting"):
            answer = client.pgconn.exec_(text.encode())
            assert answer.status in DONE, (text, answer.error_message.decode())
        assert client.execute("SELECT count(*) FROM orders WHERE id <= 200").fetchone() == (200,)
    assert [one.statement for one in scene.edge.control.opened] == []


def test_tools_are_asked_about_what_matters(one_scene: Scene) -> None:
    """a setting that takes memory, another `search_path` or role, LISTEN: people are asked"""
    one_scene.deny("not for a tool")
    with connect(one_scene) as client:
        for text in ASKED:
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="not for a tool"):
                client.execute(text)
    assert one_scene.asked == len(ASKED)


@pytest.mark.parametrize("path", ["public, shop", "shop", "''"])
def test_w6_writes_after_a_narrowed_path_are_still_asked_about(scene: Scene, path: str) -> None:
    """after `SET search_path` a write is held as before, shown with the schemas that it may mean, and names still
    mean what they are judged by"""
    with connect(scene) as client:
        client.execute(f"SET search_path TO {path}")
        assert client.execute("SELECT count(*) FROM shop.orders WHERE id <= 200").fetchone() == (200,)
        scene.deny("no")
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="no"):
            client.execute("UPDATE orders SET total = 5 WHERE id = 90" if path != "''" else "DELETE FROM shop.orders")
        if path != "''":
            assert client.execute("SELECT count(*) FROM orders WHERE id <= 200").fetchone() == (200,)
    assert scene.asked == 1


def test_tools_set_up_their_session_by_options(scene: Scene) -> None:
    """`options` and PGOPTIONS: `-c statement_timeout=5s -c default_transaction_read_only=on`, and a `search_path` of
    some of the session's own schemas (pgjdbc's `currentSchema`)"""
    options = r"-c statement_timeout=5s --intervalstyle=iso_8601 -c default_transaction_read_only=on"
    with psycopg.connect(scene.url, options=options, autocommit=True) as client:
        assert client.execute("SHOW statement_timeout").fetchone() == ("5s",)
        assert client.execute("SHOW intervalstyle").fetchone() == ("iso_8601",)
    with psycopg.connect(scene.url, options="-c search_path=public", autocommit=True) as client:
        assert client.execute("SELECT to_regclass('orders')").fetchone() == (None,)
        client.execute("SET search_path = shop")
        assert client.execute("SELECT count(*) FROM orders WHERE id <= 200").fetchone() == (200,)
        client.execute("DISCARD ALL")
        assert client.execute("SHOW search_path").fetchone() == ("public",)
    with pytest.raises(psycopg.OperationalError, match="search_path"):
        psycopg.connect(scene.url, options="-c search_path=other")
    with pytest.raises(psycopg.OperationalError, match="role"):
        psycopg.connect(scene.url, options="-c statement_timeout=5s -c role=postgres")
    assert scene.asked == 0
