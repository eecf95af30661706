"""The State folder of one `twokeys up`: what must be the same after a restart, and the lock that makes it one.

```
<state>/
  lock              held while running; names the process
  up.json           ports, user ids, how far the first start got, the caller's credential (0600)
  logs/             postgres.log, control.log, edge.log
  postgres/         the throw-away database
  control/          the control plane's state (its user's): store, keys, recordings
  edge/             the Edge's: edge.toml, key, journal, the upstream password
```
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import pwd
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from twokeys.errors import Conflict, InvalidInput
from twokeys_cli.postgres import free_port
from twokeys_cli.reach import passable_by

DEFAULT_FOLDER = "twokeys-state"
"""In the current folder, unless that is closed to other users and we are root."""
SHARED_PARENT = Path("/var/lib/twokeys")
"""Where root's default State folder is when the current folder is closed to other users."""

UIDS = range(60706, 61184)
"""Where user ids for the parts are taken from, as root: a range that systemd's list leaves unused, and no user has."""


class Users(msgspec.Struct, frozen=True, kw_only=True):
    """The user id of each part; None: the one who started us, which is no boundary."""

    postgres: int | None
    control: int | None
    edge: int | None


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """The sample caller's credential, shown at every start."""

    name: str
    target: str
    password: str


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """A sample person and the passphrase that is shown once."""

    id: str
    passphrase: str


class Upstream(msgspec.Struct, frozen=True, kw_only=True):
    """The database behind the Edge."""

    host: str
    port: int
    database: str
    user: str
    search_path: str = "public"


class Kept(msgspec.Struct, kw_only=True):
    """What `up.json` keeps. Fields that are None are not known yet: the first start is resumed where it ended."""

    version: int = 1
    users: Users
    control_port: int
    edge_port: int
    postgres_port: int
    upstream: Upstream | None = None
    caller: Caller | None = None
    unshown: list[Person] = []
    enrolment_token: str | None = None


class StateFolder:
    """A State folder that this process holds; made by `hold`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.logs = path / "logs"
        self.postgres = path / "postgres"
        self.control = path / "control"
        self.edge = path / "edge"

    def load(self) -> Kept | None:
        """What the last start kept; None on the first.

        Raises:
            InvalidInput: `up.json` isn't ours or of a later version.
        """
        try:
            raw = (self.path / "up.json").read_bytes()
        except FileNotFoundError:
            return None
        try:
            kept = msgspec.json.decode(raw, type=Kept)
        except msgspec.DecodeError as error:
            raise InvalidInput(
                f"{self.path / 'up.json'} can't be read: {error}.",
                not_done="Nothing was started.",
                advice="Name another folder with --state, or remove this one to begin anew.",
                code="bad_state",
            ) from error
        return kept

    def save(self, kept: Kept) -> None:
        """Replace `up.json`, whole or not at all."""
        partial = self.path / "up.json.partial"
        partial.unlink(missing_ok=True)
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(kept), indent=2))
            file.flush()
            os.fsync(file.fileno())
        partial.rename(self.path / "up.json")


@contextmanager
def hold(path: Path) -> Iterator[StateFolder]:
    """Make the folder where needed and hold its lock.

    Raises:
        Conflict: Another process holds it.
        InvalidInput: It is no folder of ours.
    """
    path = path.absolute()
    if path.exists() and not (path / "lock").exists() and (not path.is_dir() or any(path.iterdir())):
        raise InvalidInput(
            f"{path} is not a State folder of twokeys up, and not empty.",
            not_done="Nothing was started or changed.",
            advice="Name another folder with --state.",
            code="not_a_state_folder",
        )
    path.mkdir(parents=True, exist_ok=True)
    # Root's parts run as other users and must pass; what they keep is closed by itself.
    path.chmod(0o711 if os.geteuid() == 0 else 0o700)
    descriptor = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "r+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Conflict(
                f"twokeys up already runs on {path}, as process {lock.read().strip() or '(starting)'}.",
                not_done="Nothing was started.",
                advice="Stop that one first (Ctrl-C where it runs), or name another folder with --state.",
                code="already_running",
            ) from error
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        folder = StateFolder(path)
        folder.logs.mkdir(mode=0o700, exist_ok=True)
        yield folder
        lock.seek(0)
        lock.truncate(0)


def default_path(cwd: Path) -> Path:
    """Where the State folder is when nobody names one: under `cwd`, if the parts' users can pass there."""
    if os.geteuid() != 0 or passable_by(cwd, UIDS[0]):
        return cwd / DEFAULT_FOLDER
    return SHARED_PARENT / f"{cwd.name}-{hashlib.sha256(os.fsencode(cwd.resolve())).hexdigest()[:8]}"


def new_users(separate: bool) -> Users:
    """User ids for the parts of a new State folder.

    Args:
        separate: Whether the program can be run by other users. PostgreSQL gets one of its own in any case.
    """
    if os.geteuid() != 0:
        return Users(postgres=None, control=None, edge=None)
    taken = {user.pw_uid for user in pwd.getpwall()}
    free = [uid for uid in UIDS if uid not in taken]
    first = secrets.randbelow(len(free) - 2)
    postgres, control, edge = free[first : first + 3]
    return Users(postgres=postgres, control=control if separate else None, edge=edge if separate else None)


def pick_port(wanted: int) -> int:
    """`wanted` if nobody listens there on 127.0.0.1, else a free port; 0 is always a free one."""
    with socket.socket() as probe:
        # As servers do, so that connections which ended a moment ago do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            return free_port()
        port: int = probe.getsockname()[1]
        return port
