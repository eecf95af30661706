"""Edges in DynamoDB: the port suite, what a signed call costs, and calls that meet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from control_plane.chalicelib.adapters.aws.edges import DynamoEdges
from control_plane.chalicelib.ports.edges import Edge, Token
from tests.control_plane.ports.aws_backend import AwsBackend, backend
from tests.control_plane.ports.backend import NOTE, records
from tests.control_plane.ports.registry_suites import EdgesSuite
from tests.control_plane.ports.test_aws_requests import at_once, before_write, isolated, lose_answer
from tests.control_plane.world import EdgeActor
from twokeys.edge_call import EdgeCall
from twokeys.errors import Conflict, Refused, TwokeysError, Unavailable
from twokeys.record import ChainHead

__all__ = ["backend", "isolated"]


class TestEdges(EdgesSuite):
    """DynamoDB."""


def store(backend: AwsBackend) -> DynamoEdges:
    edges = backend.ports.edges
    assert isinstance(edges, DynamoEdges)
    return edges


def call(backend: AwsBackend, sequence: int, letter: str = "a", **changes: Any) -> EdgeCall:
    return EdgeActor(backend.clock).signed("GET", "/", head=ChainHead(sequence, letter * 64), **changes)


def token(backend: AwsBackend, letter: str = "a", edge_id: str = "e-1") -> Token:
    return Token(
        token_sha256=letter * 64, edge_id=edge_id, targets=["db"], expires_at=backend.clock.now() + 60_000
    )  # fmt: skip


def enrolled(backend: AwsBackend, edge_id: str, letter: str) -> Edge:
    store(backend).add_token(token(backend, letter, edge_id), NOTE)
    return store(backend).enrol(letter * 64, b"key", NOTE)


def code(task: Callable[[], object]) -> str:
    with pytest.raises(TwokeysError) as caught:
        task()
    return caught.value.code


def test_a_signed_call_costs_one_read_and_one_transaction(backend: AwsBackend) -> None:
    asked = list[tuple[str, int]]()

    def seen(model: Any, params: dict[str, Any], **_: object) -> None:
        asked.append((model.name, params["body"].count(b'"TableName"')))

    backend.clients.of("dynamodb").meta.events.register("before-call.dynamodb", seen)
    costs = list[list[tuple[str, int]]]()
    for sequence in (5, 5, 6, 4):
        asked.clear()
        store(backend).admit(call(backend, sequence, str(sequence)), 0)
        costs.append(list(asked))
    read = ("GetItem", 1)
    assert costs == [
        [read, ("TransactWriteItems", 3)],
        [read, ("TransactWriteItems", 1)],
        [read, ("TransactWriteItems", 3)],
        [read, ("TransactWriteItems", 2)],
    ]


def test_a7_of_two_chains_told_at_once_one_is_a_fork(backend: AwsBackend) -> None:
    store(backend).admit(call(backend, 1), 0)
    results = at_once(*(lambda one=one: store(backend).admit(call(backend, 2, one), 0) for one in "bc"))
    assert sum(isinstance(one, Refused) and one.code == "chain_fork" for one in results) == 1
    assert store(backend).head("edge-1") in results


def test_a7_a_chain_told_between_look_and_write_is_seen(backend: AwsBackend) -> None:
    def told(sequence: int, mine: str, rivals: str) -> str:
        before_write(backend, lambda: store(backend).admit(call(backend, sequence, rivals), 0))
        return code(lambda: store(backend).admit(call(backend, sequence, mine), 0))

    assert told(7, "b", "c") == "chain_fork"
    assert told(3, "d", "e") == "chain_fork"
    assert [one.hash[0] for one in store(backend).told_heads("edge-1", 0, 9)] == ["e", "c"]


def test_of_one_call_sent_twice_at_once_one_is_answered(backend: AwsBackend) -> None:
    for sequence in (5, 5, 9, 2):
        twice = call(backend, sequence, str(sequence))
        results = at_once(*(lambda one=twice: store(backend).admit(one, 0) for _ in range(2)))
        assert sum(isinstance(one, Refused) and one.code == "replayed_call" for one in results) == 1


def test_the_highest_head_is_kept_when_calls_overtake_each_other(backend: AwsBackend) -> None:
    at_once(*(lambda n=n: store(backend).admit(call(backend, n), 0) for n in range(1, 7)))
    assert store(backend).head("edge-1") == ChainHead(6, "a" * 64)
    assert [one.sequence for one in store(backend).told_heads("edge-1", 0, 99)] == [1, 2, 3, 4, 5, 6]


def test_a7_an_idle_edge_does_not_make_its_old_heads_good_again(backend: AwsBackend) -> None:
    store(backend).admit(call(backend, 5), 0)
    for _ in range(3):
        backend.clock.pass_seconds(5)
        store(backend).admit(call(backend, 5), 0)
    assert code(lambda: store(backend).admit(call(backend, 4), 0)) == "chain_fork"


def test_a_refused_call_uses_no_nonce(backend: AwsBackend) -> None:
    store(backend).admit(call(backend, 5), 0)
    forked = call(backend, 5, "b")
    for _ in range(2):
        assert code(lambda: store(backend).admit(forked, 0)) == "chain_fork"


def test_of_two_keys_with_one_token_at_once_one_is_enrolled(backend: AwsBackend) -> None:
    store(backend).add_token(token(backend), NOTE)
    before = (store(backend).bundle_revision(), len(records(backend)))
    results = at_once(*(lambda key=key: store(backend).enrol("a" * 64, key, NOTE) for key in (b"x", b"y")))
    assert sum(isinstance(one, Refused) and one.code == "bad_token" for one in results) == 1
    assert store(backend).edge("e-1") in results
    assert (store(backend).bundle_revision(), len(records(backend))) == (before[0] + 1, before[1] + 1)


def test_a10_an_enrolment_without_an_answer_is_answered_when_asked_again(backend: AwsBackend) -> None:
    store(backend).add_token(token(backend), NOTE)
    count = len(records(backend))
    lose_answer(backend)
    with pytest.raises(Unavailable):
        store(backend).enrol("a" * 64, b"key", NOTE)
    assert store(backend).enrol("a" * 64, b"key", NOTE) == store(backend).edge("e-1")
    assert len(records(backend)) == count + 1


def test_a_revoked_edge_is_gone_for_good_and_its_chain_stays(backend: AwsBackend) -> None:
    edges, edge = store(backend), enrolled(backend, "edge-1", "a")
    edges.admit(call(backend, 5), 0)
    assert edges.edges() == [edge]
    before = (edges.bundle_revision(), len(records(backend)))
    assert edges.revoke("edge-1", NOTE)
    assert not edges.revoke("edge-1", NOTE)
    assert (edges.bundle_revision(), len(records(backend))) == (before[0] + 1, before[1] + 1)
    assert (edges.edge("edge-1"), edges.edges()) == (None, [])
    assert code(lambda: edges.enrol("a" * 64, b"key", NOTE)) == "bad_token"
    assert code(lambda: edges.add_token(token(backend, "b", "edge-1"), NOTE)) == "revoked"
    assert edges.head("edge-1") == ChainHead(5, "a" * 64)
    assert edges.told_heads("edge-1", 5, 5) == [ChainHead(5, "a" * 64)]


def test_revoking_ends_an_unused_token(backend: AwsBackend) -> None:
    edges = store(backend)
    assert not edges.revoke("e-1", NOTE)
    edges.add_token(token(backend), NOTE)
    assert edges.revoke("e-1", NOTE)
    assert code(lambda: edges.enrol("a" * 64, b"key", NOTE)) == "bad_token"
    assert code(lambda: edges.add_token(token(backend, "b"), NOTE)) == "revoked"


def test_a_token_used_while_its_edge_is_revoked_enrols_nobody(backend: AwsBackend) -> None:
    edges = store(backend)
    edges.add_token(token(backend), NOTE)
    before_write(backend, lambda: edges.revoke("e-1", NOTE))
    assert code(lambda: edges.enrol("a" * 64, b"key", NOTE)) == "bad_token"
    assert edges.edge("e-1") is None


def test_a_replaced_token_does_not_come_back(backend: AwsBackend) -> None:
    edges = store(backend)
    for letter in "ab":
        edges.add_token(token(backend, letter), NOTE)
    before_write(backend, lambda: edges.add_token(token(backend, "c"), NOTE))
    assert code(lambda: edges.enrol("b" * 64, b"key", NOTE)) == "bad_token"
    with pytest.raises(Conflict):
        edges.add_token(token(backend, "c", "e-2"), NOTE)
    assert edges.enrol("c" * 64, b"key", NOTE).edge_id == "e-1"


def test_an_id_that_can_be_no_edges_is_nobody(backend: AwsBackend) -> None:
    for bad in ("", "x" * 3000, "\ud800", "a#b", "a\n"):
        assert (store(backend).edge(bad), store(backend).head(bad)) == (None, None)
        assert store(backend).told_heads(bad, 0, 9) == []
        assert not store(backend).revoke(bad, NOTE)
    assert store(backend).told_heads("edge-1", 9, 1) == []


def test_many_heads_are_forgotten_and_the_highest_stays(backend: AwsBackend) -> None:
    for sequence in range(1, 8):
        store(backend).admit(call(backend, sequence), 0)
    store(backend).forget_heads("edge-1", 5)
    assert [one.sequence for one in store(backend).told_heads("edge-1", 0, 99)] == [6, 7]
    assert store(backend).head("edge-1") == ChainHead(7, "a" * 64)
