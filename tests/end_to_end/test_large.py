"""What is large: a statement over what a message or a table's item may hold, and a COPY of a hundred megabytes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from tests.support.callers import WaitingCaller
from tests.support.deployment import Deployment

pytestmark = pytest.mark.slow


def test_a_statement_of_400_kb_is_held_whole_and_runs_as_it_was_approved(whole: Deployment) -> None:
    text = "x" * 400_000
    caller = WaitingCaller(whole.dsn, f"UPDATE shop.customers SET name = '{text}' WHERE id = 3")
    request = whole.one_pending()
    assert whole.call("rob", "GET", f"/v1/requests/{request['id']}/body?offset=0").body["total"] > 400_000
    assert whole.vote("rob", request, approve=True).status == 200
    assert caller.done(60).rows == 1
    assert whole.postgres.admin("SELECT length(name) FROM shop.customers WHERE id = 3").strip() == "400000"
    assert whole.until(request["id"], "done") == "done"


def test_a_copy_of_a_hundred_megabytes_is_held_whole_and_nothing_of_it_runs_when_denied(whole: Deployment) -> None:
    before = whole.postgres.admin("SELECT count(*) FROM shop.orders")
    with ThreadPoolExecutor(1) as threads, psycopg.connect(whole.dsn, autocommit=True) as caller:
        copying = threads.submit(_copy, caller)
        request = whole.one_pending()
        assert whole.vote("rob", request, approve=False, reason="too much at once").status == 200
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="too much at once"):
            copying.result(60)
        assert caller.execute("SELECT 1").fetchone() == (1,)
    assert whole.postgres.admin("SELECT count(*) FROM shop.orders") == before
    assert whole.pending() == []


def _copy(caller: psycopg.Connection) -> None:
    with caller.cursor().copy("COPY shop.orders FROM STDIN") as copy:
        for _ in range(100):
            copy.write(b"x" * 1_000_000)
