"""A budget of rows, from the policy to the database: small writes pass unasked, and together they stay small."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from tests.end_to_end.conftest import Begin
from tests.support.callers import WaitingCaller
from tests.support.deployment import Deployment
from tests.support.policies import change_policy
from tests.support.postgres import RealPostgres

pytestmark = pytest.mark.slow

POLICY = """
@id("small-writes") @rows("3")
permit (principal, action == Action::"requestWrite", resource);
"""
UPDATE = "UPDATE shop.orders SET total = 1 WHERE id = ANY(%s)"


@pytest.fixture(scope="module")
def budgeted(begin: Begin, tmp_path_factory: pytest.TempPathFactory, postgres: RealPostgres) -> Iterator[Deployment]:
    """A deployment whose policy lets three rows in an hour pass."""
    with begin(tmp_path_factory.mktemp("budgeted"), postgres, None) as running:
        change_policy(running, lambda text: text + POLICY)
        yield running


def test_a7_three_rows_pass_and_the_fourth_is_asked_about(budgeted: Deployment) -> None:
    with psycopg.connect(budgeted.dsn, autocommit=True) as caller:
        assert caller.execute(UPDATE, ([61, 62],)).rowcount == 2
    with psycopg.connect(budgeted.dsn) as caller:
        assert caller.execute(UPDATE, ([63],)).rowcount == 1
        caller.commit()
    assert budgeted.pending() == []
    fourth = WaitingCaller(budgeted.dsn, UPDATE, ([64],))
    request = budgeted.one_pending()
    assert "small-writes" in request["policies"]
    assert budgeted.vote("rob", request, approve=True).status == 200
    assert fourth.done().rows == 1
