"""One deployment for the tests of a module; a test that kills something begins its own. On both backends.

The same tests run over the embedded control plane and over the one of AWS, with moto for AWS.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.support.aws_deployment import aws_deployment
from tests.support.callers import callers_go_home
from tests.support.deployment import Deployment, EdgeSettings, deployment
from tests.support.postgres import RealPostgres

Begin: TypeAlias = Callable[[Path, RealPostgres, EdgeSettings | None], AbstractContextManager[Deployment]]

BACKENDS: dict[str, Begin] = {"embedded": deployment, "aws": aws_deployment}


@pytest.fixture(scope="module", params=BACKENDS)
def begin(request: pytest.FixtureRequest) -> Begin:
    """Starts a deployment on this backend."""
    return BACKENDS[request.param]


@pytest.fixture(scope="module")
def whole(begin: Begin, tmp_path_factory: pytest.TempPathFactory, postgres: RealPostgres) -> Iterator[Deployment]:
    """Control plane and Edge in front of the real PostgreSQL."""
    with begin(tmp_path_factory.mktemp("deployment"), postgres, None) as running:
        yield running


@pytest.fixture
def own(begin: Begin, tmp_path: Path, postgres: RealPostgres) -> Iterator[Deployment]:
    """A deployment of this test's own."""
    with begin(tmp_path, postgres, None) as running:
        yield running


__all__ = ["callers_go_home"]
