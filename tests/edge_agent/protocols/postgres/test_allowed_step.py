"""Writes that policy allows in the caller's own transaction: one flight each, no COMMIT before the disk has them."""

from __future__ import annotations

import pytest

from edge_agent.gate import World
from edge_agent.protocols.postgres import encode
from edge_agent.protocols.postgres.events import Allowed, Ending, KeepRecords, Outcome, Terminate, Written
from tests.edge_agent.protocols.postgres.doors import ALLOW_ALL, SENSITIVE, TestDoor
from tests.edge_agent.protocols.postgres.script import SYNC, Script, bound, kinds
from twokeys.policy import Policies

WRITE, READ = b"UPDATE orders SET total = 1", b"SELECT 1"
BEGIN, COMMIT = encode.query(b"BEGIN"), encode.query(b"COMMIT")
WRITES = '@id("writes") permit(principal, action in [Action::"read", Action::"write"], resource);'


class Counting(Script):
    trips = 0

    def _server_gets(self, out: bytes, split: int = 0) -> None:
        self.trips += bool(out)
        super()._server_gets(out, split)


def begun(*, path_reported: bool = True, door: TestDoor | None = None) -> Counting:
    script = Counting(door or TestDoor(WRITES), path_reported=path_reported, answers=[])
    script.client(encode.parse(b"w", WRITE), SYNC)
    script.client(BEGIN)
    script.trips, script.sent = 0, b""
    return script


def endings(script: Script) -> list[tuple[Ending, int | None, str]]:
    return [(effect.ending, effect.rows, effect.xid) for effect in script.of(Outcome) if isinstance(effect, Outcome)]


def written(script: Script) -> list[bytes]:
    return [record.command.text for record in script.written]


SIMPLE = encode.query(WRITE)
PREPARED = encode.bind(b"", b"w") + encode.execute(b"") + SYNC


@pytest.mark.parametrize("message", [SIMPLE, PREPARED], ids=["simple", "prepared"])
def test_each_is_one_round_trip_and_its_outcome_is_known_at_commit(message: bytes) -> None:
    script = begun()
    for trips in (1, 2, 3):
        assert kinds(script.client(message)).endswith("CZT")
        assert script.trips == trips
    assert [read_only for _, _, read_only in script.server.ran] == [False] * 3
    assert written(script) == [WRITE] * 3 and not endings(script) and not script.of(Allowed)
    assert kinds(script.client(COMMIT)) == "CZI"
    assert endings(script) == [(Ending.COMMITTED, 3, "77")] * 3
    assert script.trips == 4
    assert len(script.of(KeepRecords)) == 1


def test_its_record_comes_before_its_bytes() -> None:
    script = begun()
    script.session.client_bytes(SIMPLE)
    (record,) = script.session.take_records()
    assert isinstance(record, Written) and record.command.text == WRITE
    assert SIMPLE in script.session.take_to_server()


@pytest.mark.parametrize("extended", [False, True])
def test_no_commit_before_its_records_are_on_disk(extended: bool) -> None:
    script = begun()
    script.disk = False
    script.client(SIMPLE)
    script.sent = b""
    script.client(bound(b"COMMIT") + SYNC if extended else COMMIT)
    assert script.of(KeepRecords) and not script.sent
    (*_, record) = script.records
    assert (record.text, record.xid) == (b"COMMIT", "77")
    script.client(encode.query(READ))
    assert not script.sent and not endings(script)
    script.session.on_disk()
    script.run()
    assert script.sent.startswith(COMMIT)
    assert endings(script) == [(Ending.COMMITTED, 3, "77")]
    assert script.ran[-1] == READ


@pytest.mark.parametrize("how", ["hang-up", "journal", "server"])
def test_what_ends_while_it_waits_for_the_disk_is_not_committed(how: str) -> None:
    script = begun()
    script.disk = False
    script.client(SIMPLE)
    script.client(COMMIT)
    script.sent = b""
    match how:
        case "hang-up":
            script.session.client_gone()
        case "journal":
            script.session.end("the journal can't be written")
        case "server":
            script.session.server_gone()
    script.run()
    script.session.on_disk()
    script.run()
    assert script.of(Terminate) and script.session.over
    assert COMMIT not in script.sent
    assert endings(script) == [(Ending.ROLLED_BACK, 3, "77")]


