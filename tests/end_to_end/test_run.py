"""`twokeys run`: a file is asked about once, and these very bytes run, all or nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.deployment import CALLER, Deployment

pytestmark = pytest.mark.slow

FILE = """-- close two orders
UPDATE shop.orders SET status = 'paid' WHERE id = 41;
UPDATE shop.orders SET status = 'paid' WHERE id = 42;

UPDATE shop.orders SET total = {total} WHERE id = 41
"""


def run(whole: Deployment, path: Path, *options: str) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-m", "twokeys_cli.main", "run", "-f", str(path), "--plain", *options,
                 "--port", str(whole.edge_port), "--user", CALLER]  # fmt: skip
    return subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PGPASSWORD": whole.password},
    )  # fmt: skip


def closed(whole: Deployment) -> int:
    found = whole.postgres.admin("SELECT count(*) FROM shop.orders WHERE id IN (41, 42) AND status = 'paid'")
    return int(found)


@pytest.fixture
def path(tmp_path: Path, whole: Deployment) -> Path:
    whole.postgres.admin("UPDATE shop.orders SET status = 'open' WHERE id IN (41, 42)")
    return tmp_path / "migration.sql"


def test_a_file_is_asked_about_once_and_applied_whole(whole: Deployment, path: Path) -> None:
    path.write_text(FILE.format(total=7))
    running = run(whole, path)
    request = whole.one_pending()
    assert closed(whole) == 0
    assert whole.vote("rob", request, approve=True).status == 200
    out, errors = running.communicate(timeout=30)
    assert running.returncode == 0, errors
    assert "3 statements" in out and "Applied, in one transaction: UPDATE 1, UPDATE 1, UPDATE 1." in out
    assert closed(whole) == 2


def test_it_ends_at_the_first_error_and_says_what_was_applied(whole: Deployment, path: Path) -> None:
    path.write_text(FILE.format(total="1 / 0"))
    running = run(whole, path)
    whole.vote("rob", whole.one_pending(), approve=True)
    _, errors = running.communicate(timeout=30)
    assert running.returncode == 1 and "Nothing of the file was applied" in errors and "division" in errors
    assert "Statement 3" in errors
    assert closed(whole) == 0


def test_a_denied_file_is_not_applied(whole: Deployment, path: Path) -> None:
    path.write_text(FILE.format(total=7))
    running = run(whole, path)
    whole.vote("rob", whole.one_pending(), approve=False, reason="not on a Friday")
    _, errors = running.communicate(timeout=30)
    assert running.returncode == 1 and "not on a Friday" in errors and closed(whole) == 0


def test_what_can_not_run_in_a_transaction_is_said_before_anything_is_sent(whole: Deployment, path: Path) -> None:
    path.write_text("UPDATE shop.orders SET status = 'paid' WHERE id = 41; VACUUM shop.orders;")
    refused = run(whole, path)
    _, errors = refused.communicate(timeout=30)
    assert refused.returncode == 1 and "2 (VACUUM shop.orders)" in errors and "--each" in errors
    assert whole.pending() == []
    running = run(whole, path, "--each")
    whole.vote("rob", whole.one_pending(), approve=True)
    first = whole.one_pending()
    whole.vote("rob", first, approve=False, reason="no vacuum")
    out, errors = running.communicate(timeout=30)
    assert "1 of 2: UPDATE 1" in out
    assert "Statements 1 to 1 were applied. The 1 from statement 2 on were not." in errors
    assert closed(whole) == 1
