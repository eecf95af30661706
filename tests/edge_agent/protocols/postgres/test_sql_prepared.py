"""SQL's PREPARE and EXECUTE, by the session core."""

from __future__ import annotations

import pytest

from edge_agent.gate import World
from edge_agent.protocols.postgres import encode
from edge_agent.protocols.postgres.events import Forwarded, Written
from tests.edge_agent.protocols.postgres.doors import READS_ONLY, TestDoor
from tests.edge_agent.protocols.postgres.script import SYNC, Script, kinds
from twokeys.effect import Effect
from twokeys.policy import Policies

PREPARE = encode.query(b"PREPARE q (int) AS SELECT id FROM orders WHERE id = $1")
EXECUTE = encode.query(b"EXECUTE q(1)")


def test_an_execute_reads_when_what_was_prepared_reads() -> None:
    run = Script()
    assert kinds(run.client(PREPARE)) == "DDCZI"
    records: list[Forwarded | Written] = []
    run.session.client_bytes(EXECUTE)
    records += run.session.take_records()
    run.run()
    assert run.held == [] and run.ran[-1] == b"EXECUTE q(1)"
    facts = records[-1].judgement.verdict.classification
    assert (facts.kind, facts.effect) == ("EXECUTE", Effect.READ)
    assert "shop.orders" in str(facts.accesses)


def test_it_reads_in_a_transaction_that_is_read_only() -> None:
    run = Script()
    run.client(PREPARE)
    run.client(encode.query(b"BEGIN READ ONLY"))
    assert kinds(run.client(EXECUTE)).endswith("CZT")
    assert run.held == []


@pytest.mark.parametrize(
    "between",
    [
        [encode.query(b"DEALLOCATE q")],
        [encode.query(b"DEALLOCATE ALL")],
        [encode.query(b"DISCARD ALL")],
        [encode.parse(b"q", b"UPDATE orders SET total = 1"), SYNC],
        [encode.close(b"S", b"q"), SYNC],
        [encode.query(b"PREPARE q AS SELECT boom")],
        [encode.query(b"PREPARE q AS DELETE FROM orders")],
    ],
    ids=["deallocate", "deallocate_all", "discard_all", "parse", "close", "failed_prepare", "prepare_of_a_write"],
)
def test_g5_a_name_that_may_mean_something_else_is_held(between: list[bytes]) -> None:
    run = Script()
    run.client(PREPARE)
    for message in between:
        run.client(message)
    held = len(run.held)
    run.client(EXECUTE)
    if held == 0:
        assert len(run.held) == 1
    assert run.ran[-1] != b"EXECUTE q(1)"


def test_g5_a_prepare_that_failed_is_not_remembered() -> None:
    run = Script()
    run.client(encode.query(b"PREPARE q AS SELECT boom"))
    run.client(EXECUTE)
    assert len(run.held) == 1 and run.ran[-1] != b"EXECUTE q(1)"


def test_g5_what_was_prepared_by_another_protocol_or_in_one_text_is_held() -> None:
    run = Script()
    run.client(encode.query(b"PREPARE q (int) AS SELECT 1; SELECT 2"))
    run.client(EXECUTE)
    assert len(run.held) == 1
    run = Script()
    run.client(encode.parse(b"q", b"SELECT pg_sleep(1)"), SYNC)
    run.client(EXECUTE)
    assert len(run.held) == 1


def test_g5_after_code_of_users_may_have_run_it_is_held() -> None:
    run = Script(answers=[True])
    run.client(PREPARE)
    run.client(encode.query(b"UPDATE orders SET total = 1"))
    run.client(EXECUTE)
    assert len(run.held) == 2 and run.ran[-1] != b"EXECUTE q(1)"


def test_g5_arguments_that_are_no_constants_are_held() -> None:
    run = Script()
    run.client(PREPARE)
    run.client(encode.query(b"EXECUTE q(evil())"))
    assert len(run.held) == 1


def test_g5_a_policy_that_moved_is_asked_again() -> None:

    door = TestDoor(READS_ONLY)
    run = Script(door)
    run.client(PREPARE)
    run.client(EXECUTE)
    assert run.ran[-1] == b"EXECUTE q(1)"
    before = len(run.ran)
    door.gate.enter(World("edge-1", 2, Policies("", 2), {}))
    assert "E(42501)" in kinds(run.client(EXECUTE))
    assert len(run.ran) == before