def test_a_cancel_while_it_waits_for_the_disk_changes_nothing() -> None:
    script = begun()
    script.disk = False
    script.client(SIMPLE)
    script.client(COMMIT)
    script.session.cancel()
    script.session.on_disk()
    script.run()
    assert endings(script) == [(Ending.COMMITTED, 3, "77")]


def test_a_write_that_fails_says_why_and_nothing_is_waited_for_at_its_end() -> None:
    script = begun()
    assert kinds(script.client(encode.query(b"UPDATE boom SET a = 1"))) == "E(22012)ZE"
    assert endings(script) == [(Ending.FAILED, None, "")]
    script.client(encode.query(b"ROLLBACK"))
    assert script.server.status == ord("I") and not script.of(KeepRecords)


def test_savepoints_and_rollbacks_decide_its_outcome() -> None:
    script = begun()
    for text in (WRITE, b"SAVEPOINT a", WRITE, b"ROLLBACK TO a", WRITE, b"ROLLBACK"):
        script.client(encode.query(text))
    assert endings(script) == [(Ending.ROLLED_BACK, 3, "77")] * 3


def test_w3_its_statement_is_parsed_anew() -> None:
    script = begun()
    script.server.statements[b"w"] = b"DELETE FROM orders"
    script.client(PREPARED)
    assert script.ran == [WRITE]


def test_it_leaves_the_guard_and_the_next_read_has_one_again() -> None:
    script = begun()
    for text in (READ, WRITE, READ, WRITE):
        script.client(encode.query(text))
    assert [read_only for _, _, read_only in script.server.ran] == [True, False, True, False]
    assert script.trips == 4


def test_a_guard_that_cannot_be_left_runs_nothing() -> None:
    script = begun()
    script.server.savepoints.clear()
    script.client(PREPARED)
    assert script.ran == [] and script.server.status == ord("E")
    assert [ending for ending, _, _ in endings(script)] == [Ending.FAILED]


class Moved(TestDoor):
    """Of a session whose search_path another answer of the same group has moved."""

    def confirm(self, search_path: str) -> bool:
        return search_path != "evil"


def test_w6_a_path_that_moved_is_seen_before_it() -> None:
    script = begun(door=Moved(WRITES))
    # The server's report comes with the answer of what is before it in the same group.
    script.session.client_bytes(encode.parse(b"r", READ) + PREPARED)
    script.session.take_to_server()
    script.session.server_bytes(encode.PARSE_COMPLETE_MESSAGE)
    script.session.server_bytes(encode.parameter_status("search_path", "evil") + encode.ready_for_query(ord("T")))
    script.run()
    # The long way, which asks the server.
    assert script.of(Allowed) and not written(script)


def test_w6_policy_is_asked_for_each() -> None:
    door = TestDoor(WRITES)
    script = begun(door=door)
    script.client(SIMPLE)
    door.gate.enter(World("edge-1", 2, Policies("", 2), {}))
    assert b"42501" in script.client(SIMPLE)
    assert script.ran == [WRITE]


@pytest.mark.parametrize("text", [
    b"CREATE TABLE a (b int)", b"SELECT lo_unlink(1)", b"COPY orders FROM STDIN", b"TRUNCATE orders",
    b"INSERT INTO orders VALUES (setval('s', 1))", b"UPDATE orders SET total = 1; DELETE FROM orders", b"NOTIFY a",
])  # fmt: skip
def test_what_is_more_than_a_write_is_on_disk_before_it_runs(text: bytes) -> None:
    script = begun(door=TestDoor(ALLOW_ALL))
    script.client(encode.query(text))
    assert not written(script)


def test_a_sensitive_read_is_on_disk_before_it_runs() -> None:
    script = begun(door=TestDoor(SENSITIVE))
    script.client(encode.query(READ))
    assert script.of(Allowed) and not written(script)


def test_by_itself_and_where_no_path_is_reported_it_waits_for_the_disk() -> None:
    script = Script(TestDoor(WRITES), path_reported=True, answers=[])
    script.client(SIMPLE)
    older = begun(path_reported=False)
    older.client(SIMPLE)
    for each in (script, older):
        assert each.of(Allowed) and not written(each)
