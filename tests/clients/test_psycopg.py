"""psycopg 3"""

from __future__ import annotations

import asyncio
import os
import socket

import psycopg
import pytest

from tests.clients.scene import Doing, Scene
from tests.support.callers import break_line


def connect(scene: Scene) -> psycopg.Connection:
    return psycopg.connect(scene.url, autocommit=True)


def test_psycopg_reads(scene: Scene) -> None:
    """reads, with and without parameters, prepared, with a row factory, in binary"""
    with connect(scene) as client:
        assert client.execute("SELECT count(*) FROM orders").fetchone() == (200,)
        for value in range(8):
            assert client.execute("SELECT %s::int + 1", [value], prepare=True).fetchone() == (value + 1,)
        assert client.execute("SELECT %s::int8, %t::text", [7, "x"], binary=True).fetchone() == (7, "x")
    assert scene.asked == 0


def test_psycopg_write_is_applied_after_approval(scene: Scene) -> None:
    """a write waits and is applied after approval, alone and in a transaction"""
    with connect(scene) as client:
        assert client.execute("UPDATE orders SET total = %s WHERE id = 1", [11]).rowcount == 1
        with client.transaction():
            assert client.execute("UPDATE orders SET total = 12 WHERE id = 2").rowcount == 1
        rows = client.execute("INSERT INTO orders (customer_id, total) VALUES (1, 5) RETURNING id, total").fetchall()
        assert [str(total) for _, total in rows] == ["5.00"]
        assert client.execute("DELETE FROM orders WHERE id = %s", [rows[0][0]]).rowcount == 1
    assert (scene.total(1), scene.total(2), scene.asked) == ("11.00", "12.00", 4)


def test_psycopg_write_is_denied_with_the_reason(scene: Scene) -> None:
    """a denial says why, and the session stays usable"""
    scene.deny("not on a Friday")
    with connect(scene) as client:
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="not on a Friday"):
            client.execute("DELETE FROM orders WHERE id = %s", [3])
        assert client.execute("SELECT count(*) FROM orders WHERE id = 3").fetchone() == (1,)


def test_psycopg_executemany_is_asked_about_in_groups(scene: Scene) -> None:
    """executemany and pipelines keep their order"""
    with connect(scene) as client:
        with client.cursor() as cursor:
            cursor.executemany("UPDATE orders SET total = %s WHERE id = %s", [(21, 4), (22, 5)])
        with client.pipeline():
            first = client.execute("SELECT %s::int", [1])
            client.execute("UPDATE orders SET total = 23 WHERE id = %s", [4])
            last = client.execute("SELECT total FROM orders WHERE id = %s", [4])
        assert first.fetchone() == (1,)
        row = last.fetchone()
        assert row is not None and str(row[0]) == "23.00"
    assert (scene.total(4), scene.total(5)) == ("23.00", "22.00")


def test_psycopg_cursors_and_copy(scene: Scene) -> None:
    """server cursors, COPY to the client, COPY from it after approval"""
    with psycopg.connect(scene.url) as client:
        with client.cursor("big") as cursor:
            cursor.itersize = 50
            cursor.execute("SELECT id FROM orders WHERE id <= 200 ORDER BY id")
            assert len(cursor.fetchall()) == 200
        with client.cursor() as plain, plain.copy("COPY (SELECT id FROM orders WHERE id <= 200) TO STDOUT") as out:
            assert sum(bytes(chunk).count(b"\n") for chunk in out) == 200
        client.commit()
        assert scene.asked == 0
        with client.cursor() as plain, plain.copy("COPY orders (id, customer_id, total) FROM STDIN") as into:
            into.write_row((7001, 1, 1))
            into.write_row((7002, 1, 2))
        client.commit()
    assert (scene.total(7001), scene.total(7002), scene.asked) == ("1.00", "2.00", 1)
    scene.edge.postgres.admin("DELETE FROM shop.orders WHERE id IN (7001, 7002)")


def test_psycopg_cancel_while_held(scene: Scene) -> None:
    """a cancel while held withdraws, and the session stays usable"""
    scene.leave_pending()
    with connect(scene) as client:
        asking = Doing(lambda: client.execute("DELETE FROM orders WHERE id = 6"))
        scene.until_held()
        client.cancel_safe()
        assert isinstance(asking.done().error, psycopg.errors.QueryCanceled)
        scene.until_withdrawn()
        assert client.execute("SELECT count(*) FROM orders WHERE id = 6").fetchone() == (1,)


def test_psycopg_disconnect_while_held(scene: Scene) -> None:
    """a hang-up while held withdraws, and nothing runs"""
    scene.leave_pending()
    client = connect(scene)
    asking = Doing(lambda: client.execute("UPDATE orders SET total = 99 WHERE id = 7"))
    scene.until_held()
    before = scene.total(7)
    break_line(client)
    scene.until_withdrawn()
    scene.approve()
    asking.done()
    assert scene.total(7) == before


def test_psycopg_listens(scene: Scene) -> None:
    """LISTEN, and what others notify"""
    with connect(scene) as client:
        client.execute("LISTEN sample")
        scene.edge.postgres.admin("NOTIFY sample, 'hello'")
        assert [one.payload for one in client.notifies(timeout=10, stop_after=1)] == ["hello"]


def test_psycopg_async(scene: Scene) -> None:
    """the asynchronous connection: a read, a write, a cancelled task"""

    async def story() -> None:
        client = await psycopg.AsyncConnection.connect(scene.url, autocommit=True)
        async with client:
            found = await (await client.execute("SELECT %s::text", ["here"])).fetchone()
            assert found == ("here",)
            assert (await client.execute("UPDATE orders SET total = 31 WHERE id = 8")).rowcount == 1
            scene.leave_pending()
            asking = asyncio.create_task(client.execute("UPDATE orders SET total = 32 WHERE id = 8"))
            await asyncio.to_thread(scene.until_held)
            asking.cancel()
            with pytest.raises((asyncio.CancelledError, psycopg.errors.QueryCanceled)):
                await asking
            await asyncio.to_thread(scene.until_withdrawn)
            assert await (await client.execute("SELECT 1")).fetchone() == (1,)

    asyncio.run(story())
    assert scene.total(8) == "31.00"


def test_psycopg_async_disconnect_while_held(scene: Scene) -> None:
    """the asynchronous connection: a hang-up while held withdraws, and nothing runs"""
    scene.leave_pending()
    before = scene.total(9)

    async def story() -> None:
        client = await psycopg.AsyncConnection.connect(scene.url, autocommit=True)
        asking = asyncio.create_task(client.execute("UPDATE orders SET total = 99 WHERE id = 9"))
        await asyncio.to_thread(scene.until_held)
        with socket.socket(fileno=os.dup(client.fileno())) as line:
            line.shutdown(socket.SHUT_RDWR)
        with pytest.raises(psycopg.OperationalError):
            await asking
        await client.close()

    asyncio.run(story())
    scene.until_withdrawn()
    scene.approve()
    assert scene.total(9) == before
