"""What stands between pgbench and the server for comparison: the plain relay, and pgbouncer where it is installed."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.postgres import RealPostgres
from twokeys_cli.postgres import free_port


@contextmanager
def relayed(postgres: RealPostgres, *files: Path) -> Iterator[tuple[int, int]]:
    """The plain relay: its free port, and its process id. With a certificate's and a key's file it ends TLS."""
    port = free_port()
    relay = str(Path(__file__).with_name("plain_relay.py"))
    child = subprocess.Popen(
        [sys.executable, relay, str(port), str(postgres.port), *map(str, files)],
        stdout=subprocess.PIPE,
    )
    try:
        assert child.stdout is not None
        select.select([child.stdout], [], [], 10)
        yield port, child.pid
    finally:
        child.terminate()
        child.wait()


@contextmanager
def bounced(postgres: RealPostgres, cert: Path, key: Path) -> Iterator[tuple[int, int]]:
    """pgbouncer in session mode, its free port and process id; 0 where it is not installed."""
    found = shutil.which("pgbouncer")
    if found is None:
        print("pgbouncer is not installed, so it is not compared (apt-get install pgbouncer).")
        yield 0, 0
        return
    port = free_port()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "users.txt").write_text(f'"{postgres.user}" "{postgres.password}"\n')
        (folder / "pgbouncer.ini").write_text(
            f"[databases]\n* = host=127.0.0.1 port={postgres.port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
            f"listen_port = {port}\nauth_type = scram-sha-256\nauth_file = {folder}/users.txt\npool_mode = session\n"
            "default_pool_size = 100\n"
            "unix_socket_dir =\nclient_tls_sslmode = allow\n"
            f"client_tls_cert_file = {folder}/server.crt\nclient_tls_key_file = {folder}/server.key\n"
        )
        for source, name in ((cert, "server.crt"), (key, "server.key")):
            (folder / name).write_bytes(source.read_bytes())
            (folder / name).chmod(0o644)
        command = [found, str(folder / "pgbouncer.ini")]
        if os.geteuid() == 0:
            command[1:1] = ["-u", "nobody"]
        with (folder / "log").open("wb") as log:
            child = subprocess.Popen(command, stdout=log, stderr=log)
            try:
                for _ in range(100):
                    if b"process up" in (folder / "log").read_bytes():
                        break
                    select.select([], [], [], 0.05)
                yield port, child.pid
            finally:
                child.terminate()
                child.wait()
