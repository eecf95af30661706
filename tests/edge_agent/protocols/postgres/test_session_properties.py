"""Any client bytes in any split: a legal session or one protocol error; nothing held runs; both paths agree."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.protocols.postgres import encode
from edge_agent.protocols.postgres.events import Outcome
from tests.edge_agent.protocols.postgres.script import SYNC, Script, bound

TEXTS = st.sampled_from([
    b"SELECT 1", b"SELECT boom", b"UPDATE a SET b = 1", b"UPDATE late SET b = 1", b"UPDATE boom SET b = 1", b"BEGIN",
    b"BEGIN READ ONLY", b"COMMIT", b"ROLLBACK", b"SAVEPOINT s", b"ROLLBACK TO s", b"RELEASE s", b"", b"unparsable",
    b"DISCARD ALL", b"VACUUM a", b"SET TRANSACTION READ WRITE", b"SET TRANSACTION READ ONLY", b"COMMIT; SELECT 1",
])  # fmt: skip
NAMES = st.sampled_from([b"", b"a", b"b"])
MESSAGES = st.one_of(
    st.builds(encode.query, TEXTS),
    st.builds(lambda text: bound(text), TEXTS),
    st.builds(lambda text: bound(text) + SYNC, TEXTS),
    st.builds(encode.parse, NAMES, TEXTS),
    st.builds(encode.bind, NAMES, NAMES),
    st.builds(encode.execute, NAMES, st.sampled_from([0, 1])),
    st.builds(encode.describe, st.sampled_from([b"S", b"P"]), NAMES),
    st.builds(encode.close, st.sampled_from([b"S", b"P"]), NAMES),
    st.sampled_from([SYNC, encode.FLUSH_MESSAGE, encode.message(b"F", b"\0" * 8)]),
)
SCRIPTS = st.lists(MESSAGES, max_size=12)
ANSWERS = st.lists(st.booleans(), max_size=12)


@settings(max_examples=150, deadline=None)
@given(script=SCRIPTS, answers=ANSWERS, split=st.integers(1, 40))
def test_p8_whole_and_in_pieces_a_script_ends_the_same(script: list[bytes], answers: list[bool], split: int) -> None:
    whole, pieces = Script(answers=answers), Script(answers=answers)
    whole.client(b"".join(script) + SYNC)
    pieces.client(b"".join(script) + SYNC, split=split)
    assert whole.told == pieces.told
    assert whole.server.ran == pieces.server.ran
    assert whole.of(Outcome) == pieces.of(Outcome)
    assert whole.session.over == pieces.session.over


@settings(max_examples=150, deadline=None)
@given(script=SCRIPTS, answers=ANSWERS)
def test_only_approved_writes_run_and_each_has_one_outcome(script: list[bytes], answers: list[bool]) -> None:
    run = Script(answers=answers)
    for message in script:
        run.client(message)
    run.client(SYNC)
    run.session.client_gone()
    run.run()
    writable = [text for _, text, read_only in run.server.ran if not read_only]
    assert len(writable) <= sum(answers)
    assert all(text.startswith((b"UPDATE", b"VACUUM")) for text in writable)
    outcomes = [effect.ticket for effect in run.of(Outcome) if isinstance(effect, Outcome)]
    assert len(outcomes) == len(set(outcomes)) <= sum(answers)
    assert run.session.over and run.server.over
    assert b"_tk" not in run.told


@settings(max_examples=150, deadline=None)
@given(script=SCRIPTS)
def test_what_is_held_never_reaches_the_server(script: list[bytes]) -> None:
    run = Script()
    for message in script:
        run.client(message)
    assert all(read_only for _, _, read_only in run.server.ran)
    assert not any(b"UPDATE" in text or b"VACUUM" in text for text in run.ran)
    assert encode.query(b"UPDATE a SET b = 1") not in run.sent


@settings(max_examples=150, deadline=None)
@given(data=st.binary(max_size=60), script=SCRIPTS, split=st.integers(1, 30))
def test_any_bytes_give_a_legal_session_or_the_one_protocol_error(data: bytes, script: list[bytes], split: int) -> None:
    run = Script(answers=[])
    run.client(b"".join(script) + data, split=split)
    assert not any(b"UPDATE" in text for text in run.ran)
    if run.session.over:
        assert b"SFATAL\0" in run.told or data[:1] == b"X"


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=60))
def test_any_bytes_of_a_server_are_passed_or_end_the_session(data: bytes) -> None:
    run = Script()
    run.session.client_bytes(encode.query(b"SELECT 1"))
    run.session.take_to_server()
    run.session.server_bytes(data)
    run.session.take_to_client()
    run.session.take_effects()
