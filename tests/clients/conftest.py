"""Fixtures of the client suites."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.scene import Scene
from tests.edge_agent.net.edge_in_process import edge_in_process
from tests.support.postgres import RealPostgres


@pytest.fixture
def scene(tmp_path: Path, any_postgres: RealPostgres) -> Iterator[Scene]:
    """Before each PostgreSQL at hand."""
    with edge_in_process(tmp_path, any_postgres) as edge:
        yield Scene(edge)


@pytest.fixture
def one_scene(tmp_path: Path, postgres: RealPostgres) -> Iterator[Scene]:
    """Before the wheel's PostgreSQL, where the server's release changes nothing."""
    with edge_in_process(tmp_path, postgres) as edge:
        yield Scene(edge)
