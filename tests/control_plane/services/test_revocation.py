"""A revoked Edge is nobody: nothing of it is answered, nothing it held can be spent, its queue is gone."""

from __future__ import annotations

import pytest

from control_plane.chalicelib.ports.wake_access import WakeCredentials
from control_plane.chalicelib.services.revocation import Revocation
from tests.control_plane.world import World
from twokeys.errors import Conflict, InvalidInput, Refused, Unavailable
from twokeys.request import State


class Queues:
    """Implements `WakeAccess`; fails as often as it is told."""

    def __init__(self, failures: int = 0) -> None:
        self.failures, self.forgotten = failures, list[str]()

    def credentials(self, edge_id: str) -> WakeCredentials:
        raise NotImplementedError

    def forget(self, edge_id: str) -> None:
        if self.failures:
            self.failures -= 1
            raise Unavailable("SQS is away.")
        self.forgotten.append(edge_id)


def revocation(world: World, queues: Queues) -> Revocation:
    ports = world.ports
    return Revocation(ports.edges, ports.requests, ports.workflow, queues)


def test_what_a_revoked_edge_held_is_withdrawn_and_what_it_spent_ends_in_doubt(a_world: World) -> None:
    pending, approved, spending = (a_world.in_state(one) for one in (State.PENDING, State.APPROVED, State.SPENDING))
    queues = Queues()
    assert revocation(a_world, queues).revoke(a_world.person("ann"), "edge-1", "its host was lost") == 2
    for request, state in ((pending, State.WITHDRAWN), (approved, State.WITHDRAWN), (spending, State.SPENDING)):
        assert a_world.stored(request).state is state
    assert queues.forgotten == ["edge-1"]
    (record,) = [one for one in a_world.records("enrolment") if one.get("outcome") == "revoked"]
    assert (record["person"], record["objects"], record["reason"]) == ("ann", ["edge-1"], "its host was lost")
    a_world.clock.pass_seconds(601)
    a_world.services.timeouts.remind(spending)
    assert a_world.stored(spending).state is State.IN_DOUBT


def test_a8_a_revoked_edge_is_refused_whatever_it_calls(a_world: World) -> None:
    a_world.services.edge_auth.verify(a_world.actor.call("GET", "/v1/bundle?have=0"))
    a_world.services.revocation.revoke(a_world.person("ann"), "edge-1", "lost")
    assert a_world.services.revocation.edges() == []
    with pytest.raises(Refused) as caught:
        a_world.services.edge_auth.verify(a_world.actor.call("GET", "/v1/bundle?have=0"))
    assert caught.value.code == "bad_call"
    with pytest.raises(Conflict) as taken:
        a_world.services.enrolment.make_token("edge-1", ["db"], "ann")
    assert taken.value.code == "revoked"


def test_only_owners_revoke_and_say_why(a_world: World) -> None:
    with pytest.raises(Refused):
        a_world.services.revocation.revoke(a_world.person("rob"), "edge-1", "lost")
    for reason in ("", "  ", "x" * 513):
        with pytest.raises(InvalidInput):
            a_world.services.revocation.revoke(a_world.person("ann"), "edge-1", reason)
    with pytest.raises(InvalidInput) as caught:
        a_world.services.revocation.revoke(a_world.person("ann"), "edge-9", "lost")
    assert caught.value.code == "not_found"
    assert [one.edge_id for one in a_world.services.revocation.edges()] == ["edge-1"]


def test_a_revocation_that_was_cut_off_is_finished_by_doing_it_again(a_world: World) -> None:
    a_world.services.edge_auth.verify(a_world.actor.call("GET", "/v1/bundle?have=0"))
    queues = Queues(failures=1)
    with pytest.raises(Unavailable):
        revocation(a_world, queues).revoke(a_world.person("ann"), "edge-1", "lost")
    assert a_world.services.revocation.edges() == []
    revocation(a_world, queues).revoke(a_world.person("ann"), "edge-1", "lost")
    assert queues.forgotten == ["edge-1"]
    assert len([one for one in a_world.records("enrolment") if one.get("outcome") == "revoked"]) == 1
