"""The saved queries on what a real Edge and control plane recorded: they expect the spelling that is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.end_to_end.test_story import twokeys, until_recorded
from tests.support.callers import WaitingCaller
from tests.support.deployment import Deployment, deployment
from tests.support.postgres import RealPostgres

pytestmark = pytest.mark.slow


def ask(own: Deployment, name: str, *params: str) -> list[dict[str, Any]]:
    given = [part for one in params for part in ("--param", one)]
    done = twokeys("audit", "query", "--folder", str(own.recordings()), "--saved", name, "--format", "json", *given)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def test_what_really_happened_is_what_the_saved_queries_say(tmp_path: Path, postgres: RealPostgres) -> None:
    with deployment(tmp_path, postgres) as own:
        with psycopg.connect(own.dsn) as reader:
            reader.execute("SELECT count(*) FROM shop.orders").fetchone()
        denied = WaitingCaller(own.dsn, "DELETE FROM shop.orders WHERE id = 31")
        second = own.one_pending()
        own.vote("rob", second, approve=False, reason="not today")
        denied.done()
        caller = WaitingCaller(own.dsn, "UPDATE shop.orders SET status = 'paid' WHERE id = 30")
        request = own.one_pending()
        assert own.vote("ann", request, approve=True).status == 403
        own.vote("rob", request, approve=True)
        assert caller.done().rows == 1
        own.until(request["id"], "done")
        # Its sessions end, and its Segments are closed.
        own.edge.stop()
        own.edge.start()
        until_recorded(own, request["id"])

        (write,) = ask(own, "writes_to", "object=shop.orders")
        assert (write["request"], write["outcome"], write["approvers"]) == (request["id"], "done", ["rob"])
        assert write["rows"] == 1
        assert [row["request"] for row in ask(own, "writes")] == [request["id"]]
        assert ask(own, "writes_without_approval") == []
        (tried,) = ask(own, "own_votes")
        assert (tried["vote"], tried["person"], tried["request"]) == ("refused", "ann", request["id"])
        assert {(row["outcome"], row["commands"]) for row in ask(own, "not_run")} == {("denied", 1)}
        assert ask(own, "in_doubt") == []
        assert ask(own, "breaks") == []
        assert {row["request"] for row in ask(own, "quick_approvals", "seconds=9999")} == {request["id"]}
        assert [row["type"] for row in ask(own, "people_changes")][:1] == ["bootstrap"]
        assert ask(own, "policy_changes")[0]["outcome"] == "policy"
        (busiest,) = ask(own, "busiest_callers")
        assert (busiest["writes"], busiest["held"]) == (1, 2)
        assert len(ask(own, "sessions_of", f"caller={busiest['caller']}")) == 3
        assert {row["type"] for row in ask(own, "one_request", f"request={request['id']}")} >= {
            "hold", "open", "decision", "spend", "spend_intent", "forward", "result", "refused",
        }  # fmt: skip
