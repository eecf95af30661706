"""Simple Queries through the session core, as scripts."""

from __future__ import annotations

from edge_agent.protocols.postgres import encode
from edge_agent.protocols.postgres.events import Declined, Deny, Ending, Forwarded, Held, Outcome, Terminate, Withdrawn
from edge_agent.protocols.postgres.pipeline import SessionLimits
from tests.edge_agent.protocols.postgres.script import GUARD_BYTES, Script, kinds

READ = encode.query(b"SELECT 1")
WRITE = encode.query(b"UPDATE orders SET total = 1")


def ending(script: Script, at: int = 0) -> Outcome:
    found = script.of(Outcome)[at]
    assert isinstance(found, Outcome)
    return found


def test_a_read_is_forwarded_as_it_is_and_recorded() -> None:
    script = Script()
    script.session.client_bytes(READ)
    assert script.session.take_to_server() == READ
    (record,) = script.session.take_records()
    assert isinstance(record, Forwarded)
    assert (record.text, record.bind, script.session.take_effects()) == (b"SELECT 1", None, [])


def test_a_held_write_reaches_the_server_only_after_its_pass() -> None:
    script = Script()
    assert script.client(WRITE) == b""
    (held,) = script.of(Held)
    assert isinstance(held, Held) and not held.in_transaction and WRITE not in script.sent
    assert script.session.prepare(held.ticket)
    script.run()
    assert WRITE not in script.sent
    assert script.session.forward(held.ticket, script.door.approve(held.judgement))
    script.run()
    assert script.sent.count(WRITE) == 1 and kinds(script.told) == "CZI"
    assert (ending(script).ending, ending(script).rows) == (Ending.COMMITTED, 3)
    assert script.server.ran == [("simple", b"UPDATE orders SET total = 1", False)] and script.server.read_only


def test_w3_a_pass_forwards_once() -> None:
    script = Script()
    script.client(WRITE)
    (held,) = script.held
    permission = script.door.approve(held.judgement)
    assert script.session.forward(held.ticket, permission)
    assert not script.session.forward(held.ticket, permission)
    script.run()
    script.client(WRITE)
    assert script.session.forward(script.held[1].ticket, permission)
    script.run()
    assert script.sent.count(WRITE) == 1 and script.session.over
    assert ending(script, 1).ending is Ending.ROLLED_BACK


def test_a_denial_leaves_the_session_usable() -> None:
    script = Script(answers=[False])
    assert kinds(script.client(WRITE)) == "E(42501)ZI"
    assert kinds(script.client(READ)) == "DDCZI"
    assert script.ran == [b"SELECT 1"]


def test_a_denial_in_a_transaction_fails_it_on_both_sides() -> None:
    script = Script(answers=[False])
    script.client(encode.query(b"BEGIN"))
    assert kinds(script.client(WRITE)) == "E(42501)ZE"
    assert script.server.status == ord("E")
    assert kinds(script.client(READ)) == "E(25P02)ZE"
    assert kinds(script.client(encode.query(b"ROLLBACK"))) == "CZI"


def test_reads_of_a_lifted_transaction_run_under_the_guard() -> None:
    script = Script(answers=[True])
    script.client(encode.query(b"BEGIN"))
    script.client(READ)
    script.client(WRITE)
    script.client(READ)
    assert [read_only for _, _, read_only in script.server.ran] == [True, False, True]
    assert kinds(script.client(encode.query(b"COMMIT"))) == "CZI"
    assert ending(script).ending is Ending.COMMITTED


def test_an_error_at_commit_takes_the_place_of_the_tag() -> None:
    script = Script(answers=[True])
    assert kinds(script.client(encode.query(b"UPDATE orders SET late = 1"))) == "E(23503)ZI"
    assert (ending(script).ending, ending(script).sqlstate) == (Ending.FAILED, "23503")


def test_a_statements_own_error_rolls_our_transaction_back() -> None:
    script = Script(answers=[True])
    assert kinds(script.client(encode.query(b"UPDATE boom SET a = 1"))) == "E(22012)ZI"
    assert ending(script).ending is Ending.FAILED


def test_what_cannot_run_in_a_transaction_is_bracketed_and_the_report_hidden() -> None:
    script = Script(answers=[True])
    assert kinds(script.client(encode.query(b"VACUUM orders"))) == "DDCZI"
    assert script.server.default_read_only and not script.session.over
    assert ending(script).ending is Ending.COMMITTED


def test_bytes_that_come_while_held_are_kept_up_to_the_limit() -> None:
    script = Script(limits=SessionLimits(waiting_bytes=64))
    script.client(WRITE)
    wanted = [script.session.wants_client_bytes]
    script.client(READ * 5)
    wanted.append(script.session.wants_client_bytes)
    assert wanted == [True, False] and READ not in script.sent
    assert script.session.deny(script.held[0].ticket, Deny("42501", "no"))
    script.run()
    assert kinds(script.told) == "E(42501)ZI" + "DDCZI" * 5


