"""The session's door remembers, and forgets when it must."""

from __future__ import annotations

import pytest

from edge_agent.classify.cache import SqlClassifier
from edge_agent.classify.settings import schemas_of
from edge_agent.door import MAX_REMEMBERED, SessionDoor
from edge_agent.gate import Gate, Standing, World
from edge_agent.protocols.postgres.door import Route
from twokeys.caller import Caller, CallerKind
from twokeys.command import QueryProtocol
from twokeys.errors import Refused
from twokeys.policy import STARTER_TEXT, Policies

SIMPLE = QueryProtocol.SIMPLE
READ = b"SELECT count(*) FROM orders"


def opened(
    policies: str = STARTER_TEXT, *, sponsor: str = "ann", search_path: str = "shop"
) -> tuple[Gate, SessionDoor]:
    gate = Gate()
    gate.stand(Standing())
    gate.enter(World("edge-1", 1, Policies(policies, 1), {}))
    caller = Caller("agent-7", CallerKind.MACHINE, sponsor)
    return gate, SessionDoor(gate, SqlClassifier(), caller, "sample-db", search_path, "edge")


def test_a_repeated_text_is_judged_once() -> None:
    _, door = opened()
    assert door.judge(SIMPLE, READ) is door.judge(SIMPLE, READ)
    assert door.judge(SIMPLE, READ) is not door.judge(SIMPLE, READ + b" ")


def test_what_is_remembered_is_bounded() -> None:
    _, door = opened()
    first = door.judge(SIMPLE, b"SELECT $1")
    for at in range(2, MAX_REMEMBERED + 2):
        door.judge(SIMPLE, b"SELECT $%d" % at)
    assert door.judge(SIMPLE, b"SELECT $1") is not first


def test_texts_that_differ_by_literals_share_a_judgement_until_policy_moves() -> None:
    gate, door = opened()
    first = door.judge(SIMPLE, b"SELECT id FROM orders WHERE id = 1")
    assert door.judge(SIMPLE, b"SELECT id FROM orders WHERE id = 22") is first
    assert door.judge(QueryProtocol.EXTENDED, b"SELECT id FROM orders WHERE id = 3") is not first
    gate.enter(World("edge-1", 2, Policies("", 2), {}))
    assert door.judge(SIMPLE, b"SELECT id FROM orders WHERE id = 333").route is Route.DENIED


def test_a_text_that_the_server_calls_a_write_shares_no_judgement() -> None:
    _, door = opened()
    text = b"SELECT id FROM orders WHERE id = 1"
    door.judge(SIMPLE, text)
    door.witness(text, "cannot execute INSERT in a read-only transaction")
    assert door.judge(SIMPLE, text).route is Route.STEP
    assert door.judge(SIMPLE, b"SELECT id FROM orders WHERE id = 2").route is Route.READ


def test_w6_a_new_bundle_is_obeyed_by_the_next_text() -> None:
    gate, door = opened()
    before = door.judge(SIMPLE, READ)
    assert before.route is Route.READ
    gate.enter(World("edge-1", 2, Policies("", 2), {}))
    assert door.judge(SIMPLE, READ).route is Route.DENIED
    with pytest.raises(Refused):
        door.admit(before)


def test_a10_a_standing_that_denies_is_obeyed_by_the_next_text() -> None:
    gate, door = opened()
    write = b"DELETE FROM orders"
    assert door.judge(SIMPLE, write).route is Route.STEP
    gate.stand(Standing(writes_denied="The disk is nearly full."))
    assert door.judge(SIMPLE, write).route is Route.DENIED
    assert door.judge(SIMPLE, READ).route is Route.READ
    gate.stand(Standing(writes_denied="It is old.", reads_denied="It is old."))
    assert door.judge(SIMPLE, READ).route is Route.DENIED


def test_a_held_text_gets_no_pass() -> None:
    _, door = opened()
    with pytest.raises(Refused):
        door.admit(door.judge(SIMPLE, b"DELETE FROM orders"))


def test_nobody_who_is_answered_for_by_nobody_may_write() -> None:
    assert opened()[1].may_write
    assert not opened(sponsor="")[1].may_write


def test_unqualified_names_prove_nothing_once_they_may_have_moved() -> None:
    _, door = opened()
    before = door.judge(SIMPLE, READ).verdict.classification.accesses
    door.distrust_names()
    assert door.judge(SIMPLE, READ).verdict.classification.accesses != before


@pytest.mark.parametrize("path", ["shop, public", '"public","shop"', "shop", '""', "", '"$user", shop'])
def test_names_mean_what_they_were_judged_by_on_a_narrower_path(path: str) -> None:
    _, door = opened(search_path='"$user", shop, public')
    assert door.confirm(path)
    assert door.confirm(path)
    assert door.judge(SIMPLE, READ).route is Route.READ


@pytest.mark.parametrize("path", ["evil", "shop, evil", '"shop, public"', '"shopx,"', ",", "shop public", '"$user" x'])
def test_w6_names_prove_nothing_on_any_other_path(path: str) -> None:
    _, door = opened(search_path='"$user", shop, public')
    assert not door.confirm(path)
    assert door.judge(SIMPLE, READ).route is Route.STEP


def test_a_search_path_is_read_as_the_server_reads_it() -> None:
    assert schemas_of('shop, "$user", "Odd""One", PUBLIC', "twokeys_edge") == (
        "shop", "twokeys_edge", 'Odd"One', "public",
    )  # fmt: skip
