"""Signed calls: anything but exactly one call of an enrolled Edge is refused, with a Record."""

from __future__ import annotations

import dataclasses

import pytest

from control_plane.chalicelib.services.edge_auth import Call
from tests.control_plane.world import EdgeActor, World
from twokeys.edge_call import CALL_HEADER, SIGNATURE_HEADER
from twokeys.errors import Refused, TwokeysError
from twokeys.messages import EnrolRequest
from twokeys.record import ChainHead, extend, line

PATH = "/v1/bundle?have=0"


def refused(world: World, call: Call) -> str:
    with pytest.raises(TwokeysError) as caught:
        world.services.edge_auth.verify(call)
    return caught.value.code


def grown(head: ChainHead, *words: str) -> ChainHead:
    for word in words:
        head = extend(head, line(head.sequence + 1, {"type": word}))
    return head


def test_an_honest_call_tells_the_edge(a_world: World) -> None:
    edge, signed = a_world.services.edge_auth.verify(a_world.actor.call("GET", PATH))
    assert (edge.edge_id, signed.head) == ("edge-1", a_world.actor.head)
    assert a_world.ports.edges.head("edge-1") == a_world.actor.head


def test_another_method_path_or_body_is_refused(a_world: World) -> None:
    call = a_world.actor.call("POST", "/v1/poll", b"{}")
    for change in ({"method": "PUT"}, {"path": "/v1/requests"}, {"body": b"{ }"}):
        assert refused(a_world, dataclasses.replace(call, **change)) == "bad_call"
    assert {one["outcome"] for one in a_world.records("refused")} == {"bad_call"}


def test_a_key_that_was_not_enrolled_is_refused(a_world: World) -> None:
    stranger = EdgeActor(a_world.clock)
    assert refused(a_world, stranger.call("GET", PATH)) == "bad_call"
    assert refused(a_world, a_world.actor.call("GET", PATH, edge_id="edge-9")) == "bad_call"


def test_a_header_that_is_missing_or_malformed_is_refused(a_world: World) -> None:
    call = a_world.actor.call("GET", PATH)
    for name in (CALL_HEADER, SIGNATURE_HEADER):
        for value in ("", "!", "AAAA", "x" * 10_000):
            headers = {**call.headers, name: value}
            assert refused(a_world, dataclasses.replace(call, headers=headers)) == "bad_call"


def test_a5_a_replayed_call_is_refused(a_world: World) -> None:
    call = a_world.actor.call("GET", PATH)
    a_world.services.edge_auth.verify(call)
    assert refused(a_world, call) == "replayed_call"
    a_world.clock.pass_seconds(59)
    assert refused(a_world, call) == "replayed_call"
    a_world.reopen()
    assert refused(a_world, call) == "replayed_call"
    a_world.clock.pass_seconds(300)
    assert refused(a_world, call) == "clock_skew"


@pytest.mark.parametrize("seconds", [-61, 61])
def test_a10_a_call_whose_time_is_off_is_refused_and_changes_nothing(a_world: World, seconds: int) -> None:
    actor = a_world.actor
    call = actor.call("GET", PATH, time=a_world.clock.now() + seconds * 1000, head=grown(actor.head, "a"))
    assert refused(a_world, call) == "clock_skew"
    assert a_world.ports.edges.head("edge-1") is None
    assert not a_world.records("refused")


def test_a_head_that_contradicts_a_told_one_is_a_fork_with_an_alarm(a_world: World) -> None:
    actor = a_world.actor
    a_world.services.edge_auth.verify(actor.call("GET", PATH, head=grown(actor.head, "a", "b")))
    assert refused(a_world, actor.call("GET", PATH, head=grown(actor.head, "a", "c"))) == "chain_fork"
    (alarm,) = a_world.records("alarm")
    assert "edge-1" in alarm["reason"]
    assert a_world.ports.edges.head("edge-1") == grown(actor.head, "a", "b")


def test_a_chain_that_goes_back_is_a_fork_and_calls_that_overtake_are_not(a_world: World) -> None:
    actor = a_world.actor
    older = actor.call("GET", PATH, head=grown(actor.head, "a"))
    a_world.services.edge_auth.verify(actor.call("GET", PATH, head=grown(actor.head, "a", "b")))
    a_world.services.edge_auth.verify(older)
    assert a_world.ports.edges.head("edge-1") == grown(actor.head, "a", "b")
    a_world.clock.pass_seconds(11)
    assert refused(a_world, actor.call("GET", PATH, head=grown(actor.head, "a"))) == "chain_fork"
    a_world.services.edge_auth.verify(actor.call("GET", PATH, head=grown(actor.head, "a", "b")))


def test_refusals_are_recorded_at_a_limited_rate_and_counted(a_world: World) -> None:
    stranger = EdgeActor(a_world.clock)
    for _ in range(50):
        refused(a_world, stranger.call("GET", PATH))
    assert len(a_world.records("refused")) == 10
    a_world.clock.pass_seconds(11)
    refused(a_world, stranger.call("GET", PATH))
    assert "(40 more like it before.)" in a_world.records("refused")[-1]["reason"]


def test_a11_a_token_enrols_once_and_only_its_own_key_may_ask_again(a_world: World) -> None:
    enrolment = a_world.services.enrolment
    token = enrolment.make_token("edge-2", ["sample-db"], "ann")
    first = EdgeActor(a_world.clock, "edge-2")
    reply = enrolment.enrol(first.enrol_request(token))
    assert reply.edge_id == "edge-2"
    assert enrolment.enrol(first.enrol_request(token)) == reply
    with pytest.raises(Refused, match="unknown, used or expired"):
        enrolment.enrol(EdgeActor(a_world.clock, "edge-2").enrol_request(token))
    with pytest.raises(TwokeysError, match="is enrolled"):
        enrolment.make_token("edge-2", ["sample-db"], "ann")


def test_a11_a_token_expires_and_a_newer_one_replaces_it(a_world: World) -> None:
    enrolment = a_world.services.enrolment
    old, new = (enrolment.make_token("edge-2", ["sample-db"], "ann") for _ in range(2))
    actor = EdgeActor(a_world.clock, "edge-2")
    with pytest.raises(Refused):
        enrolment.enrol(actor.enrol_request(old))
    a_world.clock.pass_seconds(24 * 3600)
    with pytest.raises(Refused):
        enrolment.enrol(actor.enrol_request(new))


def test_a_proof_by_another_key_is_refused(a_world: World) -> None:
    enrolment = a_world.services.enrolment
    token = enrolment.make_token("edge-2", ["sample-db"], "ann")
    mine, theirs = (EdgeActor(a_world.clock, "edge-2").enrol_request(token) for _ in range(2))
    with pytest.raises(Refused):
        enrolment.enrol(EnrolRequest(token=token, public_key=mine.public_key, proof=theirs.proof))
    assert a_world.ports.edges.edge("edge-2") is None


@pytest.mark.parametrize("edge_id", ["control-plane", "", "a/b", "../x", "a" * 65, "edge-1.w2"])
def test_ids_that_would_be_taken_for_something_else_get_no_token(a_world: World, edge_id: str) -> None:
    with pytest.raises(TwokeysError):
        a_world.services.enrolment.make_token(edge_id, ["sample-db"], "ann")