def test_a_notice_and_a_heartbeat_reach_the_client_while_held() -> None:
    script = Script()
    script.client(WRITE)
    script.session.notice("held")
    script.session.heartbeat()
    script.run()
    assert kinds(script.told) == "NS"


def test_a_cancel_withdraws_and_a_late_pass_is_not_used() -> None:
    script = Script()
    script.client(WRITE)
    (held,) = script.held
    script.session.prepare(held.ticket)
    script.session.cancel()
    assert not script.session.forward(held.ticket, script.door.approve(held.judgement))
    script.run()
    assert kinds(script.told) == "E(57014)ZI" and WRITE not in script.sent
    assert script.of(Withdrawn) and not script.of(Outcome) and script.server.status == ord("I")


def test_a_hang_up_while_held_withdraws_and_ends() -> None:
    script = Script()
    script.client(WRITE)
    script.session.client_gone()
    script.run()
    assert script.of(Withdrawn) and script.of(Terminate) and script.server.over and WRITE not in script.sent


def test_a_hang_up_after_the_forward_is_seen_to_its_outcome() -> None:
    script = Script()
    script.client(WRITE)
    (held,) = script.held
    script.session.prepare(held.ticket)
    script.run()
    script.session.forward(held.ticket, script.door.approve(held.judgement))
    script.session.client_gone()
    over = [script.session.over]
    script.run()
    assert ending(script).ending is Ending.COMMITTED and ending(script).xid == "77"
    assert [*over, script.session.over] == [False, True] and script.told == b""


def test_a_server_lost_in_commit_leaves_the_outcome_unknown_with_its_xid() -> None:
    script = Script()
    script.client(WRITE)
    (held,) = script.held
    script.session.prepare(held.ticket)
    script.run()
    script.session.forward(held.ticket, script.door.approve(held.judgement))
    answer = script.server.feed(script.session.take_to_server())
    script.session.server_bytes(answer)
    assert b"COMMIT" in script.session.take_to_server()
    script.session.server_gone()
    script.run()
    assert (ending(script).ending, ending(script).xid) == (Ending.UNKNOWN, "77")


def test_a_server_lost_before_commit_has_rolled_back() -> None:
    script = Script(answers=[True])
    script.client(encode.query(b"BEGIN"))
    script.client(WRITE)
    script.session.server_gone()
    script.run()
    assert ending(script).ending is Ending.ROLLED_BACK
    assert kinds(script.told).endswith("E(08006)")


def test_what_cannot_be_read_ends_the_session_unforwarded() -> None:
    for bytes_ in (b"?\0\0\0\4", b"Q\0\0\0\3", b"Q\x7f\xff\xff\xff", encode.message(b"d", b"x"), b"c\0\0\0\4"):
        script = Script()
        assert kinds(script.client(bytes_)) == "E(08P01)"
        assert script.session.over and script.server.over and script.ran == []


def test_a_function_call_is_refused_and_the_session_goes_on() -> None:
    script = Script()
    assert kinds(script.client(encode.message(b"F", b"\0" * 10))) == "E(0A000)ZI"
    assert kinds(script.client(READ)) == "DDCZI" and script.of(Declined)


def test_an_alarm_ends_the_session_and_forwards_nothing_more() -> None:
    for name, value in (
        ("default_transaction_read_only", "off"), ("standard_conforming_strings", "off"), ("client_encoding", "GBK"),
    ):  # fmt: skip
        script = Script()
        script.session.client_bytes(READ)
        script.session.take_to_server()
        script.session.server_bytes(encode.parameter_status(name, value) + encode.ready_for_query(ord("I")))
        script.session.client_bytes(READ)
        assert script.session.take_to_server() == encode.TERMINATE_MESSAGE
        (ended,) = [effect for effect in script.session.take_effects() if isinstance(effect, Terminate)]
        assert ended.alarm


def test_a_transaction_that_nothing_was_approved_in_commits_read_only() -> None:
    script = Script()
    script.client(encode.query(b"BEGIN"))
    before = len(script.sent)
    script.client(encode.query(b"COMMIT"))
    sent = script.sent[before:]
    assert sent.index(b"RELEASE SAVEPOINT") < sent.index(b"read_only = on") < sent.index(b"COMMIT")
    assert GUARD_BYTES not in script.told


def test_savepoints_decide_the_outcome() -> None:
    script = Script(answers=[True] * 3)
    for text in (b"BEGIN", b"UPDATE a SET b = 1", b"SAVEPOINT s", b"UPDATE a SET b = 2", b"ROLLBACK TO s",
                 b"UPDATE a SET b = 3", b"ROLLBACK"):  # fmt: skip
        script.client(encode.query(text))
    assert [(ending(script, at).ticket, ending(script, at).ending) for at in range(3)] == [
        (2, Ending.ROLLED_BACK), (1, Ending.ROLLED_BACK), (3, Ending.ROLLED_BACK),
    ]  # fmt: skip
