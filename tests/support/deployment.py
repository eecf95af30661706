"""A whole deployment for tests and benches: control plane and Edge as real processes, each of which can be killed."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from tests.support.postgres import RealPostgres
from twokeys_cli.postgres import free_port

CALLER = "agent-7"
TARGET = "sample-db"
READY_SECONDS = 30.0


class Process:
    """A child with its output in a file; it is ready once it printed the word."""

    def __init__(self, name: str, command: list[str], ready: str, log: Path, environment: Mapping[str, str]) -> None:
        self.name, self.command, self.ready, self.log = name, command, ready, log
        self.environment = dict(environment)
        self.child: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Start it and wait until it is ready."""
        before = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self.child = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment
            )
        end = time.monotonic() + READY_SECONDS
        while self.ready.encode() not in self.log.read_bytes()[before:]:
            if self.child.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"{self.name} did not start:\n{self.log.read_text()[-3000:]}")
            select.select([], [], [], 0.02)
        return self

    @property
    def pid(self) -> int:
        assert self.child is not None
        return self.child.pid

    def stop(self, signal_number: int = signal.SIGTERM) -> int:
        """End it and return its exit status."""
        assert self.child is not None
        if self.child.poll() is None:
            self.child.send_signal(signal_number)
        return self.child.wait(timeout=20)

    def kill(self) -> None:
        """kill -9."""
        self.stop(signal.SIGKILL)


@dataclass
class Answer:
    """An HTTP answer."""

    status: int
    body: Any


@dataclass
class Deployment:
    """Everything of one deployment."""

    folder: Path
    postgres: RealPostgres
    facts: dict[str, Any]
    control: Process
    edge: Process
    control_port: int
    edge_port: int
    tokens: dict[str, str] = field(default_factory=dict)
    login: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.control_port}"

    def recordings(self) -> Path:
        """The recordings folder, as an auditor has it."""
        return self.folder / "control" / "recordings"

    @property
    def password(self) -> str:
        return str(self.facts["credential"]["password"])

    @property
    def dsn(self) -> str:
        """What a caller connects with."""
        return (
            f"host=127.0.0.1 port={self.edge_port} dbname={self.postgres.database} user={CALLER} "
            f"password={self.password} sslmode=disable"
        )

    def passphrase(self, person: str) -> str:
        return next(str(one["passphrase"]) for one in self.facts["people"] if one["id"] == person)

    def token(self, person: str) -> str:
        """A person's access token, as the command-line client gets it."""
        if person not in self.tokens:
            home = self.folder / f"home-{person}"
            home.mkdir(exist_ok=True)
            done = subprocess.run(
                [
                    sys.executable,
                    "-m",
                    "twokeys_cli.main",
                    "login",
                    self.url,
                    *self.login,
                    "--name",
                    person,
                    "--passphrase-stdin",
                ],
                input=self.passphrase(person).encode(),
                capture_output=True,
                env={**os.environ, "TWOKEYS_CONFIG": str(home)},
                timeout=30,
                check=False,
            )
            assert done.returncode == 0, done.stderr.decode()
            kept = json.loads((home / "sign-in.json").read_text())
            self.tokens[person] = str(kept["sign_ins"][self.url]["token"])
        return self.tokens[person]

    def call(self, person: str, method: str, path: str, body: Any = None) -> Answer:
        """Call the control plane's API as a person."""
        request = Request(
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.token(person)}", "Content-Type": "application/json"},
        )
        try:
            with urlopen(request, timeout=30) as reply:
                return Answer(reply.status, json.loads(reply.read() or b"{}"))
        except HTTPError as error:
            return Answer(error.code, json.loads(error.read() or b"{}"))

    def pending(self, person: str = "rob") -> list[dict[str, Any]]:
        """Pending requests as this person sees them."""
        return list(self.call(person, "GET", "/v1/requests?state=pending").body["requests"])

    def one_pending(self, person: str = "rob") -> dict[str, Any]:
        """Wait until exactly one Request is pending."""
        end = time.monotonic() + 15
        while len(found := self.pending(person)) != 1:
            assert time.monotonic() < end, f"{len(found)} requests are pending"
            select.select([], [], [], 0.02)
        return found[0]

    def vote(self, person: str, request: Mapping[str, Any], *, approve: bool, reason: str = "") -> Answer:
        """Approve or deny."""
        return self.call(
            person,
            "POST",
            f"/v1/requests/{request['id']}/votes",
            {
                "approve": approve,
                "reason": reason,
                "command_digest": request["command_digest"],
                "preview_digest": request.get("preview_digest", ""),
            },
        )

    def state(self, request_id: str) -> str:
        """Where a Request stands."""
        return str(self.call("rob", "GET", f"/v1/requests/{request_id}").body["state"])

    def until(self, request_id: str, *states: str, seconds: float = 15) -> str:
        """Wait until a Request is in one of these states."""
        end = time.monotonic() + seconds
        while (now := self.state(request_id)) not in states:
            assert time.monotonic() < end, f"the request stays {now}"
            select.select([], [], [], 0.02)
        return now


