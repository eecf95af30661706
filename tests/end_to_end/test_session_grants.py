"""Leave to write for some minutes: asked for and approved by people, drawn on statement by statement, ended."""

from __future__ import annotations

import os
import subprocess
import sys

import psycopg
import pytest

from tests.support.callers import WaitingCaller
from tests.support.deployment import CALLER, TARGET, Deployment

pytestmark = pytest.mark.slow

UPDATE = "UPDATE shop.orders SET status = 'paid' WHERE id = %s"


def twokeys(whole: Deployment, person: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command, as this person runs it."""
    whole.token(person)
    return subprocess.run(
        [sys.executable, "-m", "twokeys_cli.main", *arguments], capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "TWOKEYS_CONFIG": str(whole.folder / f"home-{person}")},
    )  # fmt: skip


def ask(whole: Deployment, *options: str) -> dict[str, str]:
    """ann asks for agent-7; the request as rob sees it."""
    done = twokeys(whole, "ann", "grant", "request", "--caller", CALLER, "--target", TARGET, "--write", "shop.orders",
                   "--statements", "2", "--minutes", "5", "--reason", "replay the import", *options)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return whole.one_pending()


def test_covered_writes_run_without_asking_until_the_budget_is_used(whole: Deployment) -> None:
    request = ask(whole)
    assert request["kind"] == "SESSION GRANT" and request["id"]
    assert whole.vote("ann", request, approve=True).status in (403, 409)
    shown = twokeys(whole, "rob", "request", "show", request["id"])
    assert shown.returncode == 0, shown.stderr
    assert "may run at most 2 statements" in shown.stdout and "write  shop.orders" in shown.stdout
    done = twokeys(whole, "rob", "request", "approve", request["id"], "--digest", request["command_digest"])
    assert done.returncode == 0, done.stderr
    with psycopg.connect(whole.dsn, autocommit=True) as caller:
        for order in (51, 52):
            assert caller.execute(UPDATE, (order,)).rowcount == 1
    assert whole.pending() == []
    third = WaitingCaller(whole.dsn, UPDATE, (53,))
    whole.vote("rob", whole.one_pending(), approve=False, reason="the budget is used")
    assert "the budget is used" in str(third.done().error)
    assert whole.state(request["id"]) == "approved"
    drawn = [one for one in whole.call("rob", "GET", "/v1/requests").body["requests"] if one["state"] == "done"]
    assert [one["decided_by"] for one in drawn][:2] == [["rob"], ["rob"]]
    assert twokeys(whole, "ann", "grant", "revoke", request["id"]).returncode == 0


def test_other_objects_and_a_revoked_grant_are_asked_about(whole: Deployment) -> None:
    request = ask(whole)
    whole.vote("rob", request, approve=True)
    other = WaitingCaller(whole.dsn, "DELETE FROM shop.customers WHERE id = -1")
    whole.vote("rob", whole.one_pending(), approve=False, reason="not covered")
    assert "not covered" in str(other.done().error)
    revoked = twokeys(whole, "rob", "grant", "revoke", request["id"], "--reason", "enough")
    assert revoked.returncode == 0 and "withdrawn" in revoked.stdout
    late = WaitingCaller(whole.dsn, UPDATE, (54,))
    whole.vote("rob", whole.one_pending(), approve=False, reason="no grant any more")
    assert "no grant any more" in str(late.done().error)


def test_a6_it_is_for_ones_own_machines_alone(whole: Deployment) -> None:
    done = twokeys(whole, "rob", "grant", "request", "--caller", CALLER, "--target", TARGET, "--write", "shop.orders",
                   "--reason", "mine")  # fmt: skip
    assert done.returncode == 1 and "do not answer for" in done.stderr
    assert whole.pending() == []
