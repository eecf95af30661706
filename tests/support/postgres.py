"""A real PostgreSQL for tests: the product's own starter, with durability off, and the sample data in it."""

from __future__ import annotations

import os
import pwd
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from twokeys_cli.postgres import SUPERUSER, UNSAFE_FAST, Binaries, PostgresServer
from twokeys_cli.sample import DATABASE, EDGE_ROLE, create_sample

EDGE_PASSWORD = "sample-edge-password"


@dataclass(frozen=True, slots=True)
class RealPostgres:
    """A running server with the sample data (`twokeys_cli/sample.sql`).

    `dsn` connects as the Edge's least-privilege role, `admin_dsn` as the superuser; both to the sample database.
    """

    server: PostgresServer
    major: int
    host: str = "127.0.0.1"
    database: str = DATABASE
    user: str = EDGE_ROLE
    password: str = EDGE_PASSWORD

    @property
    def port(self) -> int:
        return self.server.port

    @property
    def dsn(self) -> str:
        return self.dsn_of(self.user, self.password)

    @property
    def admin_dsn(self) -> str:
        return self.dsn_of(SUPERUSER, self.server.superuser_password)

    def dsn_of(self, user: str, password: str) -> str:
        return f"host={self.host} port={self.port} dbname={self.database} user={user} password={password}"

    def admin(self, sql: str) -> str:
        """Run a script as the superuser in the sample database; returns plain output, columns split by `|`."""
        return self.server.psql(sql, database=self.database)


def unprivileged() -> int | None:
    """Whom PostgreSQL runs as in tests: `nobody` when we are root, else ourselves."""
    return pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else None


@contextmanager
def open_folder() -> Iterator[Path]:
    """A temporary folder that other users may pass, which pytest's `tmp_path` is not."""
    folder = Path(tempfile.mkdtemp(prefix="twokeys-test-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def running_postgres(binaries: Binaries, settings: Mapping[str, str] | None = None) -> Iterator[RealPostgres]:
    """A fresh server with sample data, stopped and removed afterwards."""
    with open_folder() as folder:
        server = PostgresServer(folder / "postgres", binaries, unprivileged(), {**UNSAFE_FAST, **(settings or {})})
        server.create(sync=False)
        server.start()
        try:
            create_sample(server, EDGE_PASSWORD)
            yield RealPostgres(server, binaries.major())
        finally:
            server.stop(at_once=True)


_shared: dict[int, tuple[RealPostgres, dict[str, str]]] = {}


@contextmanager
def shared(real: RealPostgres) -> Iterator[None]:
    """Remember how many rows a server has that many files of tests use."""
    _shared[real.port] = real, _rows(real)
    try:
        yield
    finally:
        del _shared[real.port]


def changed() -> list[str]:
    """The tables of `shared` servers that have other numbers of rows than at first, each told once."""
    found: list[str] = []
    for port, (real, before) in _shared.items():
        after = _rows(real)
        found += [
            f"{name}: {after.get(name)} rows, once {rows}" for name, rows in before.items() if after.get(name) != rows
        ]
        _shared[port] = real, after
    return found


def _rows(real: RealPostgres) -> dict[str, str]:
    tables = real.admin(
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'shop'::regnamespace"
    ).split()
    counts = " UNION ALL ".join(f"SELECT '{name} ' || count(*) FROM shop.{name}" for name in tables)
    return dict(line.split() for line in real.admin(counts).splitlines())
