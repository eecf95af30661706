"""COPY FROM STDIN from end to end: reviewers see the data, and a caller that can not wait copies them once."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from tests.end_to_end.conftest import Begin
from tests.support.deployment import Deployment
from tests.support.policies import annotated, change_policy
from tests.support.postgres import RealPostgres

pytestmark = pytest.mark.slow

ROWS = "1\tone\n2\ttwo\n"


@pytest.fixture(scope="module")
def copying(begin: Begin, tmp_path_factory: pytest.TempPathFactory, postgres: RealPostgres) -> Iterator[Deployment]:
    """A deployment whose policy lets nobody wait."""
    postgres.admin("CREATE TABLE IF NOT EXISTS shop.copied (id int, name text); TRUNCATE shop.copied")
    postgres.admin("GRANT ALL ON shop.copied TO PUBLIC")
    with begin(tmp_path_factory.mktemp("copying"), postgres, None) as running:
        change_policy(running, annotated("starter-request", '@wait("0")'))
        yield running


def copy(whole: Deployment, data: str) -> None:
    with (
        psycopg.connect(whole.dsn, autocommit=True) as caller,
        caller.cursor().copy("COPY shop.copied FROM STDIN") as into,
    ):
        into.write(data)


def copied(whole: Deployment) -> str:
    return whole.postgres.admin("SELECT count(*) FROM shop.copied").strip()


def test_w5_an_approval_is_for_the_very_data_and_runs_once(copying: Deployment) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="waits for"):
        copy(copying, ROWS)
    request = copying.one_pending()
    assert copying.vote("rob", request, approve=True).status == 200
    assert copied(copying) == "0"
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="waits for"):
        copy(copying, ROWS.replace("two", "TWO"))
    other = copying.one_pending()
    assert other["id"] != request["id"] and other["command_digest"] != request["command_digest"]
    assert copied(copying) == "0"
    copy(copying, ROWS)
    assert copied(copying) == "2"
    assert copying.until(request["id"], "done") == "done"
    copying.vote("rob", other, approve=False, reason="not those")
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="not those"):
        copy(copying, ROWS.replace("two", "TWO"))
    assert copied(copying) == "2"


def test_w5_data_longer_than_a_message_are_reviewed_and_copied(copying: Deployment) -> None:
    data = "".join(f"{number}\tname {number}\n" for number in range(1000, 41_000))
    assert len(data) > 512 * 1024
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="waits for"):
        copy(copying, data)
    request = copying.one_pending()
    assert copying.vote("rob", request, approve=True).status == 200
    before = int(copied(copying))
    copy(copying, data)
    assert int(copied(copying)) == before + 40_000
