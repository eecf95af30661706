"""SQLAlchemy 2, on psycopg and on asyncpg"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.clients.scene import Doing, Scene
from tests.support.callers import break_line

sqlalchemy = pytest.importorskip("sqlalchemy")
orm = pytest.importorskip("sqlalchemy.orm")
asynchronous = pytest.importorskip("sqlalchemy.ext.asyncio")


@contextmanager
def engine(scene: Scene) -> Iterator[Any]:
    made = sqlalchemy.create_engine(scene.url.replace("postgresql://", "postgresql+psycopg://"))
    try:
        yield made
    finally:
        made.dispose()


def order_class() -> Any:
    class Base(orm.DeclarativeBase):  # type: ignore[misc, name-defined, unused-ignore]
        pass

    class Order(Base):
        __tablename__ = "orders"
        id = orm.mapped_column(sqlalchemy.Integer, primary_key=True)
        customer_id = orm.mapped_column(sqlalchemy.Integer)
        status = orm.mapped_column(sqlalchemy.Text, server_default="open")
        total = orm.mapped_column(sqlalchemy.Numeric(10, 2))

    return Order


def test_sqlalchemy_reads_and_inspects(scene: Scene) -> None:
    """reads, and the inspection of tables, columns, keys and indexes"""
    with engine(scene) as made:
        with made.connect() as client:
            assert client.execute(sqlalchemy.text("SELECT count(*) FROM orders WHERE id <= 200")).scalar() == 200
        inspector = sqlalchemy.inspect(made)
        # Other tests of the same server leave theirs.
        assert {"customers", "orders"} <= set(inspector.get_table_names(schema="shop"))
        assert len(inspector.get_columns("orders", schema="shop")) == 5
        assert inspector.get_pk_constraint("orders", schema="shop")["constrained_columns"] == ["id"]
        assert len(inspector.get_foreign_keys("orders", schema="shop")) == 1
        assert len(inspector.get_indexes("orders", schema="shop")) == 1
        assert len(inspector.get_check_constraints("orders", schema="shop")) == 2
        assert not {"customers", "orders"} & set(inspector.get_view_names(schema="shop"))
        assert inspector.get_table_comment("orders", schema="shop") == {"text": None}
        reflected = sqlalchemy.MetaData()
        reflected.reflect(made, schema="shop")
        assert "shop.orders" in reflected.tables
    assert scene.asked == 0


def test_sqlalchemy_unit_of_work(scene: Scene) -> None:
    """the ORM's unit of work: a changed, an added and a deleted row, each after approval"""
    order = order_class()
    with engine(scene) as made, orm.Session(made) as work:
        found = work.get(order, 31)
        assert found is not None
        found.total = 61
        work.add(order(id=7201, customer_id=1, total=62))
        work.commit()
        assert (scene.total(31), scene.total(7201)) == ("61.00", "62.00")
        work.delete(work.get(order, 7201))
        work.commit()
    assert (scene.total(7201), scene.asked) == ("", 3)


def test_sqlalchemy_write_is_denied_with_the_reason(scene: Scene) -> None:
    """a denial says why, and after a rollback the session stays usable"""
    scene.deny("not on a Friday")
    with engine(scene) as made, made.connect() as client:
        with pytest.raises(sqlalchemy.exc.ProgrammingError, match="not on a Friday"):
            client.execute(sqlalchemy.text("DELETE FROM orders WHERE id = 32"))
        client.rollback()
        assert client.execute(sqlalchemy.text("SELECT 1")).scalar() == 1


def test_sqlalchemy_cancel_and_disconnect_while_held(scene: Scene) -> None:
    """a cancel while held withdraws, and after a rollback the session stays usable; a hang-up withdraws, nothing runs,
    and the pool makes a new connection"""
    before = scene.total(34)
    change = sqlalchemy.text("UPDATE orders SET total = 99 WHERE id = 34")
    with engine(scene) as made:
        with made.connect() as client:
            scene.leave_pending()
            asking = Doing(lambda: client.execute(change))
            scene.until_held()
            client.connection.driver_connection.cancel_safe()
            assert isinstance(asking.done().error, sqlalchemy.exc.OperationalError)
            scene.until_withdrawn()
            client.rollback()
            assert client.execute(sqlalchemy.text("SELECT 1")).scalar() == 1
            scene.leave_pending()
            asking = Doing(lambda: client.execute(change))
            scene.until_held()
            break_line(client.connection.driver_connection)
            scene.until_withdrawn()
            assert asking.done().error is not None
        scene.approve()
        with made.connect() as client:
            assert client.execute(sqlalchemy.text("SELECT 1")).scalar() == 1
    assert scene.total(34) == before


def test_sqlalchemy_timeout_on_asyncpg_while_held(scene: Scene) -> None:
    """the asynchronous engine: a task that is cancelled while held withdraws, and the pool's next session works"""
    before = scene.total(35)

    async def story() -> None:
        url = scene.url.replace("postgresql://", "postgresql+asyncpg://").replace("sslmode=disable", "ssl=disable")
        made = asynchronous.create_async_engine(url)
        try:
            async with made.connect() as client:
                asking = asyncio.create_task(
                    client.execute(sqlalchemy.text("UPDATE orders SET total = 99 WHERE id = 35"))
                )
                await asyncio.to_thread(scene.until_held)
                asking.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await asking
            await asyncio.to_thread(scene.until_withdrawn)
            async with made.connect() as client:
                assert (await client.execute(sqlalchemy.text("SELECT 1"))).scalar() == 1
        finally:
            await made.dispose()

    scene.leave_pending()
    asyncio.run(story())
    assert scene.total(35) == before


def test_sqlalchemy_on_asyncpg(scene: Scene) -> None:
    """the asynchronous engine on asyncpg: a read, a write, a denial"""

    async def story() -> None:
        url = scene.url.replace("postgresql://", "postgresql+asyncpg://").replace("sslmode=disable", "ssl=disable")
        made = asynchronous.create_async_engine(url)
        try:
            async with made.begin() as client:
                assert (await client.execute(sqlalchemy.text("SELECT :value + 1"), {"value": 1})).scalar() == 2
                await client.execute(sqlalchemy.text("UPDATE orders SET total = :total WHERE id = 33"), {"total": 63})
            scene.deny("not on a Friday")
            async with made.connect() as client:
                with pytest.raises(sqlalchemy.exc.ProgrammingError, match="not on a Friday"):
                    await client.execute(sqlalchemy.text("DELETE FROM orders WHERE id = 33"))
                await client.rollback()
                assert (await client.execute(sqlalchemy.text("SELECT 1"))).scalar() == 1
        finally:
            await made.dispose()

    asyncio.run(story())
    assert scene.total(33) == "63.00"
