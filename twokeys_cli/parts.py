"""What `twokeys up` runs: each part's command line, files and readiness. All knowledge of the other packages is here.

control plane   python -m control_plane.embedded bootstrap --state DIR --public-url URL     once, prints JSON
                python -m control_plane.embedded serve --state DIR --host 127.0.0.1 --port N
Edge            python -m edge_agent enrol --config FILE --token TOKEN                      once
                python -m edge_agent run --config FILE
"""

from __future__ import annotations

import http.client
import os
import signal
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

import msgspec

import twokeys_cli
from twokeys.errors import Unavailable
from twokeys_cli.postgres import PostgresServer, is_ready
from twokeys_cli.reach import passable_by, reachable_by
from twokeys_cli.state import Kept, Person, StateFolder, Upstream
from twokeys_cli.supervise import Plan

PROBE_SECONDS = 2.0
"""Longest wait for one answer of a readiness probe."""

_CHECKOUT = Path(twokeys_cli.__file__).resolve().parent.parent


class EnrolmentFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What an Edge enrols with."""

    edge_id: str
    token: str


class Credential(msgspec.Struct, frozen=True, kw_only=True):
    """The sample caller's credential."""

    caller: str
    target: str
    password: str


class Bootstrapped(msgspec.Struct, frozen=True, kw_only=True):
    """What the control plane's `bootstrap` prints; fields it has beside these are left alone."""

    people: list[Person]
    edge: EnrolmentFacts
    credential: Credential


@dataclass(frozen=True, slots=True)
class Tuning:
    """What the demonstration sets differently from a person's start."""

    hold_seconds: int = 600
    in_transaction_hold_seconds: int = 120
    heartbeat_seconds: int = 15
    segment_seconds: int = 10


def _module(name: str) -> tuple[str, ...]:
    # -P: the current folder is no place to import from.
    return (sys.executable, "-P", "-m", name)


@dataclass(frozen=True, slots=True)
class Programs:
    """How each half is called."""

    control: tuple[str, ...] = _module("control_plane.embedded")
    edge: tuple[str, ...] = _module("edge_agent")


def closed_to(uid: int) -> Path | None:
    """What keeps a process of user `uid` from running this program: a path that it can't reach; None: nothing."""
    interpreter = Path(sys.executable)
    if not reachable_by(interpreter, uid):
        return interpreter.resolve()
    places = (Path(entry) for entry in (sys.base_prefix, *sys.path, str(_CHECKOUT)) if entry)
    return next((place for place in places if place.is_dir() and not passable_by(place, uid)), None)


def environment() -> dict[str, str]:
    """The environment of the parts: nothing of ours but where programs and this package are."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR")}
    # A checkout that isn't installed is found by its folder; in an installation the interpreter knows the place.
    found = {} if _CHECKOUT.name in ("site-packages", "dist-packages") else {"PYTHONPATH": str(_CHECKOUT)}
    return {**kept, **found, "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1", "HOME": "/nonexistent"}


@dataclass(frozen=True, slots=True)
class Parts:
    """The Plans of one State folder's parts."""

    folder: StateFolder
    kept: Kept
    programs: Programs

    def database(self, server: PostgresServer, port: int) -> Plan:
        """The throw-away PostgreSQL."""
        return Plan(
            name="postgres",
            command=server.command(port),
            log=self.folder.logs / "postgres.log",
            cwd=server.directory,
            ready=lambda pid: is_ready(server.data, port, pid),
            environment={"PATH": os.defpath},
            uid=server.uid,
            stop_signal=signal.SIGINT,  # a "fast" shutdown: clients are ended, data are kept
        )

    def bootstrap(self, state: Path, target: str) -> Plan:
        """The control plane's first start: keys, starter policy, sample people and caller."""
        return self._control("bootstrap", "--state", str(state), "--public-url", self.public_url, "--target", target)

    def serve(self) -> Plan:
        """The control plane."""
        port = str(self.kept.control_port)
        return self._control("serve", "--state", str(self.folder.control), "--host", "127.0.0.1", "--port", port)

    def enrol(self, token: str) -> Plan:
        """The Edge's first start: it makes its key and registers it."""
        return self._edge("enrol", "--token", token)

    def run_edge(self) -> Plan:
        """The Edge."""
        return self._edge("run")

    @property
    def public_url(self) -> str:
        """Where people reach the control plane."""
        return f"http://127.0.0.1:{self.kept.control_port}"

    def edge_toml(self, target: str, upstream: Upstream, tuning: Tuning) -> str:
        """The Edge's configuration; see `twokeys edge config --explain`."""
        return f"""\
# Written by `twokeys up` at every start. To run an Edge elsewhere, begin with: twokeys edge config --explain
[edge]
state_dir = "state"

[control]
url = {_text(self.public_url)}

[recorder]
segment_seconds = {tuning.segment_seconds}

[[postgres]]
target = {_text(target)}
listen_port = {self.kept.edge_port}
upstream_host = {_text(upstream.host)}
upstream_port = {upstream.port}
upstream_user = {_text(upstream.user)}
upstream_database = {_text(upstream.database)}
upstream_password_file = "upstream.password"
search_path = {_text(upstream.search_path)}
hold_seconds = {tuning.hold_seconds}
in_transaction_hold_seconds = {tuning.in_transaction_hold_seconds}
heartbeat_seconds = {tuning.heartbeat_seconds}
"""

    def _control(self, action: str, *options: str) -> Plan:
        return Plan(
            name="control plane",
            command=[*self.programs.control, action, *options],
            log=self.folder.logs / "control.log",
            cwd=self.folder.path,
            ready=lambda _pid: healthy(self.kept.control_port),
            environment=environment(),
            uid=self.kept.users.control,
        )

    def _edge(self, action: str, *options: str) -> Plan:
        return Plan(
            name="edge",
            command=[*self.programs.edge, action, "--config", str(self.folder.edge / "edge.toml"), *options],
            log=self.folder.logs / "edge.log",
            cwd=self.folder.path,
            ready=lambda _pid: accepts(self.kept.edge_port),
            environment=environment(),
            uid=self.kept.users.edge,
        )


def read_bootstrap(printed: str) -> Bootstrapped:
    """Read what `bootstrap` printed.

    Raises:
        Unavailable: It is something else.
    """
    try:
        return msgspec.json.decode(printed, type=Bootstrapped)
    except msgspec.DecodeError as error:
        raise Unavailable(
            f"The control plane's bootstrap printed what can't be read: {error}.",
            not_done="Nothing was started.",
            advice="Install one version of all parts: pip install --force-reinstall 'twokeys[up]'",
            code="bad_bootstrap",
        ) from error


def accepts(port: int) -> bool:
    """Whether somebody accepts connections at 127.0.0.1:`port`."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=PROBE_SECONDS).close()
    except OSError:
        return False
    return True


def healthy(port: int) -> bool:
    """Whether the control plane at 127.0.0.1:`port` answers `GET /healthz` with 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PROBE_SECONDS)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _text(value: str) -> str:
    """A TOML basic string; JSON's spelling is one (https://toml.io/en/v1.0.0#string), DEL aside."""
    return msgspec.json.encode(value).decode().replace("\x7f", "\\u007f")
