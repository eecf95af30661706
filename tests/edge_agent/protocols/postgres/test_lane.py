"""What goes by the lane: the same as the general way, and only where it may."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.protocols.postgres import encode
from edge_agent.protocols.postgres.events import Terminate
from edge_agent.protocols.postgres.pipeline import SessionLimits
from tests.edge_agent.protocols.postgres.doors import READS_ONLY, TestDoor
from tests.edge_agent.protocols.postgres.script import SYNC, Script

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


def goes_by_the_lane(script: Script, data: bytes) -> bool:
    """Whether a chunk goes by the lane; when not, nothing was done with it."""
    core = script.session._core
    before = len(core.statements), len(core.portals), len(core.records)
    found = script.session.passes(data) is not None
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


def test_it_is_left_alone_in_a_transaction_and_for_what_is_no_read() -> None:
    script = Script(answers=[True])
    assert not goes_by_the_lane(script, encode.parse(b"", WRITE) + encode.bind(b"", b"") + EXECUTE + SYNC)
    assert not goes_by_the_lane(script, encode.parse(b"", READ) + encode.bind(b"p", b"") + EXECUTE + SYNC)
    assert not goes_by_the_lane(script, encode.parse(b"", READ) + encode.bind(b"", b"t") + EXECUTE + SYNC)
    script.client(encode.query(b"BEGIN"))
    assert not goes_by_the_lane(script, encode.parse(b"", READ) + encode.bind(b"", b"", (b"1",)) + EXECUTE + SYNC)


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
