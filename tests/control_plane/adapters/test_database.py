"""The store's file: an older one is brought up to date, a newer one is left alone."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import msgspec
import pytest

from control_plane.chalicelib.adapters.embedded.database import Database
from control_plane.chalicelib.adapters.embedded.edges import SqliteEdges
from control_plane.chalicelib.adapters.embedded.requests import SqliteRequests
from control_plane.chalicelib.adapters.embedded.schema import SCHEMA, VERSION
from tests.control_plane.ports.backend import asked
from tests.control_plane.world import ManualClock
from twokeys.errors import Unavailable


def tables(path: Path) -> set[str]:
    connection = sqlite3.connect(path)
    found = {str(name) for (name,) in connection.execute("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL")}
    connection.close()
    return found


def test_a_file_of_the_first_version_is_brought_up_to_date(tmp_path: Path) -> None:
    fresh = Database(tmp_path / "fresh.sqlite", ManualClock(1))
    fresh.close()
    old = tmp_path / "old.sqlite"
    connection = sqlite3.connect(old)
    first = "\n".join(line for line in SCHEMA.splitlines() if "revoked_edges" not in line and "erasures" not in line)
    connection.executescript(first + "PRAGMA user_version = 1;")
    known = msgspec.json.decode(msgspec.json.encode(asked("req_" + "a" * 26)))
    del known["opened"]["fingerprint"]
    connection.execute(
        "INSERT INTO requests VALUES (?, 'edge-1', 'pending', 0, 0, 0, 'd', 'c', ?, NULL, NULL)",
        ("req_" + "a" * 26, msgspec.json.encode(known)),
    )
    connection.commit()
    connection.close()
    opened = Database(old, ManualClock(1))
    assert SqliteEdges(opened).edges() == []
    (listed,) = SqliteRequests(opened).listed(None)
    assert listed.asked.opened.fingerprint == "0" * 64
    opened.close()
    assert tables(old) == tables(tmp_path / "fresh.sqlite")
    again = Database(old, ManualClock(1))
    assert again.read().execute("PRAGMA user_version").fetchone() == (VERSION,)
    again.close()


def test_a_file_of_a_later_version_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "later.sqlite"
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()
    with pytest.raises(Unavailable):
        Database(path, ManualClock(1))
