"""The suite of `ports.requests`: every arrow is one conditional write, with its Record or not at all."""

from __future__ import annotations

import threading

import msgspec
import pytest

from control_plane.chalicelib.ports.requests import DENIAL_STANDS_MILLISECONDS, Asked, Draw, Outcome, Stored
from tests.control_plane.ports.backend import (
    NOTE,
    Backend,
    add_person,
    approved,
    asked,
    ballot,
    in_state,
    opened,
    records,
    spend,
)
from twokeys.errors import Conflict, InvalidInput, Refused, TwokeysError, Unavailable
from twokeys.request import FINAL, TRANSITIONS, Event, State


def retry() -> Asked:
    """A retry grant's Asked, under a fresh id."""
    what = asked()
    return msgspec.structs.replace(what, opened=msgspec.structs.replace(what.opened, retry=True))


def grant_of(what: Asked, statements: int) -> Asked:
    """A session grant's Asked."""
    inner = msgspec.structs.replace(what.opened, retry=True, statements=statements, command_digest="9" * 64)
    return msgspec.structs.replace(what, opened=inner, is_grant=True, grant_seconds=60)


def approved_grant(backend: Backend, statements: int = 1) -> Stored:
    """A session grant that rob approved."""
    pending = opened(backend, grant_of(asked(), statements))
    return backend.ports.requests.decide(ballot(pending.asked.id, command_digest="9" * 64), NOTE)


def drawing(request: Stored, grant: Stored) -> Draw:
    """A draw that would count."""
    return Draw(
        request_id=request.asked.id, grant_id=grant.asked.id, person_revisions={"rob": 1}, policy_revision=1,
        lapse_milliseconds=60_000,
    )  # fmt: skip


ENDS = sorted(set(Event) - {Event.APPROVE, Event.DENY, Event.SPEND})


