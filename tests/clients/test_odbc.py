"""psqlODBC, by pyodbc"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.clients.scene import Doing, Scene

pyodbc = pytest.importorskip("pyodbc")

DRIVERS = sorted(Path("/usr/lib").glob("*/odbc/psqlodbcw.so"))

pytestmark = pytest.mark.skipif(not DRIVERS, reason="psqlODBC is not installed (Debian: odbc-postgresql)")


@contextmanager
def connected(scene: Scene, *, autocommit: bool = True, options: str = "") -> Iterator[Any]:
    client = pyodbc.connect(
        f"Driver={DRIVERS[0]};Server=127.0.0.1;Port={scene.port};Database={scene.database};Uid={scene.user};"
        f"Pwd={scene.password};SSLmode=disable;{options}",
        autocommit=autocommit,
    )
    try:
        yield client
    finally:
        client.close()


@pytest.mark.parametrize("options", ["", "UseServerSidePrepare=0", "UseDeclareFetch=1;Fetch=30"])
def test_odbc_reads(scene: Scene, options: str) -> None:
    """reads: prepared at the server or by the driver, rows in parts (UseDeclareFetch), with and without autocommit"""
    for autocommit in (True, False):
        with connected(scene, autocommit=autocommit, options=options) as client:
            assert client.execute("SELECT 1").fetchval() == 1
            for order in (1, 2, 3):
                assert len(client.execute("SELECT total FROM orders WHERE id = ?", order).fetchall()) == 1
            assert len(client.execute("SELECT id FROM orders WHERE id <= 200").fetchall()) == 200
            client.commit()
    assert [one.statement for one in scene.edge.control.opened] == []


def test_odbc_metadata(scene: Scene) -> None:
    """catalogue functions (tables, columns, keys, indexes, procedures, types); nobody is asked"""
    with connected(scene) as client:
        cursor = client.cursor()
        assert [row.table_name for row in cursor.tables(table="orders", schema="shop")] == ["orders"]
        assert "total" in [row.column_name for row in cursor.columns(table="orders", schema="shop")]
        assert [row.column_name for row in cursor.primaryKeys("orders", schema="shop")] == ["id"]
        assert cursor.foreignKeys(foreignTable="orders", foreignSchema="shop").fetchall()
        assert cursor.statistics("orders", schema="shop").fetchall()
        cursor.procedures(schema="shop").fetchall()
        cursor.procedureColumns(schema="shop").fetchall()
        assert cursor.getTypeInfo().fetchall()
        cursor.rowIdColumns("orders", schema="shop").fetchall()
        assert client.getinfo(pyodbc.SQL_DBMS_NAME) == "PostgreSQL"
    assert [one.statement for one in scene.edge.control.opened] == []


@pytest.mark.parametrize("options", ["", "UseServerSidePrepare=0", "Protocol=7.4-2"])
def test_odbc_write_is_applied_after_approval(scene: Scene, options: str) -> None:
    """a write waits and is applied after approval, alone and in a transaction, with each way to roll back on errors"""
    for order in (111, 112, 113):
        scene.set_total(order, "1")
    with connected(scene, options=options) as client:
        assert client.execute("UPDATE orders SET total = ? WHERE id = ?", 41, 111).rowcount == 1
    with connected(scene, autocommit=False, options=options) as client:
        client.execute("UPDATE orders SET total = 42 WHERE id = 112")
        client.execute("UPDATE orders SET total = ? WHERE id = ?", 43, 113)
        client.commit()
        client.execute("UPDATE orders SET total = 44 WHERE id = 113")
        client.rollback()
    assert [scene.total(order) for order in (111, 112, 113)] == ["41.00", "42.00", "43.00"]
    assert scene.asked == 4


def test_odbc_write_is_denied_with_the_reason(scene: Scene) -> None:
    """a denial says why, and the session stays usable"""
    scene.deny("not on a Friday")
    with connected(scene) as client:
        with pytest.raises(pyodbc.Error) as caught:
            client.execute("UPDATE orders SET total = 5 WHERE id = 114")
        assert "42501" in str(caught.value) and "not on a Friday" in str(caught.value)
        assert client.execute("SELECT 1").fetchval() == 1


def test_odbc_cancel_while_held(scene: Scene) -> None:
    """SQLCancel while held withdraws, and the session stays usable"""
    scene.leave_pending()
    before = scene.total(115)
    with connected(scene) as client:
        cursor = client.cursor()
        doing = Doing(lambda: cursor.execute("UPDATE orders SET total = 5 WHERE id = 115"))
        scene.until_held()
        cursor.cancel()
        assert "57014" in str(doing.done().error)
        scene.until_withdrawn()
        assert client.execute("SELECT 1").fetchval() == 1
    assert scene.total(115) == before


def test_odbc_goes_on_in_its_transaction_after_a_denial(scene: Scene) -> None:
    """with its default, to roll back the statement alone, a transaction goes on after a denial"""
    scene.set_total(116, "1")
    with connected(scene, autocommit=False) as client:
        client.execute("UPDATE orders SET total = 2 WHERE id = 116")
        scene.deny("not on a Friday")
        with pytest.raises(pyodbc.Error, match="not on a Friday"):
            client.execute("UPDATE orders SET total = 3 WHERE id = 116")
        scene.approve()
        assert client.execute("SELECT total FROM orders WHERE id = 116").fetchval() == 2
        client.execute("UPDATE orders SET total = total + 5 WHERE id = 116")
        client.commit()
    assert scene.total(116) == "7.00"
