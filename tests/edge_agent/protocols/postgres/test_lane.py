"""What goes by the lane: the same as the general way, and only where it may."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.gate import Standing, World
from edge_agent.protocols.postgres import encode
from edge_agent.protocols.postgres.events import Ending, ForwardCancel, Outcome, Terminate
from edge_agent.protocols.postgres.framing import Splitter
from edge_agent.protocols.postgres.limits import WireLimits
from edge_agent.protocols.postgres.passage import Passage
from edge_agent.protocols.postgres.pipeline import SessionLimits
from tests.edge_agent.protocols.postgres.doors import READS_ONLY, TestDoor
from tests.edge_agent.protocols.postgres.script import SYNC, Script, kinds
from twokeys.policy import Policies

READ_ONE, READ_TWO = b"SELECT 1", b"SELECT 2"
READ, WRITE = b"SELECT $1", b"UPDATE orders SET total = 1"
DESCRIBE, EXECUTE = encode.describe(b"P", b""), encode.execute(b"")
TEXTS = [READ, WRITE, b"SELECT boom", b"SELECT trap", b"SELECT unparsable", b"BEGIN", b"COMMIT", b"nonsense", b""]
NAMES = [b"", b"s", b"t"]

groups = st.one_of(
    st.builds(
        lambda name, text, value, described: [
            encode.parse(name, text), encode.bind(b"", name, (value,)), *([DESCRIBE] * described), EXECUTE, SYNC,
        ],
        st.sampled_from(NAMES), st.sampled_from(TEXTS), st.binary(max_size=4), st.booleans(),
    ),
    st.builds(
        lambda name, value, described: [encode.bind(b"", name, (value,)), *([DESCRIBE] * described), EXECUTE, SYNC],
        st.sampled_from(NAMES), st.binary(max_size=4), st.booleans(),
    ),
    st.builds(lambda name, text: [encode.parse(name, text), SYNC], st.sampled_from(NAMES), st.sampled_from(TEXTS)),
    st.builds(lambda text: [encode.query(text)], st.sampled_from(TEXTS)),
    st.builds(lambda portal, name: [encode.bind(portal, name), encode.execute(portal), SYNC],
              st.sampled_from([b"", b"p"]), st.sampled_from(NAMES)),
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.lists(groups, min_size=1, max_size=8), st.sampled_from([0, 0, 3, 7, 20]))
def test_the_lane_and_the_general_way_do_the_same(sent: list[list[bytes]], split: int) -> None:
    lane, general = Script(TestDoor(READS_ONLY)), Script(TestDoor(READS_ONLY), lane=False)
    for messages in sent:
        told = len(general.told)
        for message in messages:
            general.session.client_bytes(message)
        general.run()
        # One chunk is sent; the server's answers come in pieces.
        before = len(lane.told)
        lane._client(b"".join(messages))
        lane.run(split)
        assert lane.told[before:] == general.told[told:]
        assert lane.records == general.records
    assert lane.server.ran == general.server.ran
    assert lane.sent == general.sent
    assert [type(effect) for effect in lane.effects] == [type(effect) for effect in general.effects]


WRITES = '@id("writes") permit(principal, action in [Action::"read", Action::"write"], resource);'


@settings(max_examples=300, deadline=None)
@given(st.lists(groups, min_size=1, max_size=10), st.sampled_from([0, 0, 3, 7, 20]))
def test_allowed_writes_by_the_lane_and_the_general_way_do_the_same(sent: list[list[bytes]], split: int) -> None:
    begin = [encode.query(b"BEGIN")]
    lane, general = (Script(TestDoor(WRITES), path_reported=True, answers=[], lane=lane) for lane in (True, False))
    for messages in [begin, *sent, [encode.query(b"COMMIT")]]:
        told, before = len(general.told), len(lane.told)
        for message in messages:
            general.session.client_bytes(message)
        general.run()
        lane._client(b"".join(messages))
        lane.run(split)
        assert lane.told[before:] == general.told[told:]
        assert lane.records == general.records
        assert lane.written == general.written
        assert lane.server.ran == general.server.ran
        assert lane.of(Outcome) == general.of(Outcome)
    assert [type(effect) for effect in lane.effects] == [type(effect) for effect in general.effects]


def goes_by_the_lane(script: Script, data: bytes) -> bool:
    """Whether a chunk goes by the lane; when not, nothing was done with it."""
    core = script.session._core
    before = len(core.statements), len(core.portals), len(core.records)
    found = script.session.lane.take(data) is not None
    assert found or (len(core.statements), len(core.portals), len(core.records)) == before
    return found


@pytest.mark.parametrize("described", [b"", DESCRIBE])
def test_a_prepared_read_goes_by_the_lane_and_is_recorded(described: bytes) -> None:
    script = Script()
    script.client(encode.parse(b"s", READ), SYNC)
    bind = encode.bind(b"", b"s", (b"7",))
    messages = bind + described + EXECUTE + SYNC
    before = len(script.sent)
    script.client(messages)
    assert script.passed == [messages]
    assert script.sent[before:] == messages
    assert (script.records[-1].text, script.records[-1].bind) == (READ, bind)


def test_an_unnamed_read_goes_by_the_lane() -> None:
    messages = encode.parse(b"", READ) + encode.bind(b"", b"", (b"7",)) + DESCRIBE + EXECUTE + SYNC
    script = Script()
    script.client(messages)
    assert script.passed == [messages]
    assert script.sent == messages


def test_it_is_left_alone_for_what_is_no_read() -> None:
    script = Script(answers=[True])
    assert not goes_by_the_lane(script, encode.parse(b"", WRITE) + encode.bind(b"", b"") + EXECUTE + SYNC)
    assert not goes_by_the_lane(script, encode.parse(b"", READ) + encode.bind(b"p", b"") + EXECUTE + SYNC)
    assert not goes_by_the_lane(script, encode.parse(b"", READ) + encode.bind(b"", b"t") + EXECUTE + SYNC)


def test_p3_a_read_in_a_transaction_without_a_guard_has_one_opened_before_it() -> None:
    script = Script()
    script.client(encode.query(b"BEGIN /* without a guard */"))
    messages = encode.parse(b"", READ) + encode.bind(b"", b"", (b"1",)) + EXECUTE + SYNC
    before = len(script.sent)
    assert kinds(script.client(messages)) == "12DDCZT"
    assert script.passed == [messages]
    assert script.sent[before:] == script.session._core.hidden.guard_open + messages
    assert script.server.ran[-1][2] is True


def test_a_group_whose_policy_moved_is_left_alone() -> None:
    script = Script(TestDoor(policies=""))
    assert not goes_by_the_lane(script, encode.parse(b"", READ) + encode.bind(b"", b"", (b"1",)) + EXECUTE + SYNC)


def test_w3_a_statement_that_code_may_have_replaced_is_parsed_anew() -> None:
    script = Script(answers=[True])
    script.client(encode.parse(b"s", READ), SYNC)
    script.session._core.age += 1
    before = len(script.sent)
    script.client(encode.bind(b"", b"s", (b"1",)) + EXECUTE + SYNC)
    assert encode.parse(b"s", READ) in script.sent[before:]


def test_limits_hold_for_it_too() -> None:
    script = Script(limits=SessionLimits(portal_bytes=64))
    script.client(encode.parse(b"s", READ), SYNC)
    told = script.client(encode.bind(b"", b"s", (b"x" * 100,)) + EXECUTE + SYNC)
    assert b"too many portals" in told


@pytest.mark.parametrize(
    "bind",
    [b"B\0\0\0\x04", b"B\0\0\0\x05\0", b"B\0\0\0\x06\0s", b"B\0\0\0\x05p"],
    ids=["no name", "no statement", "no end", "no portal"],
)
def test_a_malformed_bind_ends_the_session_as_before(bind: bytes) -> None:
    script = Script(TestDoor())
    script.client(encode.parse(b"s", READ), SYNC)
    before = len(script.server.ran)
    script.client(bind + EXECUTE + SYNC)
    assert script.of(Terminate)
    assert len(script.server.ran) == before


def asked(script: Script, *data: bytes) -> Passage | None:
    """Show a chunk to the lane, and have the server answer nothing yet."""
    return script.session.lane.take(b"".join(data))


def test_what_comes_while_an_answer_is_due_waits_for_it() -> None:
    script = Script()
    first, second = encode.query(READ_ONE), encode.query(READ_TWO)
    assert asked(script, first) is not None
    assert asked(script, second) is None
    script.session.client_bytes(second)
    assert script.session.take_to_server() == b""
    script._server_gets(first)
    script.run()
    assert script.ran == [READ_ONE, READ_TWO]


def test_a_cancel_while_an_answer_is_due_is_passed_on() -> None:
    script = Script()
    assert asked(script, encode.query(READ_ONE)) is not None
    script.session.cancel()
    assert [type(effect) for effect in script.session.take_effects()] == [ForwardCancel]


def test_a_hang_up_while_an_answer_is_due_ends_the_session() -> None:
    script = Script()
    assert asked(script, encode.query(READ_ONE)) is not None
    script.session.client_gone()
    assert script.session.over
    assert script.session.lane.take(encode.query(READ_TWO)) is None


def test_a_journal_that_fails_ends_the_session_and_nothing_follows() -> None:
    script = Script()
    assert asked(script, encode.query(READ_ONE)) is not None
    script.session.end("the journal can't be written")
    assert script.session.take_to_server() == encode.TERMINATE_MESSAGE
    assert script.session.lane.take(encode.query(READ_TWO)) is None


def test_g4_a_report_that_comes_with_the_answer_is_seen() -> None:
    script = Script()
    assert asked(script, encode.query(READ_ONE)) is not None
    answer = script.server.feed(encode.query(READ_ONE))
    off = encode.parameter_status("default_transaction_read_only", "off")
    script._server(off + answer)
    (ended,) = [effect for effect in script.session.take_effects() if isinstance(effect, Terminate)]
    assert ended.alarm


@pytest.mark.parametrize("status", [b"T", b"E"])
def test_an_answer_that_ends_in_another_state_is_the_general_ways(status: bytes) -> None:
    script = Script()
    assert asked(script, encode.query(READ_ONE)) is not None
    answer = script.server.feed(encode.query(READ_ONE))[:-1] + status
    assert script.session.lane.answers(answer) is None
    script.session.server_bytes(answer)
    assert [effect.alarm for effect in script.session.take_effects() if isinstance(effect, Terminate)] == [True]


def test_a_policy_that_moved_is_asked_again() -> None:
    door = TestDoor(READS_ONLY)
    script = Script(door)
    script.client(encode.parse(b"s", READ), SYNC)
    group = encode.bind(b"", b"s", (b"1",)) + EXECUTE + SYNC
    script.client(group)
    script.client(group)
    assert script.passed == [group, group]
    door.gate.enter(World("edge-1", 2, Policies("", 2), {}))
    told = script.client(group)
    assert script.passed == [group, group]
    assert b"42501" in told


def test_a_standing_that_moved_is_asked_again() -> None:
    door = TestDoor(READS_ONLY)
    script = Script(door)
    script.client(encode.query(READ_ONE))
    door.gate.stand(Standing(reads_denied="The bundle is too old."))
    assert b"42501" in script.client(encode.query(READ_ONE))
    assert len(script.passed) == 1


def test_in_a_transaction_that_may_not_write_reads_go_by_the_lane() -> None:
    script = Script(TestDoor(READS_ONLY, may_write=False))
    script.client(encode.parse(b"s", READ), SYNC)
    script.client(encode.query(b"BEGIN"))
    group = encode.bind(b"", b"s", (b"1",)) + EXECUTE + SYNC
    script.client(group)
    script.client(encode.query(READ_ONE))
    assert script.passed == [encode.query(b"BEGIN"), group, encode.query(READ_ONE)]
    assert script.client(encode.execute(b""), SYNC)[:1] == b"E"


def test_p3_in_a_transaction_that_may_write_no_read_goes_by_the_lane_without_the_guard() -> None:
    script = Script(answers=[True])
    script.client(encode.query(b"BEGIN /* plain words alone bring the guard */"))
    hidden, read = script.session._core.hidden, encode.query(READ_ONE)
    assert asked(script, read) is not None
    assert script.session.lane.sent == hidden.guard_open + SYNC + read
    script.session.server_bytes(script.server.feed(script.session.lane.sent))
    script.run()
    assert asked(script, read) is not None
    assert script.session.lane.sent == read


@pytest.mark.parametrize("first", [True, False])
@settings(deadline=None, max_examples=400)
@given(noise=st.binary(max_size=12), at=st.integers(0, 160), cut=st.integers(0, 6))
def test_an_answer_to_a_write_with_any_other_byte_is_left_to_the_general_way(
    first: bool, noise: bytes, at: int, cut: int
) -> None:
    script = Script(TestDoor(WRITES), path_reported=True, answers=[])
    script.client(encode.query(b"BEGIN"))
    if not first:
        script.client(encode.query(WRITE))
    taken = script.session.lane.take(encode.query(WRITE))
    assert taken is not None and taken.writes
    answer = script.server.feed(script.session.lane.sent)
    changed = answer[:at] + noise + answer[at + cut :]
    writes = script.session._core.transaction
    assert writes is not None
    before = len(writes.writes)
    shown = script.session.lane.answers(changed)
    assert len(writes.writes) == before + (shown is not None)
    if shown is not None:
        splitter = Splitter(WireLimits().server_table)
        assert "".join(chr(kind) for kind, _, _ in splitter.feed(shown)).lstrip("D") == "CZ"
        assert not splitter.pending


@pytest.mark.parametrize("way", ["simple", "prepared", "unnamed"])
def test_w3_an_allowed_write_by_the_lane_is_parsed_anew_outside_the_guard(way: str) -> None:
    script = Script(TestDoor(WRITES), path_reported=True, answers=[])
    script.client(encode.parse(b"s", WRITE), SYNC)
    script.client(encode.query(b"BEGIN"))
    bind = encode.bind(b"", b"s" if way == "prepared" else b"")
    chunk = encode.query(WRITE) if way == "simple" else bind + DESCRIBE + EXECUTE + SYNC
    chunk = encode.parse(b"", WRITE) + chunk if way == "unnamed" else chunk
    before, hidden = len(script.sent), script.session._core.hidden
    shown = {"simple": "CZT", "prepared": "2TCZT", "unnamed": "12TCZT"}
    assert kinds(script.client(chunk)) == shown[way]
    assert script.passed[-1] == chunk
    front = {"simple": SYNC, "unnamed": b"", "prepared": encode.close(b"S", b"s") + encode.parse(b"s", WRITE)}
    group = chunk if way == "simple" else chunk.removesuffix(SYNC)
    assert script.sent[before:] == hidden.guard_close + front[way] + group + hidden.assigned_xid + SYNC
    assert script.server.ran[-1] == ("simple" if way == "simple" else "extended", WRITE, False)
    transaction = script.session._core.transaction
    assert transaction is not None and transaction.xid == "77" and transaction.unkept
    # And what reads next is under the guard again.
    script.client(encode.query(READ_ONE))
    assert script.server.ran[-1] == ("simple", READ_ONE, True)


def test_a10_a_write_by_the_lane_whose_answer_never_comes_is_told_as_rolled_back() -> None:
    for gone in ("server_gone", "client_gone", "end"):
        script = Script(TestDoor(WRITES), path_reported=True, answers=[])
        script.client(encode.query(b"BEGIN"))
        assert script.session.lane.take(encode.query(WRITE)) is not None
        getattr(script.session, gone)(*(("it stops",) if gone == "end" else ()))
        if gone == "client_gone":
            script.session.server_gone()
        (outcome,) = (one for one in script.session.take_effects() if isinstance(one, Outcome))
        assert outcome.ending is Ending.ROLLED_BACK


@pytest.mark.parametrize(
    ("text", "path_reported", "policies"),
    [
        (WRITE, False, WRITES),
        (WRITE, True, READS_ONLY),
        (b"INSERT INTO orders VALUES (setval('s', 1))", True, WRITES),
        (b"COPY orders FROM STDIN", True, WRITES),
        (b"UPDATE orders SET total = 1; DELETE FROM orders", True, WRITES),
    ],
)
def test_other_writes_are_left_to_the_general_way(text: bytes, path_reported: bool, policies: str) -> None:
    script = Script(TestDoor(policies), path_reported=path_reported, answers=[])
    assert script.session.lane.take(encode.query(text)) is None
    script.client(encode.query(b"BEGIN"))
    assert script.session.lane.take(encode.query(text)) is None
    assert b"total = 1" not in b"".join(ran for _, ran, _ in script.server.ran)


@given(st.binary(max_size=40), st.integers(0, 60))
def test_an_answer_with_any_other_byte_is_left_to_the_general_way(noise: bytes, at: int) -> None:
    script = Script()
    assert asked(script, encode.query(READ_ONE)) is not None
    answer = script.server.feed(encode.query(READ_ONE))
    changed = answer[:at] + noise + answer[at:]
    if script.session.lane.answers(changed) is not None:
        splitter = Splitter(WireLimits().server_table)
        shown = "".join(chr(kind) for kind, _, _ in splitter.feed(changed))
        assert not splitter.pending
        assert (shown[0], set(shown[1:-2]) <= {"D"}, shown[-2:]) == ("T", True, "CZ")
