"""Plain transaction control as one Query: what it may be made of, and what becomes of everything around it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.protocols.postgres import encode
from edge_agent.protocols.postgres.control import LONGEST, is_plain
from edge_agent.protocols.postgres.events import Ending, Outcome
from tests.edge_agent.protocols.postgres.doors import TestDoor
from tests.edge_agent.protocols.postgres.script import GUARD_BYTES, SYNC, Script, bound, kinds

BEGUN = b"BEGIN; SET transaction_read_only = off; SAVEPOINT %b; SET LOCAL transaction_read_only = on" % GUARD_BYTES
ENDED = b"RELEASE SAVEPOINT %b; SET transaction_read_only = on; COMMIT" % GUARD_BYTES
WRITE = b"UPDATE orders SET total = 1"
EXECUTE = encode.execute(b"")


def prepared(script: Script, text: bytes) -> bytes:
    """Parse a text, and the group that runs it."""
    script.client(encode.parse(text[:3], text), SYNC)
    return encode.bind(b"", text[:3]) + EXECUTE + SYNC


@pytest.mark.parametrize("lane", [True, False])
@pytest.mark.parametrize("extended", [True, False])
def test_it_is_one_query_and_one_answer(extended: bool, lane: bool) -> None:
    script = Script(lane=lane)
    begin, commit = (prepared(script, text) if extended else encode.query(text) for text in (b"BEGIN", b"COMMIT"))
    script.sent, seen = b"", "2CZ" if extended else "CZ"
    assert kinds(script.client(begin)) == f"{seen}T"
    assert kinds(script.client(commit)) == f"{seen}I"
    assert script.sent == encode.query(BEGUN) + encode.query(ENDED)
    assert script.passed == ([begin, commit] if lane else [])
    assert [each.text for each in script.records] == [b"BEGIN", b"COMMIT"]


@pytest.mark.parametrize("text", [
    b"BEGIN --", b"BEGIN /* x", b"BEGIN /**/", b"/**/BEGIN", b"BEGIN\0", b"BEGIN;;", b"BEGIN; COMMIT", b'BEGIN "',
    b"BEGIN '", b"BEGIN\nREAD ONLY", b"BEGIN $$",
    b"SET TRANSACTION ISOLATION LEVEL SERIALIZABLE; --", b"", b";", b"B\xc3\xa9gin",
])  # fmt: skip
def test_p8_a_text_that_could_swallow_what_is_ours_goes_by_itself(text: bytes) -> None:
    assert not is_plain(text)


@given(st.text("BEGINbegin ,;-/*'\"$\\\n\0", max_size=12).map(str.encode))
def test_p8_what_is_plain_has_words_and_commas_alone(text: bytes) -> None:
    words = text.rstrip(b" ").removesuffix(b";")
    assert is_plain(text) <= (bool(words) and words.replace(b" ", b"").replace(b",", b"").isalpha())
    assert not is_plain(text + b" " * LONGEST)


def test_a_comment_in_it_keeps_it_apart_from_ours() -> None:
    script = Script()
    begin = encode.query(b"BEGIN -- of a day")
    assert kinds(script.client(begin)) == "CZT"
    assert script.sent.startswith(begin)


def test_a_caller_who_may_not_write_has_its_own_words() -> None:
    script = Script(TestDoor(may_write=False))
    for text in (b"BEGIN", b"COMMIT", b"start transaction isolation level repeatable read;", b"ROLLBACK"):
        script.sent = b""
        script.client(encode.query(text))
        assert script.sent == encode.query(text)
    assert len(script.passed) == 4


def test_after_a_write_a_commit_says_how_it_ended() -> None:
    script = Script(answers=[True])
    for text in (b"BEGIN", WRITE, b"COMMIT"):
        script.client(encode.query(text))
    assert [effect.ending for effect in script.of(Outcome) if isinstance(effect, Outcome)] == [Ending.COMMITTED]
    assert script.sent.endswith(encode.query(b"COMMIT"))
    assert encode.query(b"COMMIT") not in script.passed


@pytest.mark.parametrize("extended", [True, False])
def test_a_commit_whose_preparation_failed_ends_the_transaction_all_the_same(extended: bool) -> None:
    script = Script(lane=False)
    commit = prepared(script, b"COMMIT") if extended else encode.query(b"COMMIT")
    script.client(encode.query(b"BEGIN"))
    script.server.savepoints.clear()
    assert kinds(script.client(commit)) == ("2E(3B001)ZI" if extended else "E(3B001)ZI")
    assert script.server.status == ord("I")
    assert kinds(script.client(encode.query(b"SELECT 1"))) == "DDCZI"


def test_a_commit_in_a_failed_transaction_rolls_back() -> None:
    script = Script()
    for text in (b"BEGIN", b"SELECT boom"):
        script.client(encode.query(text))
    script.sent = b""
    assert b"ROLLBACK" in script.client(encode.query(b"COMMIT"))
    assert script.sent == encode.query(b"COMMIT")


@pytest.mark.parametrize("what", [encode.bind(b"", b"") + EXECUTE, encode.describe(b"S", b"")])
@pytest.mark.parametrize("text", [b"SELECT 1", WRITE])
def test_w3_the_unnamed_statement_that_went_with_our_query_is_parsed_anew(text: bytes, what: bytes) -> None:
    script = Script(answers=[True])
    begin = prepared(script, b"BEGIN")
    script.client(encode.parse(b"", text), SYNC)
    script.client(begin)
    assert b"" not in script.server.statements
    assert "E" not in kinds(script.client(what, SYNC))
    assert script.server.statements[b""] == text


def test_an_unnamed_begin_can_be_described_before_and_after() -> None:
    script = Script()
    assert kinds(script.client(encode.parse(b"", b"BEGIN"), encode.describe(b"S", b""), SYNC)) == "1tnZI"
    assert kinds(script.client(bound(b"BEGIN"), SYNC)) == "12nCZT"
    assert kinds(script.client(encode.describe(b"P", b""), SYNC)) == "nZT"
    assert kinds(script.client(EXECUTE, SYNC)).startswith("E")


def test_a_group_of_several_is_answered_in_order() -> None:
    script = Script()
    parts = (b"SELECT 1", b"BEGIN", b"SELECT 2", b"COMMIT", b"SELECT 3")
    assert kinds(script.client(*(bound(text) for text in parts), SYNC)) == "12TDDC12nC12TDDC12nC12TDDCZI"
    assert script.ran == [b"SELECT 1", b"SELECT 2", b"SELECT 3"]


def test_a_bind_with_values_is_the_servers_to_refuse() -> None:
    script = Script()
    script.client(encode.parse(b"b", b"BEGIN"), SYNC)
    script.sent = b""
    group = encode.bind(b"", b"b", (b"1",)) + EXECUTE + SYNC
    script.client(group)
    assert encode.bind(b"", b"b", (b"1",)) in script.sent and not script.passed
