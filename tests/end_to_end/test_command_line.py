"""People at a terminal, against the real control plane: requests, policies, credentials, replay."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from tests.support.callers import WaitingCaller
from tests.support.deployment import CALLER, TARGET, Deployment
from twokeys.policy import STARTER_TEXT

pytestmark = pytest.mark.slow

NO_DELETES = (
    STARTER_TEXT + '\n@id("no-deletes") @advice("Cancel it instead.") forbid (principal, action in'
    ' [Action::"write", Action::"requestWrite"], resource) when { context.statement == "DELETE" };\n'
)


def as_person(whole: Deployment, person: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `twokeys …` as somebody who has signed in."""
    whole.token(person)
    return subprocess.run(
        [sys.executable, "-m", "twokeys_cli.main", *arguments],
        capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL,
        env={**os.environ, "TWOKEYS_CONFIG": str(whole.folder / f"home-{person}"), "COLUMNS": "200"},
    )  # fmt: skip


def test_a_request_is_listed_shown_and_approved_from_a_terminal(whole: Deployment) -> None:
    caller = WaitingCaller(whole.dsn, "UPDATE shop.orders SET status = %s WHERE id = 41", ("shipped",))
    request = whole.one_pending()
    assert request["id"] in as_person(whole, "rob", "request", "list").stdout
    shown = as_person(whole, "rob", "request", "show", request["id"]).stdout
    assert "SET status = $1 WHERE id = 41" in shown
    assert "$1 text = shipped" in shown
    own = as_person(whole, "ann", "request", "approve", request["id"], "--digest", request["command_digest"])
    assert own.returncode != 0
    done = as_person(whole, "rob", "request", "approve", request["id"], "--digest", request["command_digest"])
    assert done.returncode == 0, done.stderr
    assert caller.done().rows == 1


def test_a_session_is_replayed_with_its_values_for_auditors_only(whole: Deployment) -> None:
    caller = WaitingCaller(whole.dsn, "UPDATE shop.orders SET status = %s WHERE id = 42", ("shipped",))
    request = whole.one_pending()
    whole.vote("rob", request, approve=True)
    caller.done()
    session = whole.call("rob", "GET", f"/v1/requests/{request['id']}").body["session"]
    assert as_person(whole, "ann", "audit", "show", session).returncode != 0
    end = time.monotonic() + 20
    while "shipped" not in (shown := as_person(whole, "rob", "audit", "show", session).stdout):
        assert time.monotonic() < end, shown
        select.select([], [], [], 0.5)


def test_a_policy_is_changed_by_two_people_and_reaches_the_edge(own: Deployment, tmp_path: Path) -> None:
    policy = tmp_path / "policy.cedar"
    policy.write_text(NO_DELETES)
    put = as_person(own, "ann", "policy", "put", str(policy), "--reason", "orders are never deleted")
    assert put.returncode == 0, put.stderr
    proposal = own.call("rob", "GET", "/v1/policies").body["proposals"][0]["id"]
    assert as_person(own, "ann", "policy", "approve", proposal, "--yes").returncode != 0
    approved = as_person(own, "rob", "policy", "approve", proposal, "--yes")
    assert approved.returncode == 0, approved.stderr
    end = time.monotonic() + 20
    with psycopg.connect(own.dsn, autocommit=True) as caller:
        while True:
            with pytest.raises(psycopg.Error) as raised:
                denied = WaitingCaller(own.dsn, "DELETE FROM shop.orders WHERE id = 43")
                for pending in own.pending():
                    own.vote("rob", pending, approve=False, reason="not yet in force")
                raise denied.done().error or AssertionError("it was run")
            if "denied by policy" in str(raised.value) or "no-deletes" in str(raised.value):
                break
            assert time.monotonic() < end, raised.value
        assert caller.execute("SELECT 1").fetchone() == (1,)


def test_a_new_credential_replaces_the_old_one(own: Deployment) -> None:
    made = as_person(own, "ann", "credential", "create", CALLER, TARGET, "--format", "json")
    assert made.returncode == 0, made.stderr
    end = time.monotonic() + 20
    while True:
        try:
            psycopg.connect(own.dsn).close()
        except psycopg.OperationalError as error:
            assert "password authentication failed" in str(error)
            break
        assert time.monotonic() < end
        select.select([], [], [], 0.2)


def test_an_edge_is_listed_and_revoked_for_good(own: Deployment) -> None:
    assert "edge-1" in as_person(own, "rob", "edge", "list").stdout
    caller = WaitingCaller(own.dsn, "UPDATE shop.orders SET status = 'paid' WHERE id = 44")
    request = own.one_pending()
    assert as_person(own, "rob", "edge", "revoke", "edge-1", "--reason", "lost", "--yes").returncode != 0
    done = as_person(own, "ann", "edge", "revoke", "edge-1", "--reason", "its host was lost", "--yes")
    assert done.returncode == 0, done.stderr
    assert own.state(request["id"]) == "withdrawn"
    assert own.vote("rob", request, approve=True).status == 409
    assert caller.done(60).error is not None
    assert json.loads(as_person(own, "rob", "edge", "list", "--format", "json").stdout) == []
    assert as_person(own, "ann", "edge", "token", "edge-1", "sample-db").returncode != 0
    assert as_person(own, "ann", "edge", "token", "edge-2", "sample-db").returncode == 0