class RequestsSuite:
    """Subclass it with a fixture `backend`."""

    def test_a_new_request_is_pending_and_due(self, backend: Backend) -> None:
        what = asked()
        stored, new = backend.ports.requests.open(what, 60_000, 10, NOTE)
        assert (new, stored.state, stored.due_at) == (True, State.PENDING, backend.clock.now() + 60_000)
        assert stored.asked.opened_at == backend.clock.now()
        assert backend.ports.requests.find(what.id) == stored
        assert backend.ports.requests.open(what, 1, 10, NOTE) == (stored, False)
        assert backend.ports.requests.find("req_" + "z" * 26) is None

    def test_an_id_belongs_to_its_content_and_edge(self, backend: Backend) -> None:
        what = asked()
        backend.ports.requests.open(what, 60_000, 10, NOTE)
        for change in ({"content_sha256": "0" * 64}, {"edge_id": "edge-2"}):
            with pytest.raises(Conflict):
                backend.ports.requests.open(msgspec.structs.replace(what, **change), 60_000, 10, NOTE)

    def test_an_item_over_400_kb_is_refused(self, backend: Backend) -> None:
        what = asked()
        long = msgspec.structs.replace(what, opened=msgspec.structs.replace(what.opened, reasons=["x" * 8000] * 51))
        with pytest.raises(InvalidInput):
            backend.ports.requests.open(long, 60_000, 10, NOTE)
        assert backend.ports.requests.find(what.id) is None

    def test_unfinished_requests_of_an_edge_are_limited(self, backend: Backend) -> None:
        opened(backend)
        with pytest.raises(Unavailable) as caught:
            backend.ports.requests.open(asked(), 60_000, 1, NOTE)
        assert caught.value.code == "too_many"

    @pytest.mark.parametrize("state", sorted(State))
    @pytest.mark.parametrize("event", ENDS)
    def test_every_arrow_and_no_other(self, backend: Backend, state: State, event: Event) -> None:
        before = in_state(backend, state)
        count = len(records(backend))
        after = TRANSITIONS.get((state, event))
        if after is None:
            with pytest.raises(Conflict):
                backend.ports.requests.end(before.asked.id, event, Outcome(), NOTE)
            assert backend.ports.requests.find(before.asked.id) == before
            assert len(records(backend)) == count
            return
        stored = backend.ports.requests.end(before.asked.id, event, Outcome(reason="r"), NOTE)
        assert (stored.state, stored.outcome.reason, stored.due_at) == (after, "r", 0)
        assert records(backend)[-1]["outcome"] == after.value

    def test_what_is_not_due_does_not_end_by_time(self, backend: Backend) -> None:
        stored = opened(backend)
        backend.clock.pass_seconds(59)
        with pytest.raises(Conflict):
            backend.ports.requests.end(stored.asked.id, Event.EXPIRE, Outcome(), NOTE, when_due=True)
        backend.clock.pass_seconds(1)
        ended = backend.ports.requests.end(stored.asked.id, Event.EXPIRE, Outcome(), NOTE, when_due=True)
        assert ended.state is State.EXPIRED

    def test_a_vote_counts_once_with_its_record(self, backend: Backend) -> None:
        stored = opened(backend)
        decided = backend.ports.requests.decide(ballot(stored.asked.id), NOTE)
        assert (decided.state, [vote.person_id for vote in decided.votes]) == (State.APPROVED, ["rob"])
        assert decided.due_at == backend.clock.now() + 60_000
        assert records(backend)[-1]["outcome"] == "approved"
        count = len(records(backend))
        assert backend.ports.requests.decide(ballot(stored.asked.id), NOTE) == decided
        assert len(records(backend)) == count

    def test_a_vote_names_the_preview_that_was_shown(self, backend: Backend) -> None:
        bare = asked()
        seen = msgspec.structs.replace(bare.opened, preview_digest="b" * 64, most_rows=3)
        stored = opened(backend, msgspec.structs.replace(bare, opened=seen))
        assert stored.asked.opened.most_rows == 3
        for other in ("", "0" * 64):
            for approve in (True, False):
                with pytest.raises(Refused) as caught:
                    backend.ports.requests.decide(ballot(stored.asked.id, approve=approve, preview_digest=other), NOTE)
                assert caught.value.code == "preview_mismatch"
        decided = backend.ports.requests.decide(ballot(stored.asked.id, preview_digest="b" * 64), NOTE)
        assert decided.state is State.APPROVED

    @pytest.mark.parametrize(
        ("change", "error"),
        [
            ({"command_digest": "0" * 64}, Refused),
            ({"preview_digest": "0" * 64}, Refused),
            ({"person_id": "ann"}, Refused),
            ({"person_id": "agent-7"}, Refused),
            ({"person_id": "nobody"}, Conflict),
            ({"person_revision": 2}, Conflict),
            ({"policy_revision": 2}, Conflict),
        ],
    )
    def test_a6_everything_is_checked_in_the_write_itself(
        self, backend: Backend, change: dict[str, object], error: type[TwokeysError]
    ) -> None:
        stored = opened(backend)
        for approve in (True, False):
            with pytest.raises(error):
                backend.ports.requests.decide(
                    msgspec.structs.replace(ballot(stored.asked.id, approve=approve), **change), NOTE
                )
        assert backend.ports.requests.find(stored.asked.id) == stored

    def test_a5_a_vote_at_the_deadline_is_late(self, backend: Backend) -> None:
        stored = opened(backend)
        backend.clock.pass_seconds(60)
        with pytest.raises(Conflict):
            backend.ports.requests.decide(ballot(stored.asked.id), NOTE)

    @pytest.mark.parametrize("state", sorted(set(State) - {State.PENDING}))
    def test_only_pending_is_decided(self, backend: Backend, state: State) -> None:
        add_person(backend, "zoe", "reviewers")
        stored = in_state(backend, state)
        for approve in (True, False):
            with pytest.raises(Conflict):
                backend.ports.requests.decide(ballot(stored.asked.id, "zoe", approve), NOTE)
        assert backend.ports.requests.find(stored.asked.id) == stored

    def test_as_many_people_as_needed(self, backend: Backend) -> None:
        add_person(backend, "zoe", "reviewers")
        stored = opened(backend, asked(approvals=2))
        first = backend.ports.requests.decide(ballot(stored.asked.id), NOTE)
        assert (first.state, first.due_at) == (State.PENDING, stored.due_at)
        assert records(backend)[-1]["outcome"] == "vote"
        assert backend.ports.requests.decide(ballot(stored.asked.id, "zoe"), NOTE).state is State.APPROVED

    def test_a_spend_is_entered_once(self, backend: Backend) -> None:
        stored = approved(backend)
        spent = backend.ports.requests.spend(spend(stored.asked.id), NOTE)
        assert (spent.state, spent.due_at) == (State.SPENDING, backend.clock.now() + 60_000)
        assert backend.ports.requests.spend(spend(stored.asked.id), NOTE) == spent
        for other in (
            spend(stored.asked.id, "b" * 32),
            spend(stored.asked.id, edge_id="edge-2"),
            spend(stored.asked.id, command_digest="0" * 64),
        ):
            with pytest.raises(Conflict):
                backend.ports.requests.spend(other, NOTE)

    def test_a_lapsed_approval_is_not_spent(self, backend: Backend) -> None:
        stored = approved(backend)
        backend.clock.pass_seconds(60)
        with pytest.raises(Conflict):
            backend.ports.requests.spend(spend(stored.asked.id), NOTE)

    def test_the_first_reply_is_the_only_one(self, backend: Backend) -> None:
        stored = in_state(backend, State.SPENDING)
        requests = backend.ports.requests
        assert requests.keep_reply(stored.asked.id, "a" * 32, b"first") == b"first"
        assert requests.keep_reply(stored.asked.id, "a" * 32, b"second") == b"first"
        with pytest.raises(Conflict):
            requests.keep_reply(stored.asked.id, "b" * 32, b"third")

    def test_a_retry_grant_is_joined_by_the_same_command_until_it_is_spent(self, backend: Backend) -> None:
        requests = backend.ports.requests
        first, new = requests.open(retry(), 60_000, 10, NOTE)
        assert new and requests.open(retry(), 60_000, 1, NOTE) == (first, False)
        decided = requests.decide(ballot(first.asked.id), NOTE)
        assert requests.open(retry(), 60_000, 10, NOTE) == (decided, False)
        assert [one.retry for one in requests.unfinished("edge-1", 9)] == [True]
        requests.spend(spend(first.asked.id), NOTE)
        second, new = requests.open(retry(), 60_000, 10, NOTE)
        assert new and second.asked.id != first.asked.id
        assert requests.open(retry(), 60_000, 10, NOTE) == (second, False)

    @pytest.mark.parametrize(
        "change", [{"edge_id": "edge-2"}, {"requirement": "e" * 64}, {"command_digest": "e" * 64}, {"retry": False}]
    )
    def test_a5_nothing_else_joins_a_retry_grant(self, backend: Backend, change: dict[str, str]) -> None:
        requests = backend.ports.requests
        first, _ = requests.open(retry(), 60_000, 10, NOTE)
        requests.decide(ballot(first.asked.id), NOTE)
        other = retry()
        inner = {name: value for name, value in change.items() if name in ("command_digest", "retry")}
        outer = {name: value for name, value in change.items() if name not in inner}
        other = msgspec.structs.replace(other, opened=msgspec.structs.replace(other.opened, **inner), **outer)
        assert requests.open(other, 60_000, 10, NOTE)[1]

    def test_a_retry_grant_that_is_over_is_not_joined_and_a_denial_stands_for_a_while(self, backend: Backend) -> None:
        requests = backend.ports.requests
        first, _ = requests.open(retry(), 60_000, 10, NOTE)
        backend.clock.pass_seconds(60)
        second, new = requests.open(retry(), 60_000, 10, NOTE)
        assert new, "expired, though nobody said so yet"
        denied = requests.decide(ballot(second.asked.id, approve=False), NOTE)
        assert requests.open(retry(), 60_000, 10, NOTE) == (denied, False)
        backend.clock.pass_seconds(DENIAL_STANDS_MILLISECONDS // 1000)
        assert requests.open(retry(), 60_000, 10, NOTE)[1]
        assert first.asked.id != second.asked.id

    def test_a_grant_is_drawn_on_as_often_as_it_says_and_no_more(self, backend: Backend) -> None:
        requests = backend.ports.requests
        grant = approved_grant(backend, statements=2)
        assert requests.grants("edge-1", "agent-7") == [grant]
        for _ in range(2):
            before = opened(backend)
            after = requests.draw(drawing(before, grant), NOTE)
            assert (after.state, [vote.person_id for vote in after.votes]) == (State.APPROVED, ["rob"])
            assert (after.outcome.grant, after.due_at) == (grant.asked.id, backend.clock.now() + 60_000)
            assert records(backend)[-1]["outcome"] == "approved"
        third = opened(backend)
        with pytest.raises(Conflict):
            requests.draw(drawing(third, grant), NOTE)
        assert requests.find(third.asked.id) == third
        found = requests.find(grant.asked.id)
        assert found is not None and (found.state, found.outcome.drawn) == (State.APPROVED, 2)

    @pytest.mark.parametrize("change", [
        {"caller": "ci-deploy"}, {"target": "other"}, {"edge_id": "edge-2"}, {"excluded": ["rob"]}, {"approvals": 2},
    ])  # fmt: skip
    def test_a6_a_grant_covers_nothing_of_others(self, backend: Backend, change: dict[str, object]) -> None:
        grant = approved_grant(backend)
        what = asked()
        inner = {name: value for name, value in change.items() if name in ("caller", "target")}
        outer = {name: value for name, value in change.items() if name not in inner}
        what = msgspec.structs.replace(what, opened=msgspec.structs.replace(what.opened, **inner), **outer)
        before = opened(backend, what)
        with pytest.raises(Conflict):
            backend.ports.requests.draw(drawing(before, grant), NOTE)
        assert backend.ports.requests.find(before.asked.id) == before

    @pytest.mark.parametrize("change", [
        {"person_revisions": {"rob": 2}}, {"person_revisions": {"ann": 1}}, {"person_revisions": {}},
        {"policy_revision": 2},
    ])  # fmt: skip
    def test_a6_a_draw_is_checked_in_the_write_itself(self, backend: Backend, change: dict[str, object]) -> None:
        grant, before = approved_grant(backend), opened(backend)
        with pytest.raises(Conflict):
            backend.ports.requests.draw(msgspec.structs.replace(drawing(before, grant), **change), NOTE)
        assert backend.ports.requests.find(grant.asked.id) == grant

    def test_a_grant_ends_with_its_time_or_its_revocation(self, backend: Backend) -> None:
        requests = backend.ports.requests
        first, before = approved_grant(backend), opened(backend)
        requests.end(first.asked.id, Event.WITHDRAW, Outcome(), NOTE)
        second = approved_grant(backend)
        backend.clock.pass_seconds(60)
        assert requests.grants("edge-1", "agent-7") == []
        later = opened(backend)
        for grant, request in ((first, before), (second, later)):
            with pytest.raises(Conflict):
                requests.draw(drawing(request, grant), NOTE)

    def test_a_command_is_no_grant_and_a_grant_no_command(self, backend: Backend) -> None:
        plain, grant = approved(backend), approved_grant(backend)
        with pytest.raises(Conflict):
            backend.ports.requests.draw(drawing(opened(backend), plain), NOTE)
        pending = opened(backend, grant_of(asked(), 1))
        with pytest.raises(Conflict):
            backend.ports.requests.draw(drawing(pending, grant), NOTE)

    def test_of_many_at_once_the_last_statement_is_drawn_by_one(self, backend: Backend) -> None:
        grant = approved_grant(backend)
        waiting = [opened(backend) for _ in range(4)]
        start, won = threading.Barrier(4), list[str]()

        def go(request: Stored) -> None:
            start.wait()
            try:
                backend.ports.requests.draw(drawing(request, grant), NOTE)
            except Conflict:
                return
            won.append(request.asked.id)

        threads = [threading.Thread(target=go, args=(request,)) for request in waiting]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1

    def test_of_many_at_once_one_spends(self, backend: Backend) -> None:
        stored = approved(backend)
        start, won = threading.Barrier(6), list[str]()

        def go(number: int) -> None:
            start.wait()
            try:
                backend.ports.requests.spend(spend(stored.asked.id, f"{number:032x}"), NOTE)
            except Conflict:
                return
            won.append(str(number))

        threads = [threading.Thread(target=go, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1

    def test_lists_are_newest_first_and_by_state(self, backend: Backend) -> None:
        first = opened(backend)
        backend.clock.pass_seconds(1)
        second = approved(backend)
        listed = backend.ports.requests.listed(None)
        assert [one.asked.id for one in listed] == [second.asked.id, first.asked.id]
        assert [one.asked.id for one in backend.ports.requests.listed(State.PENDING)] == [first.asked.id]

    def test_what_is_due_and_unfinished_is_found(self, backend: Backend) -> None:
        stored = {state: in_state(backend, state) for state in State}
        due = dict(backend.ports.requests.due())
        waiting = {State.PENDING, State.APPROVED, State.SPENDING}
        assert due == {stored[state].asked.id: stored[state].due_at for state in waiting}
        found = backend.ports.requests.unfinished("edge-1", 100)
        assert {one.state for one in found} == {state.value for state in set(State) - FINAL}
        assert backend.ports.requests.unfinished("edge-2", 100) == []
        assert len(backend.ports.requests.unfinished("edge-1", 2)) == 2

    @pytest.mark.parametrize("state", sorted(State))
    def test_a_restart_changes_nothing(self, backend: Backend, state: State) -> None:
        stored = in_state(backend, state)
        count = len(records(backend))
        backend.reopen()
        assert backend.ports.requests.find(stored.asked.id) == stored
        assert len(records(backend)) == count
