"""A pgbouncer of the test's own."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.clients.scene import SECONDS
from tests.support.postgres import open_folder
from twokeys_cli.postgres import free_port

INSTALLED = pytest.mark.skipif(shutil.which("pgbouncer") is None, reason="pgbouncer is not installed")


@contextmanager
def pgbouncer(server: int, database: str, user: tuple[str, str], mode: str, *settings: str) -> Iterator[int]:
    """Run one before the server at this port; gives its own port.

    Args:
        server: Port at 127.0.0.1.
        database: The only one.
        user: The only one and its password, at both sides.
        mode: ``session`` or ``transaction``.
        settings: More lines of its file.
    """
    with open_folder() as folder:
        port = free_port()
        file, users = folder / "pgbouncer.ini", folder / "users"
        lines = (
            "[databases]", f"{database} = host=127.0.0.1 port={server}", "[pgbouncer]", "listen_addr = 127.0.0.1",
            f"listen_port = {port}", "unix_socket_dir =", "auth_type = scram-sha-256", f"auth_file = {users}",
            f"pool_mode = {mode}", *settings,
        )  # fmt: skip
        file.write_text("\n".join(lines) + "\n")
        users.write_text(f'"{user[0]}" "{user[1]}"\n')
        root = os.geteuid() == 0
        for path in (folder, file, users):
            if root:
                os.chown(path, pwd.getpwnam("nobody").pw_uid, -1)
        command = [shutil.which("pgbouncer") or "", *(["-u", "nobody"] if root else []), str(file)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            _until_listening(port)
            yield port
        finally:
            process.terminate()
            process.wait(SECONDS)


def _until_listening(port: int) -> None:
    end = time.monotonic() + SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            assert time.monotonic() < end, "pgbouncer does not listen"
            time.sleep(0.05)
        else:
            return
