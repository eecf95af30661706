"""A read that the server calls a write: held and run again, in every shape and split, or its error goes out."""

from __future__ import annotations

import pytest

from edge_agent.protocols.postgres import encode
from edge_agent.protocols.postgres.events import Held, Outcome, Rewound
from edge_agent.protocols.postgres.pipeline import SessionLimits
from tests.edge_agent.protocols.postgres.doors import ALLOW_ALL, READS_ONLY, SENSITIVE, TestDoor
from tests.edge_agent.protocols.postgres.script import FLUSH, SYNC, Script, bound, kinds

TRAP = b"SELECT * FROM trap"
NOISY = b"SELECT * FROM trap AS noisy"
LATE = b"SELECT * FROM trap AS late"
PIPELINE = bound(b"SELECT 1") + bound(TRAP) + bound(b"SELECT 3") + SYNC
SPLITS = [0, 1, 2, 3, 5, 7, 11, 13, 40, 100, 300]


def query(text: bytes) -> bytes:
    return encode.query(text)


def written(script: Script) -> list[bytes]:
    """Texts that ran where they could write."""
    return [text for _, text, read_only in script.server.ran if not read_only]


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("text", [TRAP, NOISY])
@pytest.mark.parametrize("transaction", [False, True])
def test_a_query_is_held_and_run_again(text: bytes, transaction: bool, split: int) -> None:
    script = Script(answers=[True])
    if transaction:
        script.client(query(b"BEGIN"))
    told = script.client(query(text), split=split)
    status = "T" if transaction else "I"
    assert kinds(told).replace("N", "", 1 if text == NOISY else 0) == f"DDCZ{status}"
    assert written(script) == [text]
    assert [type(effect) for effect in script.of(Rewound, Held, Outcome)] == [Rewound, Held] + [Outcome] * (
        not transaction
    )
    if transaction:
        assert kinds(script.client(query(b"SELECT 4"))) == "DDCZT"
        assert kinds(script.client(query(b"COMMIT"))) == "CZI"
    assert kinds(script.client(query(text))) == "E(42501)ZI"
    assert len(script.of(Rewound)) == 1


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("transaction", [False, True])
def test_an_execute_in_a_pipeline_is_held_and_what_follows_runs_after_it(transaction: bool, split: int) -> None:
    script = Script(answers=[True])
    if transaction:
        script.client(query(b"BEGIN"))
    told = script.client(PIPELINE, split=split)
    assert kinds(told) == "12TDDC" * 3 + ("ZT" if transaction else "ZI")
    assert written(script) == [TRAP]
    assert script.ran.count(b"SELECT 1") == 1
    assert script.ran.index(TRAP) < script.ran.index(b"SELECT 3")


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("transaction", [False, True])
def test_denied_nothing_of_the_pipeline_runs_after_it(transaction: bool, split: int) -> None:
    script = Script(answers=[False])
    if transaction:
        script.client(query(b"BEGIN"))
    told = script.client(PIPELINE, split=split)
    assert kinds(told) == "12TDDC12TE(42501)" + ("ZE" if transaction else "ZI")
    assert written(script) == []
    assert b"SELECT 3" not in script.ran


@pytest.mark.parametrize("split", SPLITS)
def test_each_trap_of_a_pipeline_is_asked_for(split: int) -> None:
    script = Script(answers=[True, True])
    other = b"SELECT * FROM trap AS other"
    told = script.client(bound(TRAP), bound(other, name=b"s"), bound(b"SELECT 3"), SYNC, split=split)
    assert kinds(told) == "12TDDC" * 3 + "ZI"
    assert written(script) == [TRAP, other]


@pytest.mark.parametrize("split", SPLITS)
def test_a_write_behind_the_read_that_writes_is_run_after_it(split: int) -> None:
    script = Script(answers=[True, True])
    told = script.client(bound(TRAP), bound(b"UPDATE shop.orders SET total = 1"), SYNC, split=split)
    assert kinds(told) == "12TDDC12TCZI"
    assert written(script) == [TRAP, b"UPDATE shop.orders SET total = 1"]


@pytest.mark.parametrize("split", SPLITS)
def test_a_query_out_of_turn_behind_it_waits_for_it(split: int) -> None:
    script = Script(answers=[True])
    told = script.client(bound(TRAP), query(b"SELECT 7"), split=split)
    assert kinds(told) == "12TDDC" + "DDCZI"
    assert script.ran[-2:] == [TRAP, b"SELECT 7"]


