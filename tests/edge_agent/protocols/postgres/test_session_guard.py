"""The guard of a transaction that may write stays open over plain reads, and never over what it would take back."""

from __future__ import annotations

import pytest

from edge_agent.protocols.postgres import encode
from tests.edge_agent.protocols.postgres.doors import TestDoor
from tests.edge_agent.protocols.postgres.script import GUARD_BYTES, SYNC, Script, bound

OPENED, RELEASED = b"SAVEPOINT " + GUARD_BYTES, b"RELEASE SAVEPOINT " + GUARD_BYTES
READ, WRITE, TRAP = b"SELECT 1", b"UPDATE orders SET total = 1", b"SELECT trap"


def begun(answers: list[bool] | None = None) -> Script:
    script = Script(TestDoor(), answers=answers or [])
    script.client(encode.query(b"BEGIN"))
    return script


def guards(script: Script) -> tuple[int, int]:
    """How often the guard was opened and released."""
    return script.sent.count(OPENED) - script.sent.count(RELEASED), script.sent.count(RELEASED)


@pytest.mark.parametrize("read", [encode.query(READ), bound(READ) + SYNC], ids=["simple", "extended"])
def test_it_stays_open_over_plain_reads(read: bytes) -> None:
    script = begun()
    for _ in range(3):
        script.client(read)
    assert guards(script) == (1, 0)
    assert script.session._core.guarded


@pytest.mark.parametrize(
    "text",
    [
        b"DECLARE c CURSOR FOR SELECT 1",
        b"SET LOCAL statement_timeout = 5",
        b"SELECT 1; SELECT 2",
        b"PREPARE q AS SELECT 1",
    ],
)
def test_it_is_closed_after_what_it_would_take_back(text: bytes) -> None:
    script = begun()
    script.client(encode.query(READ))
    script.client(encode.query(text))
    assert not script.session._core.guarded
    assert guards(script) == (1, 1)


@pytest.mark.parametrize(
    "group",
    [
        encode.parse(b"", READ) + encode.bind(b"p", b"") + encode.execute(b"p") + SYNC,
        encode.parse(b"", READ) + encode.bind(b"", b"") + encode.execute(b"", 1) + SYNC,
        encode.parse(b"", READ) + encode.bind(b"", b"") + SYNC,
    ],
    ids=["a named portal", "a row limit", "a portal that is not run yet"],
)
def test_it_is_closed_after_portals_that_live_on(group: bytes) -> None:
    script = begun()
    script.client(group)
    assert not script.session._core.guarded


def test_a_read_that_writes_is_rolled_back_to_it_and_held() -> None:
    script = begun([True])
    script.client(encode.query(READ))
    script.client(encode.query(READ))
    script.client(encode.query(TRAP))
    assert [held.command.text for held in script.held] == [TRAP]
    assert script.server.ran[-1] == ("simple", TRAP, False)
    assert script.client(encode.query(READ))
    assert script.server.ran[-1] == ("simple", READ, True)


@pytest.mark.parametrize("control", [b"SAVEPOINT a", b"COMMIT", b"ROLLBACK"])
def test_transaction_control_runs_outside_of_it(control: bytes) -> None:
    script = begun()
    script.client(encode.query(READ))
    script.client(encode.query(control))
    assert guards(script) == (1, control != b"ROLLBACK")
    assert not script.session._core.guarded
    assert not script.server.savepoints or script.server.savepoints == [(b"A", False)]


def test_a_write_runs_outside_of_it_and_the_next_read_inside_again() -> None:
    script = begun([True])
    for text in (READ, WRITE, READ):
        script.client(encode.query(text))
    assert [(text, read_only) for _, text, read_only in script.server.ran] == [
        (READ, True),
        (WRITE, False),
        (READ, True),
    ]


@pytest.mark.parametrize("savepoint", [False, True])
def test_after_a_failed_read_it_is_opened_anew(savepoint: bool) -> None:
    script = begun()
    if savepoint:
        script.client(encode.query(b"SAVEPOINT a"))
    script.client(encode.query(READ))
    script.client(encode.query(b"SELECT boom"))
    assert not script.session._core.guarded
    script.client(encode.query(b"ROLLBACK TO a" if savepoint else b"ROLLBACK"))
    before = len(script.sent)
    if not savepoint:
        script.client(encode.query(b"BEGIN"))
    script.client(encode.query(READ))
    assert OPENED in script.sent[before:]
    assert script.server.ran[-1] == ("simple", READ, True)
