"""Requests in DynamoDB: the port suite, and what only concurrent writers and a far-away store can get wrong.

moto runs transactions without isolation; here they run one at a time. That DynamoDB's own do is not tested by it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ConnectionClosedError
from moto.dynamodb.models import DynamoDBBackend

from control_plane.chalicelib.adapters.aws.requests import MAX_ASKED_BYTES, DynamoRequests
from control_plane.chalicelib.adapters.aws.table import MAX_COLLISIONS, Key, Table
from control_plane.chalicelib.ports.people import PersonChange
from control_plane.chalicelib.ports.requests import Outcome
from tests.control_plane.ports.aws_backend import AwsBackend, backend
from tests.control_plane.ports.backend import (
    NOTE,
    add_person,
    approved,
    asked,
    ballot,
    in_state,
    opened,
    records,
    spend,
)
from tests.control_plane.ports.requests_suite import RequestsSuite
from twokeys.caller import Person
from twokeys.errors import Conflict, InvalidInput, TwokeysError, Unavailable
from twokeys.request import Event, State

__all__ = ["backend"]

WRITE = "dynamodb.TransactWriteItems"


def isolate_moto(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let moto's DynamoDB do one thing at a time: it undoes a failed transaction by putting an old table back."""
    lock = threading.RLock()

    def alone(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            with lock:
                return method(*arguments, **named)

        return call

    for name in ("transact_write_items", "get_item", "query"):
        monkeypatch.setattr(DynamoDBBackend, name, alone(getattr(DynamoDBBackend, name)))


@pytest.fixture(autouse=True)
def isolated(monkeypatch: pytest.MonkeyPatch) -> None:
    isolate_moto(monkeypatch)


class TestRequests(RequestsSuite):
    """DynamoDB."""


def at_once(*tasks: Callable[[], object]) -> list[object]:
    """What each returned or raised, run by a thread each from one starting line."""
    line, results = threading.Barrier(len(tasks)), [None] * len(tasks)

    def run(place: int, task: Callable[[], Any]) -> None:
        line.wait()
        try:
            results[place] = task()
        except TwokeysError as error:
            results[place] = error  # type: ignore[call-overload]

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(tasks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return list(results)


def before_write(backend: AwsBackend, rival: Callable[[], object]) -> None:
    """Let a rival act once, between the next change's last read and its write."""
    events = backend.clients.of("dynamodb").meta.events

    def act(**_: object) -> None:
        events.unregister(f"before-call.{WRITE}", act)
        rival()

    events.register(f"before-call.{WRITE}", act)


def lose_answer(backend: AwsBackend) -> None:
    """Let the next change happen, and its answer get lost."""
    events = backend.clients.of("dynamodb").meta.events

    def lose(**_: object) -> None:
        events.unregister(f"after-call.{WRITE}", lose)
        raise ConnectionClosedError(endpoint_url="https://dynamodb")

    events.register(f"after-call.{WRITE}", lose)


def refuse(backend: AwsBackend, times: int, code: str, *reasons: str) -> None:
    """Let DynamoDB refuse the next changes, with the reasons of a cancelled transaction if there are any."""
    events, left = backend.clients.of("dynamodb").meta.events, [times]

    def answer(**_: object) -> tuple[AWSResponse, dict[str, Any]] | None:
        if not left[0]:
            return None
        left[0] -= 1
        cancelled = {"CancellationReasons": [{"Code": one} for one in reasons]} if reasons else {}
        return AWSResponse("", 400, {}, None), {"Error": {"Code": code, "Message": ""}, **cancelled}

    events.register(f"before-call.{WRITE}", answer)


def store(backend: AwsBackend) -> DynamoRequests:
    requests = backend.ports.requests
    assert isinstance(requests, DynamoRequests)
    return requests


def unfinished(backend: AwsBackend) -> int:
    item = Table(backend.clients, backend.settings.table).get(Key("EDGE#edge-1", "COUNT"))
    return int(item["unfinished"]) if item else 0


def outcomes(backend: AwsBackend) -> list[str]:
    return [str(record["outcome"]) for record in records(backend) if "outcome" in record]


def test_moto_undoes_no_other_transaction(backend: AwsBackend) -> None:
    one = opened(backend)
    tasks = [lambda n=n: store(backend).open(asked(), 1, 2 + n % 2, NOTE) for n in range(6)]
    at_once(*tasks, lambda: store(backend).end(one.asked.id, Event.WITHDRAW, Outcome(), NOTE))
    assert unfinished(backend) == len(store(backend).unfinished("edge-1", 100))


def test_of_two_reviewers_at_once_both_count(backend: AwsBackend) -> None:
    add_person(backend, "zoe", "reviewers")
    one = opened(backend, asked(approvals=2))
    before = len(records(backend))
    at_once(*(lambda who=who: store(backend).decide(ballot(one.asked.id, who), NOTE) for who in ("rob", "zoe")))
    found = store(backend).find(one.asked.id)
    assert found is not None
    assert (found.state, {vote.person_id for vote in found.votes}) == (State.APPROVED, {"rob", "zoe"})
    assert sorted(outcomes(backend)[-2:]) == ["approved", "vote"]
    assert len(records(backend)) == before + 2


def test_an_approval_and_a_denial_at_once_end_as_one_of_them(backend: AwsBackend) -> None:
    add_person(backend, "zoe", "reviewers")
    one = opened(backend)
    before = len(records(backend))
    results = at_once(
        lambda: store(backend).decide(ballot(one.asked.id), NOTE),
        lambda: store(backend).decide(ballot(one.asked.id, "zoe", False), NOTE),
    )
    found = store(backend).find(one.asked.id)
    assert found is not None
    assert sum(isinstance(one, Conflict) for one in results) == 1
    assert len(found.votes) == 1
    assert outcomes(backend)[-1] == found.state.value
    assert len(records(backend)) == before + 1


def test_a5_a_decision_that_expiry_overtook_does_not_count(backend: AwsBackend) -> None:
    one = opened(backend)
    before_write(backend, lambda: store(backend).end(one.asked.id, Event.EXPIRE, Outcome(), NOTE))
    with pytest.raises(Conflict):
        store(backend).decide(ballot(one.asked.id), NOTE)
    found = store(backend).find(one.asked.id)
    assert found is not None
    assert (found.state, found.votes) == (State.EXPIRED, [])


def test_a5_of_decision_and_expiry_at_once_one_counts(backend: AwsBackend) -> None:
    one = opened(backend)
    before = len(records(backend))
    results = at_once(
        lambda: store(backend).decide(ballot(one.asked.id), NOTE),
        lambda: store(backend).end(one.asked.id, Event.EXPIRE, Outcome(), NOTE),
    )
    assert sum(isinstance(one, Conflict) for one in results) == 1
    assert len(records(backend)) == before + 1


def test_a6_an_edit_between_look_and_vote_voids_the_vote(backend: AwsBackend) -> None:
    one = opened(backend)
    change = PersonChange(person=Person("rob", ""), revision=1, edits=[])
    before_write(backend, lambda: backend.ports.people.put_person(change, "x", NOTE))
    with pytest.raises(Conflict) as caught:
        store(backend).decide(ballot(one.asked.id), NOTE)
    assert caught.value.code == "revision_moved"
    assert store(backend).find(one.asked.id) == one


def test_a_spend_that_a_rival_overtook_is_refused(backend: AwsBackend) -> None:
    one = approved(backend)
    before_write(backend, lambda: store(backend).spend(spend(one.asked.id, "b" * 32), NOTE))
    with pytest.raises(Conflict):
        store(backend).spend(spend(one.asked.id), NOTE)
    found = store(backend).find(one.asked.id)
    assert found is not None
    assert found.spending is not None
    assert found.spending.nonce == "b" * 32


def test_of_two_replies_at_once_one_is_kept(backend: AwsBackend) -> None:
    one = in_state(backend, State.SPENDING)
    replies = at_once(*(lambda r=r: store(backend).keep_reply(one.asked.id, "a" * 32, r) for r in (b"x", b"y")))
    assert len(set(replies)) == 1


def test_a10_what_was_done_without_an_answer_is_not_done_again(backend: AwsBackend) -> None:
    what, requests = asked(), store(backend)
    steps: list[tuple[Callable[[], object], str]] = [
        (lambda: requests.open(what, 60_000, 9, NOTE)[0].state, "pending"),
        (lambda: requests.decide(ballot(what.id), NOTE).state, "approved"),
        (lambda: requests.spend(spend(what.id), NOTE).state, "spending"),
    ]
    for step, state in steps:
        count = len(records(backend))
        lose_answer(backend)
        with pytest.raises(Unavailable):
            step()
        assert step() == state
        assert len(records(backend)) == count + 1
    assert unfinished(backend) == 1
    lose_answer(backend)
    with pytest.raises(Unavailable):
        requests.end(what.id, Event.SUCCEED, Outcome(rows=1), NOTE)
    with pytest.raises(Conflict):
        requests.end(what.id, Event.SUCCEED, Outcome(rows=1), NOTE)
    found = requests.find(what.id)
    assert found is not None
    assert (found.state, found.outcome.rows, unfinished(backend)) == (State.DONE, 1, 0)


@pytest.mark.parametrize(
    ("times", "code", "reasons"),
    [
        (1, "ThrottlingException", ()),
        (1, "TransactionCanceledException", ("None", "ThrottlingError")),
        (1, "AccessDeniedException", ()),
        (MAX_COLLISIONS, "TransactionCanceledException", ("TransactionConflict", "None")),
    ],
)
def test_a10_what_dynamodb_refuses_did_not_happen(
    backend: AwsBackend, times: int, code: str, reasons: tuple[str, ...]
) -> None:
    one, count = opened(backend), len(records(backend))
    refuse(backend, times, code, *reasons)
    with pytest.raises(Unavailable):
        store(backend).decide(ballot(one.asked.id), NOTE)
    assert (store(backend).find(one.asked.id), len(records(backend))) == (one, count)
    assert store(backend).decide(ballot(one.asked.id), NOTE).state is State.APPROVED


def test_a_transaction_that_met_another_is_tried_again(backend: AwsBackend) -> None:
    one = opened(backend)
    refuse(backend, MAX_COLLISIONS - 1, "TransactionCanceledException", "TransactionConflict", "None")
    assert store(backend).decide(ballot(one.asked.id), NOTE).state is State.APPROVED


def test_w7_places_of_an_edge_are_given_out_once_and_come_back(backend: AwsBackend) -> None:
    results = at_once(*(lambda: store(backend).open(asked(), 60_000, 2, NOTE) for _ in range(4)))
    assert sum(isinstance(one, Unavailable) and one.code == "too_many" for one in results) == 2
    assert unfinished(backend) == 2
    for item in store(backend).unfinished("edge-1", 9):
        store(backend).end(item.id, Event.WITHDRAW, Outcome(), NOTE)
    assert (unfinished(backend), store(backend).unfinished("edge-1", 9)) == (0, [])


def test_w7_the_last_place_is_not_given_out_twice(backend: AwsBackend) -> None:
    before_write(backend, lambda: store(backend).open(asked(), 60_000, 1, NOTE))
    with pytest.raises(Unavailable) as caught:
        store(backend).open(asked(), 60_000, 1, NOTE)
    assert (caught.value.code, unfinished(backend)) == ("too_many", 1)


def test_what_is_in_doubt_keeps_its_place_until_it_is_settled(backend: AwsBackend) -> None:
    one = in_state(backend, State.IN_DOUBT)
    assert unfinished(backend) == 1
    store(backend).end(one.asked.id, Event.FAIL, Outcome(), NOTE)
    assert unfinished(backend) == 0


def test_the_largest_request_has_room_for_what_comes(backend: AwsBackend) -> None:
    what = asked(approvals=2)
    room = MAX_ASKED_BYTES - len(msgspec.json.encode(what)) - 100
    reasons = ["x" * 8000] * (room // 8003) + ["x" * (room % 8003)]
    large = msgspec.structs.replace(what, opened=msgspec.structs.replace(what.opened, reasons=reasons))
    add_person(backend, "zoe", "reviewers")
    opened(backend, large)
    for who in ("rob", "zoe"):
        store(backend).decide(ballot(large.id, who, reason="\x01" * 2000), NOTE)
    store(backend).spend(spend(large.id), NOTE)
    store(backend).keep_reply(large.id, "a" * 32, b"r" * 6000)
    with pytest.raises(InvalidInput) as caught:
        store(backend).open(asked(content_sha256="x" * MAX_ASKED_BYTES), 1, 9, NOTE)
    assert caught.value.code == "too_large"


def test_a_vote_that_has_no_room_is_refused_and_the_request_still_ends(backend: AwsBackend) -> None:
    one = opened(backend)
    with pytest.raises(InvalidInput) as caught:
        store(backend).decide(ballot(one.asked.id, reason="x" * 400_000), NOTE)
    assert caught.value.code == "too_large"
    assert store(backend).end(one.asked.id, Event.EXPIRE, Outcome(), NOTE).state is State.EXPIRED


def test_an_id_that_can_be_no_key_is_no_request(backend: AwsBackend) -> None:
    for bad in ("", "x" * 5000, "\ud800", "a\x00b"):
        assert store(backend).find(bad) is None
        with pytest.raises(InvalidInput):
            store(backend).decide(ballot(bad), NOTE)
    assert store(backend).unfinished("x" * 5000, 9) == []
