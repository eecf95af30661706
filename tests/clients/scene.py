"""What each client goes through: an Edge before a real server, and people whose answer the test chooses."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.edge_agent.net.edge_in_process import CALLER, PASSWORD, InProcessEdge

SECONDS: Final = 20.0
"""Longest wait for anything."""


@dataclass
class Scene:
    """An Edge, and those who decide behind it."""

    edge: InProcessEdge

    user = CALLER.id
    password = PASSWORD

    @property
    def port(self) -> int:
        return self.edge.port

    @property
    def database(self) -> str:
        return self.edge.postgres.database

    @property
    def url(self) -> str:
        return f"postgresql://{self.user}:{self.password}@127.0.0.1:{self.port}/{self.database}?sslmode=disable"

    @property
    def environment(self) -> dict[str, str]:
        """For programs on libpq."""
        return {
            "PGHOST": "127.0.0.1", "PGPORT": str(self.port), "PGDATABASE": self.database, "PGUSER": self.user,
            "PGPASSWORD": self.password, "PGSSLMODE": "disable", "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8",
        }  # fmt: skip

    @property
    def direct(self) -> dict[str, str]:
        """The same, past the Edge."""
        postgres = self.edge.postgres
        upstream = {"PGPORT": str(postgres.port), "PGUSER": postgres.user, "PGPASSWORD": postgres.password}
        return self.environment | upstream

    def deny(self, reason: str) -> None:
        """People deny from here on."""
        self.edge.control.verdict, self.edge.control.reason = "denied", reason

    def approve(self) -> None:
        """People approve from here on."""
        self.edge.control.verdict, self.edge.control.reason = "approved", ""

    def leave_pending(self) -> None:
        """People do not answer from here on."""
        self.edge.control.verdict = "pending"
        self.edge.control.arrived.clear()
        self.edge.control.gone.clear()

    def until_held(self) -> None:
        """Wait until a Command is at the control plane."""
        assert self.edge.control.arrived.wait(SECONDS), "nothing was held"

    def until_withdrawn(self) -> None:
        """Wait until the held Command was taken back."""
        assert self.edge.control.gone.wait(SECONDS), "nothing was withdrawn"

    @property
    def asked(self) -> int:
        """How many Commands people were asked about."""
        return len(self.edge.control.opened)

    def total(self, order: int) -> str:
        """An order's total, seen past the Edge."""
        return self.edge.postgres.admin(f"SELECT total::text FROM shop.orders WHERE id = {order}").strip()

    def set_total(self, order: int, total: str) -> None:
        """Begin with this."""
        self.edge.postgres.admin(f"UPDATE shop.orders SET total = {total} WHERE id = {order}")

    def program(self, name: str) -> str:
        """A program of the server's own release, such as psql."""
        return str(self.edge.postgres.server.binaries.program(name))


class Doing:
    """A call in a thread, for clients that block."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self.result: Any = None
        self.error: Exception | None = None
        self._call = call
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.result = self._call()
        except Exception as error:
            self.error = error

    def done(self) -> Doing:
        """Wait for its end."""
        self._thread.join(SECONDS)
        assert not self._thread.is_alive(), "the call still waits"
        return self


def run(
    *command: str | Path, environment: Mapping[str, str], text: str | None = None, folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end."""
    return subprocess.run(
        command, input=text, env=dict(environment), cwd=folder, capture_output=True, text=True, timeout=90, check=False
    )


@contextmanager
def playing(
    *command: str | Path, environment: Mapping[str, str], folder: Path | None = None
) -> Iterator[subprocess.Popen[str]]:
    """Run a program that is told on its standard input when to go on; it is killed at the end."""
    process = subprocess.Popen(
        command, env=dict(environment), cwd=folder, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=SECONDS)


def go_on(process: subprocess.Popen[str]) -> list[str]:
    """Say so, and wait for the program's end; its lines."""
    out, error = process.communicate("\n", timeout=SECONDS)
    assert process.returncode == 0, error
    return out.splitlines()
