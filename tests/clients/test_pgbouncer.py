"""pgbouncer before the Edge, in session and in transaction mode"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
import pytest

from tests.clients.pooler import INSTALLED, pgbouncer
from tests.clients.scene import Doing, Scene
from tests.support.callers import break_line

pytestmark = INSTALLED

RESET = "server_reset_query = DISCARD ALL"
DRIVERS = "ignore_startup_parameters = extra_float_digits"


@dataclass
class Pooled:
    """Where the pooler listens, and what it hands round."""

    url: str
    mode: str

    def client(self) -> psycopg.Connection:
        """In transaction mode nothing may be prepared at the server: the next transaction may be at another."""
        keep = 5 if self.mode == "session" else None
        return psycopg.connect(self.url, autocommit=True, prepare_threshold=keep)


@pytest.fixture(params=["session", "transaction"])
def pooled(scene: Scene, request: pytest.FixtureRequest) -> Iterator[Pooled]:
    """A pgbouncer whose server is the Edge."""
    user = (scene.user, scene.password)
    with pgbouncer(scene.port, scene.database, user, request.param, RESET, DRIVERS) as port:
        yield Pooled(scene.url.replace(f":{scene.port}/", f":{port}/"), request.param)


def test_pgbouncer_reads_and_resets(scene: Scene, pooled: Pooled) -> None:
    """reads, and its reset (`DISCARD ALL`) between two clients; nobody is asked"""
    for _ in range(3):
        with pooled.client() as client:
            assert client.execute("SELECT count(*) FROM orders WHERE id <= %s", [200]).fetchone() == (200,)
            with client.transaction():
                assert client.execute("SELECT 1").fetchone() == (1,)
    assert scene.asked == 0


def test_pgbouncer_writes(scene: Scene, pooled: Pooled) -> None:
    """a write waits and is applied after approval, also in a transaction; a denial says why, and the session stays
    usable"""
    with pooled.client() as client:
        assert client.execute("UPDATE orders SET total = 77 WHERE id = %s", [71]).rowcount == 1
        with client.transaction():
            client.execute("SELECT 1")
            client.execute("UPDATE orders SET total = 78 WHERE id = 74")
        scene.deny("not on a Friday")
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="not on a Friday"):
            client.execute("DELETE FROM orders WHERE id = 72")
        assert client.execute("SELECT 1").fetchone() == (1,)
    assert (scene.total(71), scene.total(74)) == ("77.00", "78.00")


def test_pgbouncer_cancel_and_disconnect_while_held(scene: Scene, pooled: Pooled) -> None:
    """a cancel and a hang-up while held withdraw, and nothing runs"""
    before = scene.total(73)
    scene.leave_pending()
    with pooled.client() as client:
        asking = Doing(lambda: client.execute("UPDATE orders SET total = 99 WHERE id = 73"))
        scene.until_held()
        client.cancel_safe()
        assert isinstance(asking.done().error, psycopg.errors.QueryCanceled)
        scene.until_withdrawn()
        scene.leave_pending()
        asking = Doing(lambda: client.execute("UPDATE orders SET total = 99 WHERE id = 73"))
        scene.until_held()
        break_line(client)
        scene.until_withdrawn()
        asking.done()
    scene.approve()
    assert scene.total(73) == before


def test_w6_clients_of_one_pooled_session_hold_each_their_own(scene: Scene, pooled: Pooled) -> None:
    """two clients: while one's write is held the other reads, and one's approval is not the other's"""
    before = scene.total(75), scene.total(76)
    scene.leave_pending()
    with pooled.client() as client, pooled.client() as other:
        asking = Doing(lambda: client.execute("UPDATE orders SET total = 99 WHERE id = 75"))
        scene.until_held()
        assert other.execute("SELECT count(*) FROM orders WHERE id <= 200").fetchone() == (200,)
        break_line(client)
        scene.until_withdrawn()
        asking.done()
        scene.deny("no")
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="no"):
            other.execute("UPDATE orders SET total = 99 WHERE id = 76")
    assert (scene.total(75), scene.total(76)) == before