def test_a_group_that_flushes_and_syncs_later_is_held_at_once() -> None:
    script = Script(answers=[True])
    assert kinds(script.client(encode.parse(b"s", TRAP), FLUSH)) == "1"
    assert kinds(script.client(encode.bind(b"", b"s", []), FLUSH)) == "2"
    assert kinds(script.client(encode.execute(b""), FLUSH)) == "DDC"
    assert written(script) == [TRAP]
    assert script.of(Outcome) == []
    assert kinds(script.client(SYNC)) == "ZI"
    assert len(script.of(Outcome)) == 1


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("transaction", [False, True])
@pytest.mark.parametrize("extended", [False, True])
def test_after_a_row_went_out_the_error_does_and_the_next_time_it_is_held(
    transaction: bool, extended: bool, split: int
) -> None:
    script = Script(answers=[True])
    if transaction:
        script.client(query(b"BEGIN"))
    sent = bound(LATE) + bound(b"SELECT 3") + SYNC if extended else query(LATE)
    told = kinds(script.client(sent, split=split))
    status = "ZE" if transaction else "ZI"
    assert told == ("12TDE(25006)" if extended else "TDE(25006)") + status
    assert script.of(Rewound, Held) == []
    assert b"SELECT 3" not in script.ran
    if transaction:
        script.client(query(b"ROLLBACK"))
    script.client(sent)
    assert len(script.of(Held)) == 1
    assert written(script) == [LATE]


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize(("sent", "told"), [(query(TRAP), ""), (PIPELINE, "12TDDC12T")])
def test_in_a_transaction_of_the_clients_that_is_read_only_the_error_goes_out(
    sent: bytes, told: str, split: int
) -> None:
    script = Script(answers=[True])
    script.client(query(b"BEGIN READ ONLY"))
    assert kinds(script.client(sent, split=split)) == f"{told}E(25006)ZE"
    assert kinds(script.client(query(b"ROLLBACK"))) == "CZI"
    assert script.of(Held, Rewound) == []
    assert kinds(script.client(query(TRAP))) == "DDCZI"
    assert len(script.of(Held)) == 1


def test_a_portal_that_was_executed_before_is_not_run_again() -> None:
    script = Script(answers=[True])
    script.client(query(b"BEGIN"))
    script.client(encode.parse(b"s", b"SELECT 1"), encode.bind(b"p", b"s", []), SYNC)
    script.server.portals[b"p"] = TRAP
    assert kinds(script.client(encode.execute(b"p"), SYNC)) == "E(25006)ZE"
    assert script.of(Rewound) == []


@pytest.mark.parametrize("text", [b"FETCH ALL FROM trap_cursor"])
def test_a_cursor_of_sql_has_failed_and_is_not_run_again(text: bytes) -> None:
    script = Script(answers=[True])
    script.client(query(b"BEGIN"))
    assert kinds(script.client(query(text))) == "E(25006)ZE"
    assert script.of(Held) == []


def test_a_row_limit_is_held_as_it_is() -> None:
    script = Script(answers=[True])
    group = encode.parse(b"", TRAP) + encode.bind(b"", b"", []) + encode.execute(b"", 5) + SYNC
    assert kinds(script.client(group)) == "12DDCZI"
    assert written(script) == [TRAP]
    assert encode.execute(b"", 5) + encode.close(b"P", b"") in script.sent


def test_policy_decides_about_it_as_about_any_write() -> None:
    allowed = Script(TestDoor(ALLOW_ALL), answers=[])
    assert kinds(allowed.client(query(TRAP))) == "DDCZI"
    assert written(allowed) == [TRAP]
    assert allowed.of(Held) == []
    denied = Script(TestDoor(READS_ONLY))
    assert kinds(denied.client(query(TRAP))) == "E(42501)ZI"
    assert denied.of(Held) == []


def test_a_group_too_long_to_keep_gets_the_error() -> None:
    script = Script(answers=[True], limits=SessionLimits(waiting_bytes=100))
    for number in range(20):
        script.client(bound(b"SELECT %d" % number))
    assert kinds(script.client(bound(TRAP), SYNC)).endswith("E(25006)ZI")
    assert script.of(Held) == []


def test_an_error_of_another_kind_is_an_error() -> None:
    script = Script(answers=[True])
    assert kinds(script.client(query(b"SELECT boom"))) == "E(22012)ZI"
    assert kinds(script.client(bound(b"SELECT boom"), SYNC)) == "12TE(22012)ZI"


@pytest.mark.parametrize("extended", [False, True])
def test_a_sensitive_read_that_writes_gets_the_error_and_is_held_the_next_time(extended: bool) -> None:
    ask = '@id("ask") permit(principal, action == Action::"requestWrite", resource);'
    script = Script(TestDoor(SENSITIVE + ask), answers=[True])
    sent = bound(TRAP) + SYNC if extended else query(TRAP)
    assert "E(25006)" in kinds(script.client(sent))
    assert script.of(Held) == []
    assert kinds(script.client(sent)) == ("12TDDCZI" if extended else "DDCZI")
    assert len(script.of(Held)) == 1
    assert written(script) == [TRAP]
