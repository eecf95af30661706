"""Extended queries through the session core, as scripts."""

from __future__ import annotations

import pytest

from edge_agent.protocols.postgres import encode
from edge_agent.protocols.postgres.events import Ending, Forwarded, Held, Outcome, Terminate
from edge_agent.protocols.postgres.pipeline import SessionLimits
from tests.edge_agent.protocols.postgres.doors import READS_ONLY, TestDoor
from tests.edge_agent.protocols.postgres.script import FLUSH, SYNC, Script, bound, kinds

WRITE = b"UPDATE orders SET total = 1"
BEGIN, COMMIT = encode.query(b"BEGIN"), encode.query(b"COMMIT")


def endings(script: Script) -> list[Ending]:
    return [effect.ending for effect in script.of(Outcome) if isinstance(effect, Outcome)]


def test_a_read_is_forwarded_as_it_is_and_recorded_with_its_values() -> None:
    script = Script()
    messages = bound(b"SELECT $1", values=[b"7"]) + SYNC
    script.session.client_bytes(messages)
    assert script.session.take_to_server() == messages
    (record,) = script.session.take_records()
    assert isinstance(record, Forwarded)
    assert record.text == b"SELECT $1" and record.bind is not None and b"7" in record.bind


def test_an_approved_execute_runs_in_a_transaction_until_the_sync() -> None:
    script = Script(answers=[True])
    assert kinds(script.client(bound(WRITE), SYNC)) == "12TCZI"
    assert script.server.ran == [("extended", WRITE, False)] and endings(script) == [Ending.COMMITTED]


def test_a_client_that_flushes_before_it_binds_is_held_and_answered() -> None:
    script = Script(answers=[True])
    assert kinds(script.client(encode.parse(b"s", WRITE), encode.describe(b"S", b"s"), FLUSH)) == "1tT"
    assert kinds(script.client(encode.bind(b"", b"s"), encode.execute(b""), SYNC)) == "2CZI"
    assert endings(script) == [Ending.COMMITTED]


def test_a_client_that_flushes_between_bind_and_execute_is_held_and_answered() -> None:
    script = Script(answers=[True])
    first = encode.parse(b"", WRITE) + encode.bind(b"p", b"") + encode.describe(b"P", b"p") + FLUSH
    assert kinds(script.client(first)) == "12T"
    assert kinds(script.client(encode.execute(b"p"), SYNC)) == "CZI"
    assert endings(script) == [Ending.COMMITTED]


def test_a_group_is_atomic_and_its_reads_stay_guarded() -> None:
    script = Script(answers=[True, True])
    assert kinds(script.client(bound(WRITE), bound(b"SELECT 1"), bound(WRITE), bound(b"SELECT boom"), SYNC)) == (
        "12TC12TDDC12TC12TE(22012)ZI"
    )
    assert [read_only for _, _, read_only in script.server.ran] == [False, True, False, True]
    assert endings(script) == [Ending.ROLLED_BACK] * 2


def test_a_denial_discards_the_rest_of_the_group() -> None:
    script = Script(answers=[False])
    assert kinds(script.client(bound(b"SELECT 1"), bound(WRITE), bound(b"SELECT 2"), SYNC)) == "12TDDC1E(42501)ZI"
    assert script.ran == [b"SELECT 1"]
    assert kinds(script.client(bound(b"SELECT 3"), SYNC)) == "12TDDCZI"


def test_a_denial_in_a_transaction_fails_it_on_both_sides() -> None:
    script = Script(answers=[False])
    script.client(BEGIN)
    assert kinds(script.client(bound(WRITE), SYNC)) == "1E(42501)ZE"
    assert script.server.status == ord("E")
    assert kinds(script.client(bound(b"ROLLBACK"), SYNC)).endswith("CZI")


def test_an_error_at_the_hidden_commit_reaches_the_client_before_its_ready() -> None:
    script = Script(answers=[True])
    assert kinds(script.client(bound(b"UPDATE late SET a = 1"), SYNC)) == "12TCE(23503)ZI"
    assert endings(script) == [Ending.FAILED]


def test_a_pipelined_transaction_is_tracked() -> None:
    script = Script(answers=[True])
    parts = (b"BEGIN", b"SELECT 1", WRITE, b"SELECT 2", b"COMMIT")
    assert kinds(script.client(*(bound(text) for text in parts), SYNC)) == "12nC12TDDC12TC12TDDC12nCZI"
    assert [read_only for _, _, read_only in script.server.ran] == [True, False, True]
    assert endings(script) == [Ending.COMMITTED] and script.server.status == ord("I")


def test_transaction_control_after_a_write_of_the_same_pipeline_is_refused() -> None:
    script = Script(answers=[True])
    assert kinds(script.client(bound(WRITE), bound(b"COMMIT"), SYNC)) == "12TC1E(0A000)ZI"
    assert endings(script) == [Ending.ROLLED_BACK]


