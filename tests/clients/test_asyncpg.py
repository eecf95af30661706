"""asyncpg"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.clients.scene import Scene

asyncpg = pytest.importorskip("asyncpg")


def play(scene: Scene, story: Callable[[Any], Awaitable[None]]) -> None:
    async def whole() -> None:
        client = await asyncpg.connect(
            host="127.0.0.1", port=scene.port, user=scene.user, password=scene.password, database=scene.database,
            ssl=False,
        )  # fmt: skip
        try:
            await story(client)
        finally:
            client.terminate()

    asyncio.run(whole())


def test_asyncpg_reads(scene: Scene) -> None:
    """reads: fetch, prepared, cursors, COPY to the client, arrays and records (its own look-ups of types pass)"""

    async def story(client: Any) -> None:
        assert await client.fetchval("SELECT count(*) FROM orders WHERE id <= 200") == 200
        assert await client.fetchval("SELECT $1::int[]", [1, 2]) == [1, 2]
        assert tuple(await client.fetchval("SELECT row(1, 'a')")) == (1, "a")
        statement = await client.prepare("SELECT total FROM orders WHERE id = $1")
        assert len([await statement.fetchval(at) for at in range(1, 6)]) == 5
        async with client.transaction():
            assert len([row async for row in client.cursor("SELECT id FROM orders WHERE id <= 200")]) == 200
        assert (await client.execute("SELECT 1; SELECT 2")) == "SELECT 1"

    play(scene, story)
    assert scene.asked == 0


def test_asyncpg_function_that_writes(scene: Scene) -> None:
    """`fetchval` and `fetchrow` of a function that writes (they ask for one row alone): applied after approval, once"""

    async def story(client: Any) -> None:
        assert await client.fetchval("SELECT shop.add_one($1)", 15) == 15
        assert tuple(
            await client.fetchrow("INSERT INTO orders (id, customer_id, total) VALUES (7102, 1, 1) RETURNING id, total")
        ) == (7102, 1)
        async with client.transaction():
            assert await client.fetchval("SELECT shop.add_one(n) FROM generate_series(15, 16) AS n") == 15

    scene.set_total(15, "1")
    scene.set_total(16, "1")
    scene.edge.postgres.admin(
        "CREATE FUNCTION shop.add_one(chosen bigint) RETURNS bigint LANGUAGE plpgsql AS "
        "'BEGIN UPDATE shop.orders SET total = total + 1 WHERE id = chosen; RETURN chosen; END'"
    )
    try:
        play(scene, story)
        assert (scene.total(15), scene.total(16)) == ("3.00", "1.00")
    finally:
        scene.edge.postgres.admin("DROP FUNCTION shop.add_one; DELETE FROM shop.orders WHERE id = 7102")
    assert scene.asked == 3


def test_asyncpg_copies(scene: Scene, tmp_path: Any) -> None:
    """COPY to the client, COPY from it after approval"""

    async def story(client: Any) -> None:
        out = tmp_path / "orders"
        assert await client.copy_from_query("SELECT id FROM orders WHERE id <= 200", output=str(out)) == "COPY 200"
        assert scene.asked == 0
        copied = await client.copy_records_to_table("orders", records=[(7101, 1)], columns=["id", "customer_id"])
        assert copied == "COPY 1"

    scene.edge.postgres.admin("ALTER TABLE shop.orders ALTER total SET DEFAULT 4")
    try:
        play(scene, story)
        assert scene.total(7101) == "4.00"
    finally:
        scene.edge.postgres.admin(
            "ALTER TABLE shop.orders ALTER total DROP DEFAULT; DELETE FROM shop.orders WHERE id = 7101"
        )


def test_asyncpg_write_is_applied_after_approval(scene: Scene) -> None:
    """a write waits and is applied after approval: execute, executemany, a transaction"""

    async def story(client: Any) -> None:
        assert await client.execute("UPDATE orders SET total = $1 WHERE id = 11", 41) == "UPDATE 1"
        assert await client.execute("UPDATE orders SET total = 42 WHERE id = 12") == "UPDATE 1"
        await client.executemany("UPDATE orders SET total = $1 WHERE id = $2", [(43, 13), (44, 14)])
        async with client.transaction():
            await client.execute("UPDATE orders SET total = 45 WHERE id = 15")

    play(scene, story)
    assert [scene.total(at) for at in range(11, 16)] == ["41.00", "42.00", "43.00", "44.00", "45.00"]


def test_asyncpg_write_is_denied_with_the_reason(scene: Scene) -> None:
    """a denial says why, and the session stays usable"""
    scene.deny("not on a Friday")

    async def story(client: Any) -> None:
        for arguments in ((), (16,)):
            sql = "DELETE FROM orders WHERE id = " + ("$1" if arguments else "16")
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="not on a Friday"):
                await client.execute(sql, *arguments)
        assert await client.fetchval("SELECT count(*) FROM orders WHERE id = $1", 16) == 1

    play(scene, story)


def test_asyncpg_timeout_while_held(scene: Scene) -> None:
    """its timeout while held withdraws, and the session stays usable"""
    scene.leave_pending()

    async def story(client: Any) -> None:
        with pytest.raises(asyncio.TimeoutError):
            await client.execute("DELETE FROM orders WHERE id = 17", timeout=1)
        await asyncio.to_thread(scene.until_withdrawn)
        assert await client.fetchval("SELECT count(*) FROM orders WHERE id = 17") == 1

    play(scene, story)


def test_asyncpg_disconnect_while_held(scene: Scene) -> None:
    """a hang-up while held withdraws, and nothing runs"""
    scene.leave_pending()

    async def story(client: Any) -> None:
        asking = asyncio.create_task(client.execute("UPDATE orders SET total = 99 WHERE id = 18"))
        await asyncio.to_thread(scene.until_held)
        client.terminate()
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
            await asking
        await asyncio.to_thread(scene.until_withdrawn)

    before = scene.total(18)
    play(scene, story)
    scene.approve()
    assert scene.total(18) == before


def test_asyncpg_pool_resets_its_connections(scene: Scene) -> None:
    """the pool's reset of a connection passes"""

    async def story() -> None:
        async with asyncpg.create_pool(
            host="127.0.0.1", port=scene.port, user=scene.user, password=scene.password,
            database=scene.database, ssl=False, min_size=1, max_size=2,
        ) as pool:  # fmt: skip
            for _ in range(3):
                async with pool.acquire() as client:
                    assert await client.fetchval("SELECT 1") == 1

    asyncio.run(story())
    assert scene.asked == 0
