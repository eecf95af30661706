"""What owners do at a terminal, against the real control plane: somebody new, and the erased texts of a session."""

from __future__ import annotations

import select
import time

import pytest

from tests.end_to_end.test_command_line import as_person
from tests.support.aws_deployment import AwsDeployment
from tests.support.callers import WaitingCaller
from tests.support.deployment import Deployment

pytestmark = pytest.mark.slow


def test_an_erased_session_says_by_whom_and_still_verifies(own: Deployment) -> None:
    caller = WaitingCaller(own.dsn, "UPDATE shop.orders SET status = %s WHERE id = 45", ("shipped",))
    request = own.one_pending()
    own.vote("rob", request, approve=True)
    caller.done()
    session = own.call("rob", "GET", f"/v1/requests/{request['id']}").body["session"]
    end = time.monotonic() + 20
    while "shipped" not in (shown := as_person(own, "rob", "audit", "show", session).stdout):
        assert time.monotonic() < end, shown
        select.select([], [], [], 0.5)
    erase = ("audit", "erase", session, "--reason", "asked for by its subject", "--yes")
    # She sponsors the caller.
    assert "another owner" in as_person(own, "ann", *erase).stderr
    assert as_person(own, "rob", *erase).returncode != 0
    (rob,) = [one for one in own.call("ann", "GET", "/v1/people").body["people"] if one["id"] == "rob"]
    assert own.call("ann", "POST", "/v1/people", {**rob, "groups": [*rob["groups"], "owners"]}).status == 200
    erased = as_person(own, "rob", *erase)
    assert erased.returncode == 0, erased.stderr
    shown = as_person(own, "rob", "audit", "show", session).stdout
    assert "erased by rob" in shown
    assert "shipped" not in shown
    verified = as_person(own, "rob", "audit", "verify", "--folder", str(own.recordings()))
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_somebody_new_is_added_and_handed_a_code(own: Deployment) -> None:
    added = as_person(own, "ann", "people", "add", "joe", "--group", "reviewers")
    assert added.returncode == 0, added.stderr
    assert "joe" in as_person(own, "rob", "people", "list").stdout
    assert as_person(own, "rob", "people", "passphrase", "joe").returncode != 0
    handed = as_person(own, "ann", "people", "passphrase", "joe")
    if isinstance(own, AwsDeployment):
        # Passphrases are the embedded issuer's alone.
        assert "no such page" in handed.stderr
        return
    assert handed.returncode == 0, handed.stderr
    assert len(handed.stdout.strip().split("-")) == 5
    assert "/issuer/passphrase" in handed.stderr