def test_w3_each_execute_is_a_command_of_its_own() -> None:
    script = Script(answers=[True, True])
    once = encode.bind(b"", b"s") + encode.execute(b"")
    script.client(encode.parse(b"s", WRITE), once, once, once, SYNC)
    assert len(script.of(Held)) == 3 and len(script.ran) == 2


def test_w3_a_write_portal_that_has_run_is_not_asked_for_again() -> None:
    script = Script(answers=[True, True])
    portal = encode.parse(b"", WRITE) + encode.bind(b"p", b"") + encode.execute(b"p")
    assert kinds(script.client(portal, encode.execute(b"p"), SYNC)) == "12CE(55000)ZI"
    assert len(script.of(Held)) == 1 and endings(script) == [Ending.ROLLED_BACK]


def test_w3_transaction_control_that_has_run_is_not_run_again() -> None:
    script = Script()
    script.client(encode.query(b"BEGIN"))
    portal = encode.parse(b"", b"SAVEPOINT a") + encode.bind(b"p", b"") + encode.execute(b"p")
    assert kinds(script.client(portal, encode.execute(b"p"), SYNC)) == "12CE(55000)ZE"


def test_w3_other_values_are_another_command() -> None:
    script = Script(answers=[True, True])
    script.client(encode.parse(b"s", b"UPDATE orders SET total = $1"), SYNC)
    for value in (b"1", b"2"):
        script.client(encode.bind(b"", b"s", [value]), encode.execute(b""), SYNC)
    assert [effect.command.parameter_values for effect in script.held] == [(b"1",), (b"2",)]


def test_w3_a_parse_that_fails_does_not_replace_what_we_believe() -> None:
    script = Script(answers=[True])
    script.client(encode.parse(b"s", WRITE), SYNC)
    assert "E(42601)" in kinds(script.client(encode.parse(b"s", b"SELECT 1"), SYNC))
    script.client(encode.bind(b"", b"s"), encode.execute(b""), SYNC)
    assert [effect.command.text for effect in script.held] == [WRITE]


def test_w3_pipelined_groups_do_not_run_ahead_of_a_failing_parse() -> None:
    script = Script(answers=[True])
    script.client(encode.parse(b"s", WRITE), SYNC)
    script.client(encode.parse(b"s", b"SELECT 1"), SYNC, encode.bind(b"", b"s"), encode.execute(b""), SYNC)
    assert [effect.command.text for effect in script.held] == [WRITE]


def test_w3_the_unnamed_statement_is_looked_up_by_position() -> None:
    script = Script(answers=[False])
    script.client(bound(b"SELECT 1"), bound(WRITE), SYNC)
    script.client(bound(b"SELECT 2"), SYNC, encode.query(b"SELECT 3"))
    assert kinds(script.client(encode.bind(b"", b""), encode.execute(b""), SYNC)) == "E(26000)ZI"
    assert WRITE not in script.ran


def test_w3_a_close_and_a_new_parse_change_the_text() -> None:
    script = Script(answers=[True])
    script.client(encode.parse(b"s", b"SELECT 1"), encode.close(b"S", b"s"), encode.parse(b"s", WRITE), SYNC)
    script.client(encode.bind(b"", b"s"), encode.execute(b""), SYNC)
    assert [effect.command.text for effect in script.held] == [WRITE]


@pytest.mark.parametrize("reset", [b"DISCARD ALL", b"DEALLOCATE ALL"])
def test_w3_a_reset_drops_every_statement_we_believed_in(reset: bytes) -> None:
    script = Script()
    script.client(encode.parse(b"s", b"SELECT 1"), SYNC, encode.query(reset))
    assert kinds(script.client(encode.bind(b"", b"s"), SYNC)) == "E(26000)ZI"


def test_w3_what_sql_prepared_or_declared_is_unknown_here() -> None:
    script = Script()
    script.client(encode.query(b"PREPARE x AS SELECT 1"))
    assert kinds(script.client(encode.bind(b"", b"x"), encode.execute(b""), SYNC)) == "E(26000)ZI"
    assert kinds(script.client(encode.execute(b"c"), SYNC)) == "E(34000)ZI"


def test_g7_a_suspended_portal_goes_on_under_the_guard() -> None:
    script = Script()
    script.client(BEGIN, encode.parse(b"", b"SELECT 1"), encode.bind(b"p", b""), encode.execute(b"p", 1), SYNC)
    script.client(encode.execute(b"p", 1), SYNC)
    assert [read_only for _, _, read_only in script.server.ran] == [True, True]


@pytest.mark.parametrize("message", [
    encode.parse(b"_tk0", b"SELECT 1"), encode.bind(b"_TK0", b"s"), encode.close(b"S", b"_tk0123456789q"),
    encode.describe(b"S", b"_tk0"),
])  # fmt: skip
def test_g4_names_of_ours_cannot_be_used(message: bytes) -> None:
    script = Script()
    script.client(encode.parse(b"s", b"SELECT 1"), SYNC)
    assert kinds(script.client(message, SYNC)) == "E(42939)ZI"


