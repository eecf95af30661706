"""What people are shown before they decide, on both backends: named by the vote and by the Approval."""

from __future__ import annotations

import psycopg
import pytest

from tests.support.callers import WaitingCaller
from tests.support.deployment import Deployment
from twokeys.digest import from_base64
from twokeys.preview import preview_digest, read_preview

pytestmark = pytest.mark.slow


def test_a_preview_is_shown_and_what_was_shown_is_what_is_approved(whole: Deployment) -> None:
    whole.postgres.admin("UPDATE shop.orders SET status = 'open', total = 5 WHERE id IN (31, 32)")
    sql = "UPDATE shop.orders SET total = total * 2 WHERE id = ANY (%s)"
    caller = WaitingCaller(whole.dsn, sql, ([31, 32],))
    request = whole.one_pending()
    assert request["most_rows"] == 2
    data = from_base64(whole.call("rob", "GET", f"/v1/requests/{request['id']}/preview").body["data"])
    assert preview_digest(data) == request["preview_digest"]
    preview = read_preview(data)
    total = [column.name for column in preview.columns].index("total")
    assert {(row.before[total].text, row.after[total].text) for row in preview.sample} == {("5.00", "10.00")}
    assert whole.vote("rob", {**request, "preview_digest": ""}, approve=True).status == 403
    assert whole.vote("rob", {**request, "preview_digest": "0" * 64}, approve=True).status == 403
    assert whole.vote("rob", request, approve=True).status == 200
    assert caller.done().rows == 2
    assert whole.until(request["id"], "done") == "done"


def test_w6_rows_that_came_after_the_preview_are_not_changed(whole: Deployment) -> None:
    whole.postgres.admin("UPDATE shop.orders SET status = 'open' WHERE id IN (41, 42, 43)")
    whole.postgres.admin("UPDATE shop.orders SET status = 'shipped' WHERE id = 43")
    caller = WaitingCaller(whole.dsn, "UPDATE shop.orders SET total = 0 WHERE id BETWEEN 41 AND 43 AND status = 'open'")
    request = whole.one_pending()
    whole.postgres.admin("UPDATE shop.orders SET status = 'open' WHERE id = 43")
    assert whole.vote("rob", request, approve=True).status == 200
    assert isinstance(caller.done().error, psycopg.errors.ProgramLimitExceeded)
    assert whole.until(request["id"], "failed") == "failed"
    changed = "SELECT count(*) FROM shop.orders WHERE total = 0 AND id IN (41, 42, 43)"
    assert whole.postgres.admin(changed).strip() == "0"
