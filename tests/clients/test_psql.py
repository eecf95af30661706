"""psql"""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.clients.scene import SECONDS, Scene, run


def psql(scene: Scene, *arguments: str, text: str | None = None) -> tuple[int, str, str]:
    done = run(
        scene.program("psql"), "-X", "-At", "-v", "ON_ERROR_STOP=1", *arguments,
        environment=scene.environment, text=text,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def test_psql_reads(scene: Scene) -> None:
    """reads: several `-c`, `--single-transaction`, `\\g`, `\\gx`, `\\;`, `\\watch` of a fixed count, FETCH_COUNT"""
    assert psql(scene, "-c", "SELECT 1", "-c", "SELECT 2; SELECT 3") == (0, "1\n2\n3\n", "")
    code, out, error = psql(scene, "-1", "-c", "SELECT 1", "-c", "SELECT 2")
    assert (code, out.split()[-2:]) in ((0, ["1", "2"]), (0, ["2", "COMMIT"])), error
    script = "\\set FETCH_COUNT 20\nSELECT id FROM orders WHERE id <= 200;\n\\unset FETCH_COUNT\n"
    code, out, error = psql(scene, text=script + "SELECT 1 \\; SELECT 2;\nSELECT 'x' AS a \\gx\n")
    assert code == 0, error
    assert len(out.split()) == 203
    assert scene.asked == 0


META = (
    r"\d", r"\d+", r"\d orders", r"\d+ orders", r"\dt", r"\dt+", r"\di+", r"\dv+", r"\ds+", r"\dm+", r"\dn+", r"\du+",
    r"\df", r"\df+ shop.*", r"\dfS+ pg_catalog.abs", r"\da", r"\dT+", r"\dT+ pg_catalog.int4",
    r"\do", r"\dO+", r"\dC+",
    r"\dc+", r"\dd", r"\dD+", r"\ddp", r"\dp", r"\z", r"\dx", r"\dx+", r"\dy+", r"\db+", r"\dl", r"\l", r"\l+",
    r"\drds",
    r"\dF+", r"\dFd+", r"\dFp+", r"\dFt+", r"\dE+", r"\det+", r"\des+", r"\dew+", r"\dP+", r"\dRp+",
    r"\dA+", r"\dAc", r"\dAf", r"\dAo", r"\dAp", r"\dX", r"\dconfig work*", r"\sv pg_catalog.pg_tables",
    r"\sf pg_catalog.pg_relation_size(regclass,text)", r"\dL+", r"\dg+", r"\conninfo", r"\encoding", r"\errverbose",
)  # fmt: skip

SECRETS = (r"\deu+", r"\dRs")
"""They read catalogues that hold passwords: user mappings, subscriptions."""


def test_psql_describes(scene: Scene) -> None:
    """the whole family of `\\d`, and `\\l`, `\\z`, `\\sf`, `\\sv`: the same as past the Edge; people are asked about
    what holds passwords alone (`\\deu+`, `\\dRs`)"""
    failed = []
    for command in META:
        through = run(scene.program("psql"), "-X", "-c", command, environment=scene.environment)
        direct = run(scene.program("psql"), "-X", "-c", command, environment=scene.direct)
        said = command == r"\conninfo"
        if through.returncode != direct.returncode or (through.stdout != direct.stdout and not said):
            failed.append((command, through.stderr or through.stdout))
    assert failed == []
    assert scene.asked == 0
    for command in SECRETS:
        assert psql(scene, "-c", command)[0] == 0
    assert scene.asked == len(SECRETS)


def test_psql_write_is_applied_after_approval(scene: Scene) -> None:
    """a write waits and says so, and is applied after approval"""
    code, out, error = psql(scene, "-c", "UPDATE orders SET total = 71 WHERE id = 41")
    assert (code, out) == (0, "UPDATE 1\n")
    assert "held for approval" in error
    assert scene.total(41) == "71.00"


def test_psql_copies_both_ways(scene: Scene, tmp_path: Path) -> None:
    """`\\copy` to a file, and from one after approval"""
    file = tmp_path / "orders.csv"
    code, out, error = psql(scene, "-c", rf"\copy (SELECT id FROM orders WHERE id <= 200) TO '{file}' CSV")
    assert (code, out) == (0, "COPY 200\n"), error
    assert scene.asked == 0
    file.write_text("7301,1,8\n")
    code, out, error = psql(scene, "-c", rf"\copy orders (id, customer_id, total) FROM '{file}' CSV")
    assert (code, out) == (0, "COPY 1\n"), error
    assert scene.total(7301) == "8.00"
    scene.edge.postgres.admin("DELETE FROM shop.orders WHERE id = 7301")


def test_psql_write_is_denied_with_the_reason(scene: Scene) -> None:
    """a denial says why, and the session stays usable"""
    scene.deny("not on a Friday")
    code, out, error = psql(
        scene, "-v", "ON_ERROR_STOP=0", "-c", "DELETE FROM orders WHERE id = 42", "-c", "SELECT count(*) FROM orders "
        "WHERE id = 42",
    )  # fmt: skip
    assert (code, out) == (0, "1\n")
    assert "not on a Friday" in error


@pytest.mark.parametrize("gone", [signal.SIGINT, signal.SIGKILL], ids=["ctrl_c", "killed"])
def test_psql_interrupted_while_held(one_scene: Scene, gone: signal.Signals) -> None:
    """Ctrl-C while held withdraws, and so does the end of psql"""
    one_scene.leave_pending()
    before = one_scene.total(43)
    client = subprocess.Popen(
        [one_scene.program("psql"), "-X", "-At", "-c", "UPDATE orders SET total = 99 WHERE id = 43", "-c", "SELECT 5"],
        env=one_scene.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        one_scene.until_held()
        os.kill(client.pid, gone)
        one_scene.until_withdrawn()
        one_scene.approve()
        out, error = client.communicate(timeout=SECONDS)
    finally:
        client.kill()
    if gone is signal.SIGINT:
        assert "canceling statement" in error
        assert out in ("5\n", "")
    assert one_scene.total(43) == before