def test_a_denied_text_is_not_even_parsed() -> None:
    script = Script(TestDoor(READS_ONLY))
    assert kinds(script.client(bound(WRITE), SYNC)) == "E(42501)ZI"
    assert WRITE not in script.sent


def test_a_query_out_of_turn_ends_the_group_first() -> None:
    script = Script(answers=[True])
    assert kinds(script.client(bound(WRITE), encode.query(b"SELECT 1"))) == "12TCDDCZI"
    assert endings(script) == [Ending.COMMITTED]


def test_w2_copy_data_and_function_calls_in_a_group() -> None:
    script = Script()
    assert kinds(script.client(bound(b"SELECT 1"), encode.message(b"F", b"\0" * 8))) == "12TDDCE(0A000)ZI"
    assert "E(08P01)" in kinds(script.client(bound(b"SELECT 1"), encode.message(b"d", b"x")))
    assert script.of(Terminate)


COPY = b"COPY orders FROM STDIN"
DATA = encode.message(b"d", b"secret\t1\n")
DONE = encode.message(b"c", b"")


@pytest.mark.parametrize("end", [DONE, encode.message(b"f", b"no\0"), b""], ids=["done", "fail", "nothing"])
def test_w2_data_of_a_copy_that_was_refused_are_dropped_and_the_session_goes_on(end: bytes) -> None:
    script = Script(TestDoor(READS_ONLY))
    assert kinds(script.client(encode.query(COPY), DATA, DATA, end)) == "E(42501)ZI"
    assert kinds(script.client(encode.query(b"SELECT 1"))) == "DDCZI"
    assert b"secret" not in script.sent and b"COPY" not in script.sent


@pytest.mark.parametrize("before_sync", [True, False])
def test_w2_data_of_a_copy_refused_in_a_group_are_dropped(before_sync: bool) -> None:
    script = Script(TestDoor(READS_ONLY))
    sent = (DATA, DONE, SYNC) if before_sync else (SYNC, DATA, DONE)
    assert kinds(script.client(bound(COPY), *sent)) == "E(42501)ZI"
    assert kinds(script.client(bound(b"SELECT 1"), SYNC)) == "12TDDCZI"
    assert b"secret" not in script.sent


def test_w2_data_after_the_end_of_a_refused_copy_or_the_next_command_end_the_session() -> None:
    for after in ((DONE, DATA), (encode.query(b"SELECT 1"), DATA), (DONE, encode.query(b"SELECT 1"), DONE)):
        script = Script(TestDoor(READS_ONLY))
        assert "E(08P01)" in kinds(script.client(encode.query(COPY), *after))
        assert script.of(Terminate) and b"secret" not in script.sent


def test_what_a_client_makes_us_keep_is_bounded() -> None:
    script = Script(limits=SessionLimits(statements=2, portals=2))
    assert kinds(script.client(*(encode.parse(b"%d" % at, b"SELECT 1") for at in range(3)), SYNC)) == "11E(54000)ZI"
    portals = (encode.bind(b"%d" % at, b"1") for at in range(3))
    assert kinds(script.client(*portals, SYNC)) == "22E(54000)ZI"


def test_unresolved_types_are_asked_of_the_server() -> None:
    script = Script(answers=[True])
    sql = b"UPDATE orders SET total = $1"
    script.client(encode.parse(b"", sql), encode.bind(b"", b"", [b"\0"], [1]), encode.execute(b""), SYNC)
    (held,) = script.held
    assert (
        isinstance(held, Held)
        and held.types == ()
        and held.command.parameter_types == ()
        and held.command.parameter_formats == (1,)
    )


def test_w4_a_row_limit_that_means_nothing_is_left_out_and_one_that_does_closes_the_portal() -> None:
    update = encode.parse(b"", b"UPDATE orders SET total = 1") + encode.bind(b"", b"", [])
    run = Script(answers=[True])
    assert "C" in kinds(run.client(update + encode.execute(b"", 1) + SYNC))
    assert encode.execute(b"") in run.sent and encode.execute(b"", 1) not in run.sent
    run = Script(answers=[True])
    held = encode.parse(b"", b"SELECT id FROM orders FOR UPDATE") + encode.bind(b"p", b"", [])
    assert kinds(run.client(held + encode.execute(b"p", 1) + SYNC)) == "12DDCZI"
    assert encode.execute(b"p", 1) + encode.close(b"P", b"p") in run.sent
    run = Script(answers=[True])
    run.client(encode.query(b"BEGIN"), held + encode.execute(b"p", 1) + SYNC)
    assert kinds(run.client(encode.execute(b"p", 1) + SYNC)) == "E(55000)ZE"
    assert len(run.held) == 1
