"""A caller that can not wait: its Request outlives the connection, and the very same statement later runs once."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import psycopg
import pytest

from tests.end_to_end.conftest import Begin
from tests.support.callers import WaitingCaller
from tests.support.deployment import Deployment
from tests.support.policies import annotated, change_policy
from tests.support.postgres import RealPostgres

pytestmark = pytest.mark.slow

UPDATE = "UPDATE shop.orders SET total = total + 1 WHERE id = %s"


@pytest.fixture(scope="module")
def retrying(begin: Begin, tmp_path_factory: pytest.TempPathFactory, postgres: RealPostgres) -> Iterator[Deployment]:
    """A deployment whose policy lets nobody wait."""
    with begin(tmp_path_factory.mktemp("retrying"), postgres, None) as running:
        change_policy(running, annotated("starter-request", '@wait("0")'))
        yield running


def send(whole: Deployment, sql: str, *values: object) -> int:
    """One connection, one statement; rows affected."""
    with psycopg.connect(whole.dsn, autocommit=True) as caller:
        return caller.execute(sql, values).rowcount


def total(whole: Deployment, order: int) -> float:
    return float(whole.postgres.admin(f"SELECT total FROM shop.orders WHERE id = {order}"))


def test_it_is_refused_at_once_with_its_request_and_runs_once_when_sent_again(retrying: Deployment) -> None:
    before = total(retrying, 31)
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="waits for") as told:
        send(retrying, UPDATE, 31)
    request = retrying.one_pending()
    assert request["retry"] and request["id"] in str(told.value)
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match=request["id"]):
        send(retrying, UPDATE, 31)
    assert retrying.one_pending()["id"] == request["id"], "nobody is asked twice"
    assert retrying.vote("rob", request, approve=True).status == 200
    assert total(retrying, 31) == before, "an approval alone runs nothing"
    assert send(retrying, UPDATE, 31) == 1
    assert total(retrying, 31) == before + 1
    assert retrying.until(request["id"], "done") == "done"
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="waits for"):
        send(retrying, UPDATE, 31)
    again = retrying.one_pending()
    assert again["id"] != request["id"] and total(retrying, 31) == before + 1
    retrying.vote("rob", again, approve=False, reason="once is enough")


def test_a5_other_values_or_another_text_do_not_spend_it(retrying: Deployment) -> None:
    with pytest.raises(psycopg.Error):
        send(retrying, UPDATE, 32)
    request = retrying.one_pending()
    retrying.vote("rob", request, approve=True)
    for sql, order in ((UPDATE, 33), (UPDATE + " ", 32)):
        before = total(retrying, order)
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="waits for"):
            send(retrying, sql, order)
        assert total(retrying, order) == before
        retrying.vote("rob", retrying.one_pending(), approve=False, reason="a test")
    assert retrying.state(request["id"]) == "approved"


def test_w6_another_meaning_of_the_session_does_not_spend_it(retrying: Deployment) -> None:
    with pytest.raises(psycopg.Error):
        send(retrying, UPDATE, 34)
    retrying.vote("rob", retrying.one_pending(), approve=True)
    before = total(retrying, 34)
    with psycopg.connect(retrying.dsn, autocommit=True) as caller:
        caller.execute("SET timezone = 'Asia/Tokyo'")
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="waits for"):
            caller.execute(UPDATE, (34,))
    assert total(retrying, 34) == before
    retrying.vote("rob", retrying.one_pending(), approve=False, reason="a test")


def test_a_denial_answers_the_next_try(retrying: Deployment) -> None:
    with pytest.raises(psycopg.Error):
        send(retrying, UPDATE, 35)
    retrying.vote("rob", retrying.one_pending(), approve=False, reason="not on a Friday")
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="not on a Friday"):
        send(retrying, UPDATE, 35)
    assert retrying.pending() == []


def test_it_outlives_the_edge(retrying: Deployment) -> None:
    before = total(retrying, 36)
    with pytest.raises(psycopg.Error):
        send(retrying, UPDATE, 36)
    request = retrying.one_pending()
    retrying.edge.stop(signal.SIGKILL)
    retrying.edge.start()
    retrying.vote("rob", request, approve=True)
    assert send(retrying, UPDATE, 36) == 1
    assert total(retrying, 36) == before + 1


def test_a5_of_many_that_come_back_at_once_one_runs(retrying: Deployment) -> None:
    before = total(retrying, 37)
    with pytest.raises(psycopg.Error):
        send(retrying, UPDATE, 37)
    retrying.vote("rob", retrying.one_pending(), approve=True)
    callers = [WaitingCaller(retrying.dsn, UPDATE, (37,)) for _ in range(5)]
    ran = [caller for caller in callers if caller.done().error is None]
    assert len(ran) == 1 and total(retrying, 37) == before + 1
    for left in retrying.pending():
        retrying.vote("rob", left, approve=False, reason="a test")
