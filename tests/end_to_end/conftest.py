"""One deployment for the tests of a module; a test that kills something begins its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.callers import callers_go_home
from tests.support.deployment import Deployment, deployment
from tests.support.postgres import RealPostgres


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, postgres: RealPostgres) -> Iterator[Deployment]:
    """Control plane and Edge in front of the real PostgreSQL."""
    with deployment(tmp_path_factory.mktemp("deployment"), postgres) as running:
        yield running


@pytest.fixture
def own(tmp_path: Path, postgres: RealPostgres) -> Iterator[Deployment]:
    """A deployment of this test's own."""
    with deployment(tmp_path, postgres) as running:
        yield running


__all__ = ["callers_go_home"]
