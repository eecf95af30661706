"""pgbouncer before the Edge, in session mode"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator

import psycopg
import pytest

from tests.clients.scene import SECONDS, Doing, Scene
from tests.support.callers import break_line
from tests.support.postgres import open_folder
from twokeys_cli.postgres import free_port

pytestmark = pytest.mark.skipif(shutil.which("pgbouncer") is None, reason="pgbouncer is not installed")


@pytest.fixture
def pooled(one_scene: Scene) -> Iterator[str]:
    """The address of a pgbouncer whose server is the Edge."""
    with open_folder() as folder:
        port = free_port()
        settings = folder / "pgbouncer.ini"
        settings.write_text(
            f"[databases]\n{one_scene.database} = host=127.0.0.1 port={one_scene.port}\n[pgbouncer]\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = plain\n"
            f"auth_file = {folder}/users\npool_mode = session\nserver_reset_query = DISCARD ALL\n"
            "ignore_startup_parameters = extra_float_digits\n"
        )
        (folder / "users").write_text(f'"{one_scene.user}" "{one_scene.password}"\n')
        for path in (folder, settings, folder / "users"):
            if os.geteuid() == 0:
                os.chown(path, pwd.getpwnam("nobody").pw_uid, -1)
        command = [shutil.which("pgbouncer") or "", *(["-u", "nobody"] if os.geteuid() == 0 else []), str(settings)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            until_listening(port)
            yield one_scene.url.replace(f":{one_scene.port}/", f":{port}/")
        finally:
            process.terminate()
            process.wait(SECONDS)


def until_listening(port: int) -> None:
    end = time.monotonic() + SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            assert time.monotonic() < end, "pgbouncer does not listen"
            time.sleep(0.05)
        else:
            return


def test_pgbouncer_reads_and_resets(one_scene: Scene, pooled: str) -> None:
    """reads, and its reset (`DISCARD ALL`) between two clients; nobody is asked"""
    for _ in range(3):
        with psycopg.connect(pooled, autocommit=True) as client:
            assert client.execute("SELECT count(*) FROM orders WHERE id <= %s", [200]).fetchone() == (200,)
    assert one_scene.asked == 0


def test_pgbouncer_writes(one_scene: Scene, pooled: str) -> None:
    """a write waits and is applied after approval; a denial says why, and the session stays usable"""
    with psycopg.connect(pooled, autocommit=True) as client:
        assert client.execute("UPDATE orders SET total = 77 WHERE id = %s", [71]).rowcount == 1
        one_scene.deny("not on a Friday")
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="not on a Friday"):
            client.execute("DELETE FROM orders WHERE id = 72")
        assert client.execute("SELECT 1").fetchone() == (1,)
    assert one_scene.total(71) == "77.00"


def test_pgbouncer_cancel_and_disconnect_while_held(one_scene: Scene, pooled: str) -> None:
    """a cancel and a hang-up while held withdraw, and nothing runs"""
    before = one_scene.total(73)
    one_scene.leave_pending()
    with psycopg.connect(pooled, autocommit=True) as client:
        asking = Doing(lambda: client.execute("UPDATE orders SET total = 99 WHERE id = 73"))
        one_scene.until_held()
        client.cancel_safe()
        assert isinstance(asking.done().error, psycopg.errors.QueryCanceled)
        one_scene.until_withdrawn()
        one_scene.leave_pending()
        asking = Doing(lambda: client.execute("UPDATE orders SET total = 99 WHERE id = 73"))
        one_scene.until_held()
        break_line(client)
        one_scene.until_withdrawn()
        asking.done()
    one_scene.approve()
    assert one_scene.total(73) == before
