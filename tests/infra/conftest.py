"""One stack for all tests of a file that only look at it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.infra.deployed import Deployed, standing


@pytest.fixture(scope="module")
def stack() -> Iterator[Deployed]:
    """The stack of stage prod, with mail, Slack and alarms. Read only."""
    with standing() as deployed:
        yield deployed
