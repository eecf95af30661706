"""pg8000"""

from __future__ import annotations

from typing import Any

import pytest

from tests.clients.scene import Doing, Scene

pg8000 = pytest.importorskip("pg8000.dbapi")


def connect(scene: Scene) -> Any:
    client = pg8000.connect(
        scene.user, host="127.0.0.1", port=scene.port, database=scene.database, password=scene.password
    )
    client.autocommit = True
    return client


def test_pg8000_reads(scene: Scene) -> None:
    """reads, with and without parameters"""
    client = connect(scene)
    cursor = client.cursor()
    cursor.execute("SELECT count(*) FROM orders WHERE id <= %s", (200,))
    assert cursor.fetchone() == [200]
    cursor.execute("SELECT 'ä'")
    assert cursor.fetchone() == ["ä"]
    client.close()
    assert scene.asked == 0


def test_pg8000_write_is_applied_after_approval(scene: Scene) -> None:
    """a write waits and is applied after approval, alone and in a transaction"""
    client = connect(scene)
    cursor = client.cursor()
    cursor.execute("UPDATE orders SET total = %s WHERE id = 21", (51,))
    assert cursor.rowcount == 1
    client.autocommit = False
    cursor.execute("UPDATE orders SET total = 52 WHERE id = 22")
    client.commit()
    client.close()
    assert (scene.total(21), scene.total(22), scene.asked) == ("51.00", "52.00", 2)


def test_pg8000_write_is_denied_with_the_reason(scene: Scene) -> None:
    """a denial says why, and the session stays usable"""
    scene.deny("not on a Friday")
    client = connect(scene)
    cursor = client.cursor()
    with pytest.raises(pg8000.DatabaseError, match="not on a Friday"):
        cursor.execute("DELETE FROM orders WHERE id = %s", (23,))
    cursor.execute("SELECT 1")
    assert cursor.fetchone() == [1]
    client.close()


def test_pg8000_disconnect_while_held(scene: Scene) -> None:
    """a hang-up while held withdraws, and nothing runs"""
    scene.leave_pending()
    client = connect(scene)
    asking = Doing(lambda: client.cursor().execute("UPDATE orders SET total = 99 WHERE id = 24"))
    scene.until_held()
    before = scene.total(24)
    client._usock.shutdown(2)
    scene.until_withdrawn()
    scene.approve()
    assert asking.done().error is not None
    client._usock.close()
    assert scene.total(24) == before