EDGE_TOML = """\
[edge]
state_dir = "edge"
workers = {workers}
[control]
url = "{url}"
bundle_seconds = 1
[recorder]
segment_seconds = 2
low_disk_bytes = 2000000
exhausted_disk_bytes = 1000000
[limits]
{limits}
[[postgres]]
target = "{target}"
listen_port = {port}
upstream_host = "127.0.0.1"
upstream_port = {upstream_port}
upstream_user = "{user}"
upstream_password_file = "upstream-password"
upstream_database = "{database}"
search_path = "shop, public"
hold_seconds = {hold_seconds}
in_transaction_hold_seconds = {hold_seconds}
heartbeat_seconds = {heartbeat_seconds}
{postgres_section}
"""


@dataclass(frozen=True)
class EdgeSettings:
    """What tests set of an Edge."""

    hold_seconds: int = 60
    heartbeat_seconds: int = 1
    limits: str = ""
    workers: int = 1
    postgres_section: str = ""
    """More lines of the target's section."""


@contextmanager
def running_edge(
    folder: Path, url: str, postgres: RealPostgres, token: str, settings: EdgeSettings
) -> Iterator[tuple[Process, int]]:
    """An enrolled Edge and its port; stopped at the end."""
    port = free_port()
    (folder / "upstream-password").write_text(postgres.password)
    (folder / "upstream-password").chmod(0o600)
    config = folder / "edge.toml"
    config.write_text(
        EDGE_TOML.format(
            url=url,
            target=TARGET,
            port=port,
            upstream_port=postgres.port,
            user=postgres.user,
            database=postgres.database,
            hold_seconds=settings.hold_seconds,
            heartbeat_seconds=settings.heartbeat_seconds,
            limits=settings.limits,
            workers=settings.workers,
            postgres_section=settings.postgres_section,
        )
    )
    done = subprocess.run(
        [sys.executable, "-m", "edge_agent", "enrol", "--config", str(config), "--token", token],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    edge = Process(
        "edge",
        [sys.executable, "-m", "edge_agent", "run", "--config", str(config)],
        "listening on",
        folder / "edge.log",
        os.environ,
    ).start()
    try:
        yield edge, port
    finally:
        edge.stop()


@contextmanager
def deployment(folder: Path, postgres: RealPostgres, settings: EdgeSettings | None = None) -> Iterator[Deployment]:
    """Bootstrap and start a deployment; everything is stopped at the end."""
    control_port = free_port()
    url = f"http://127.0.0.1:{control_port}"
    state = folder / "control"
    environment = dict(os.environ)
    done = subprocess.run(
        [sys.executable, "-m", "control_plane.embedded", "bootstrap", "--state", str(state), "--public-url", url],
        capture_output=True,
        env=environment,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    facts = json.loads(done.stdout)
    control = Process(
        "control plane",
        [sys.executable, "-m", "control_plane.embedded", "serve", "--state", str(state), "--port", str(control_port)],
        "listening on",
        folder / "control.log",
        environment,
    ).start()
    try:
        with running_edge(folder, url, postgres, facts["edge"]["token"], settings or EdgeSettings()) as (
            edge,
            edge_port,
        ):
            yield Deployment(folder, postgres, facts, control, edge, control_port, edge_port)
    finally:
        control.stop()
