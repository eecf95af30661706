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


def test_pg8000_reads(one_scene: Scene) -> None:
    """reads, with and without parameters"""
    client = connect(one_scene)
    cursor = client.cursor()
    cursor.execute("SELECT count(*) FROM orders WHERE id <= %s", (200,))
    assert cursor.fetchone() == [200]
    cursor.execute("SELECT 'ä'")
    assert cursor.fetchone() == ["ä"]
    client.close()
    assert one_scene.asked == 0


def test_pg8000_write_is_applied_after_approval(one_scene: Scene) -> None:
    """a write waits and is applied after approval, alone and in a transaction"""
    client = connect(one_scene)
    cursor = client.cursor()
    cursor.execute("UPDATE orders SET total = %s WHERE id = 21", (51,))
    assert cursor.rowcount == 1
    client.autocommit = False
    cursor.execute("UPDATE orders SET total = 52 WHERE id = 22")
    client.commit()
    client.close()
    assert (one_scene.total(21), one_scene.total(22), one_scene.asked) == ("51.00", "52.00", 2)


def test_pg8000_write_is_denied_with_the_reason(one_scene: Scene) -> None:
    """a denial says why, and the session stays usable"""
    one_scene.deny("not on a Friday")
    client = connect(one_scene)
    cursor = client.cursor()
    with pytest.raises(pg8000.DatabaseError, match="not on a Friday"):
        cursor.execute("DELETE FROM orders WHERE id = %s", (23,))
    cursor.execute("SELECT 1")
    assert cursor.fetchone() == [1]
    client.close()


def test_pg8000_disconnect_while_held(one_scene: Scene) -> None:
    """a hang-up while held withdraws, and nothing runs"""
    one_scene.leave_pending()
    client = connect(one_scene)
    asking = Doing(lambda: client.cursor().execute("UPDATE orders SET total = 99 WHERE id = 24"))
    one_scene.until_held()
    before = one_scene.total(24)
    client._usock.shutdown(2)
    one_scene.until_withdrawn()
    one_scene.approve()
    assert asking.done().error is not None
    client._usock.close()
    assert one_scene.total(24) == before
