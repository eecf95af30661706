"""Opening: what an Edge can't get past, and what it gets twice."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from control_plane.chalicelib.ports.people import MachineChange
from control_plane.chalicelib.services.notes import note
from control_plane.chalicelib.services.policies import PolicyVerdict
from tests.control_plane.world import FINGERPRINT, TARGET, World, fresh_id
from twokeys.bundle import Issuer
from twokeys.caller import Caller, CallerKind
from twokeys.command import PostgresCommand, QueryProtocol, Setting, command_digest
from twokeys.digest import canonical, sha256, to_base64
from twokeys.errors import Conflict, InvalidInput, Refused, Unavailable
from twokeys.messages import WithdrawRequest
from twokeys.preview import Cell, Column, Preview, Row, preview_digest, read_stored, to_bytes
from twokeys.record import RecordType
from twokeys.request import FINAL, State


def test_an_honest_request_is_pending_and_says_who_was_asked(a_world: World) -> None:
    status = a_world.open()
    assert (status.state, status.seconds_left, status.asked) == ("pending", 60, ["reviewers"])
    stored = a_world.stored(status.id)
    assert stored.asked.opened.sponsor == "ann"
    assert stored.asked.opened.command is None
    assert set(stored.asked.excluded) == {"agent-7", "ann"}
    assert a_world.ports.blobs.has(stored.asked.opened.command_sha256)
    (record,) = a_world.records("open")
    assert record["request"] == status.id
    assert record["sponsor"] == "ann"


PREVIEW = Preview(
    action="UPDATE",
    rows=1,
    columns=[Column(name="paid", assigned=True)],
    sample=[Row(before=[Cell(text="f")], after=[Cell(text="t")])],
)


def previewed(what: Preview = PREVIEW, **changes: Any) -> dict[str, Any]:
    data = to_bytes(what)
    fields = {"preview": to_base64(data), "preview_digest": preview_digest(data), "most_rows": what.rows}
    return {**fields, **changes}


def test_a_preview_is_kept_as_a_blob_and_its_digest_with_the_request(a_world: World) -> None:
    asked = a_world.stored(a_world.open(**previewed()).id).asked
    assert (asked.opened.preview, asked.opened.most_rows) == ("", 1)
    kept = a_world.ports.blobs.get(asked.opened.preview_digest)
    assert kept is not None
    assert read_stored(kept) == PREVIEW


def test_values_of_a_preview_are_in_no_record_of_the_control_plane(a_world: World) -> None:
    secret = Preview(action="UPDATE", columns=[Column(name="a")], sample=[Row(after=[Cell(text="ann@example.com")])])
    a_world.open(**previewed(secret))
    assert "ann@example.com" not in repr(a_world.records())


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"most_rows": 2}, "preview_mismatch"),
        ({"most_rows": None}, "preview_mismatch"),
        ({"preview_digest": "0" * 64}, "preview_mismatch"),
        ({"preview_digest": ""}, "preview_mismatch"),
        ({"preview": ""}, "preview_mismatch"),
        ({"preview": "", "preview_digest": ""}, "preview_mismatch"),
        ({"preview": to_base64(b"{}"), "preview_digest": preview_digest(b"{}")}, "malformed_preview"),
    ],
)
def test_a5_a_preview_that_contradicts_its_digest_or_count_opens_nothing(
    a_world: World, changes: dict[str, Any], code: str
) -> None:
    with pytest.raises(InvalidInput) as refusal:
        a_world.open(**previewed(**changes))
    assert refusal.value.code == code
    assert a_world.records("open") == []


def test_the_same_message_twice_is_one_request(a_world: World) -> None:
    message = a_world.message()
    first = a_world.services.requests.open(a_world.edge, message)
    a_world.clock.pass_seconds(5)
    second = a_world.services.requests.open(a_world.edge, message)
    assert (second.id, second.state, second.seconds_left) == (first.id, "pending", 55)
    assert len(a_world.records("open")) == 1


def test_the_same_message_after_a_decision_gets_the_decision(a_world: World) -> None:
    message = a_world.message()
    a_world.services.requests.open(a_world.edge, message)
    a_world.vote("rob", message.id, approve=False, reason="Not now.")
    again = a_world.services.requests.open(a_world.edge, message)
    assert (again.state, again.reason, again.decided_by) == ("denied", "Not now.", ["rob"])


def test_an_id_with_other_content_is_refused(a_world: World) -> None:
    message = a_world.message()
    a_world.services.requests.open(a_world.edge, message)
    with pytest.raises(Conflict, match="id is taken"):
        a_world.services.requests.open(a_world.edge, msgspec.structs.replace(message, client="other"))


def test_another_edge_can_neither_take_the_id_nor_see_the_request(a_world: World) -> None:
    message = a_world.message()
    a_world.services.requests.open(a_world.edge, message)
    other = msgspec.structs.replace(a_world.edge, edge_id="edge-2")
    with pytest.raises(Conflict):
        a_world.services.requests.open(other, message)
    with pytest.raises(InvalidInput, match="no such request"):
        a_world.services.requests.look(other, message.id)
    with pytest.raises(InvalidInput, match="no such request"):
        a_world.services.requests.withdraw(other, message.id, WithdrawRequest(reason="x"))


def test_a_target_of_another_edge_is_refused(a_world: World) -> None:
    with pytest.raises(Refused, match="not this edge's"):
        a_world.open(target="prod-db")


def test_an_unknown_caller_is_refused(a_world: World) -> None:
    with pytest.raises(Refused, match="not registered"):
        a_world.open(caller="stranger", sponsor="ann")


def test_a7_sponsor_and_groups_of_a_registered_caller_never_come_from_the_wire(a_world: World) -> None:
    opened = a_world.open(sponsor="rob", groups=["reviewers"], caller_kind="person")
    asked = a_world.stored(opened.id).asked
    assert (asked.opened.sponsor, asked.opened.groups, asked.opened.caller_kind) == ("ann", [], "machine")
    assert "ann" in asked.excluded


def test_a_machine_whose_sponsor_is_nobody_is_refused(a_world: World) -> None:
    orphan = Caller("agent-8", CallerKind.MACHINE, "gone")
    a_world.ports.people.put_machine(MachineChange(machine=orphan, edits=[]), "ann", note(RecordType.PEOPLE))
    with pytest.raises(Refused, match="Nobody answers"):
        a_world.open(caller="agent-8")


def test_a_stranger_of_a_trusted_issuer_needs_a_registered_sponsor(a_world: World) -> None:
    _trust(a_world, sponsor_claim="sponsor")
    with pytest.raises(Refused, match="Nobody answers"):
        a_world.open(caller="ci+deploy", sponsor="mallory")
    with pytest.raises(Refused):
        a_world.open(caller="ci+deploy", sponsor="")
    caller = Caller("ci+deploy", CallerKind.MACHINE, "rob")
    opened = a_world.open(caller="ci+deploy", sponsor="rob", caller_kind="person", decided_as=caller)
    assert a_world.stored(opened.id).asked.opened.caller_kind == caller.kind.value
    assert "rob" in a_world.stored(opened.id).asked.excluded


def test_a7_an_issuer_vouches_for_callers_behind_its_prefix_alone(a_world: World) -> None:
    _trust(a_world, sponsor_claim="sponsor")
    for caller in ("deploy", "other+deploy", "cideploy"):
        with pytest.raises(Refused) as caught:
            a_world.open(caller=caller, sponsor="rob")
        assert caught.value.code == "unknown_caller"


def test_a7_an_issuer_says_nothing_that_its_owner_did_not_ask_for(a_world: World) -> None:
    _trust(a_world)
    for claims in ({"sponsor": "rob"}, {"sponsor": "", "groups": ["ci+staff"]}):
        with pytest.raises(Refused) as caught:
            a_world.open(caller="ci+deploy", **claims)
        assert caught.value.code == "issuer_overreach"
    _trust(a_world, sponsor_claim="sponsor", groups_claim="groups")
    with pytest.raises(Refused) as caught:
        a_world.open(caller="ci+deploy", sponsor="rob", groups=["ci+staff", "reviewers"])
    assert caught.value.code == "issuer_overreach"


def _trust(a_world: World, *, sponsor_claim: str = "", groups_claim: str = "") -> None:
    issuer = Issuer(issuer="https://issuer.example", jwks={"keys": []}, subject_prefix="ci+",
                    sponsor_claim=sponsor_claim, groups_claim=groups_claim)  # fmt: skip
    a_world.ports.people.put_issuer(issuer, "ann", [], note(RecordType.PEOPLE))


def test_policy_is_asked_again_and_its_denial_refuses(a_world: World) -> None:
    _policy(a_world, '@id("only-reads")\npermit (principal, action == Action::"read", resource);\n')
    with pytest.raises(Refused) as caught:
        a_world.open()
    assert caught.value.code == "policy_denied"


def test_a11_an_edge_that_decided_under_older_rules_is_sent_back(a_world: World) -> None:
    stale = a_world.message()
    text = a_world.ports.policies.current().text.replace('@id("starter-request")',
                                                         '@id("starter-request")\n@approvals("2")')  # fmt: skip
    _policy(a_world, text)
    with pytest.raises(Conflict) as caught:
        a_world.services.requests.open(a_world.edge, stale)
    assert caught.value.code == "stale_bundle"
    assert a_world.stored(a_world.open().id).asked.approvals == 2


@pytest.mark.parametrize(
    "change",
    [
        {"command_sha256": "0" * 64},
        {"command_bytes": 1},
        {"command": to_base64(b"{}")},
        {"protocol": "extended"},
        {"types": ["integer"]},
        {"accesses": ["write:planet:x"]},
        {"accesses": ["write"]},
        {"certain": False},
    ],
)
def test_what_contradicts_itself_is_refused(a_world: World, change: dict[str, Any]) -> None:
    with pytest.raises((InvalidInput, Refused, Conflict)):
        a_world.open(**change)
    assert a_world.ports.requests.listed(None) == []


@pytest.mark.parametrize(
    "change",
    [{"command_digest": "0" * 64}, {"fingerprint": "0" * 64}, {"database": "other"}],
    ids=["digest", "fingerprint", "database"],
)
def test_a4_a_digest_of_anything_but_what_is_shown_is_refused(a_world: World, change: dict[str, str]) -> None:
    honest = a_world.message()
    with pytest.raises(InvalidInput) as caught:
        a_world.services.requests.open(a_world.edge, msgspec.structs.replace(honest, **change))
    assert caught.value.code == "command_mismatch"
    assert a_world.ports.requests.listed(None) == []


def test_a4_the_digest_of_another_commands_text_is_refused(a_world: World) -> None:
    other = a_world.message("DELETE FROM shop.orders")
    with pytest.raises(InvalidInput, match="not of this command"):
        a_world.open(command_digest=other.command_digest)


def test_types_are_as_many_as_the_values(a_world: World) -> None:
    command = PostgresCommand(QueryProtocol.EXTENDED, b"UPDATE t SET a = $1", (), (0,), (b"1",))
    opened = a_world.open(of=command, protocol="extended", types=["shop.mood"])
    assert a_world.stored(opened.id).asked.opened.types == ["shop.mood"]
    with pytest.raises(InvalidInput, match="another number of values"):
        a_world.open(of=command, protocol="extended", types=["integer", "text"])


def test_a_command_that_is_not_in_its_one_spelling_is_refused(a_world: World) -> None:
    command = PostgresCommand(QueryProtocol.SIMPLE, b"UPDATE t SET a = 1")
    data = canonical(command.to_json()).replace(b'{"kind"', b'{ "kind"')
    with pytest.raises(InvalidInput, match="canonical"):
        a_world.open(command=to_base64(data), command_sha256=sha256(data), command_bytes=len(data))


def test_the_excerpt_is_taken_from_the_command_not_from_the_wire(a_world: World) -> None:
    opened = a_world.open("UPDATE shop.orders SET paid = true", excerpt="SELECT 1")
    assert a_world.stored(opened.id).asked.opened.excerpt == "UPDATE shop.orders SET paid = true"


def test_a_command_that_was_uploaded_is_found_by_its_hash(a_world: World) -> None:
    command = PostgresCommand(QueryProtocol.SIMPLE, b"UPDATE shop.orders SET note = '" + b"x" * 400_000 + b"'")
    data = canonical(command.to_json())
    fields: dict[str, Any] = {
        "command": None, "command_sha256": sha256(data), "command_bytes": len(data),
        "command_digest": command_digest(command, Setting(TARGET, "shop", "agent-7", FINGERPRINT)),
    }  # fmt: skip
    with pytest.raises(InvalidInput, match="not uploaded"):
        a_world.open(**fields)
    a_world.ports.blobs.put(data)
    assert len(a_world.stored(a_world.open(**fields).id).asked.opened.excerpt) == 8192


def test_an_item_over_the_limit_of_both_backends_is_refused(a_world: World) -> None:
    with pytest.raises(InvalidInput, match="400000 bytes"):
        a_world.open(reasons=["x" * 8192] * 60)


def test_hold_seconds_are_capped_by_the_deployment(a_world: World) -> None:
    assert a_world.open(hold_seconds=86400).seconds_left == 3600


def test_a_withdrawal_is_idempotent_and_final(a_world: World) -> None:
    opened = a_world.open().id
    for _ in range(2):
        status = a_world.services.requests.withdraw(a_world.edge, opened, WithdrawRequest(reason="hung up"))
        assert (status.state, status.reason) == ("withdrawn", "hung up")
    with pytest.raises(Conflict):
        a_world.vote("rob", opened)


@pytest.mark.parametrize("state", sorted(FINAL - {State.WITHDRAWN}))
def test_a_withdrawal_of_what_is_over_changes_nothing(a_world: World, state: State) -> None:
    opened = a_world.in_state(state)
    status = a_world.services.requests.withdraw(a_world.edge, opened, WithdrawRequest(reason="hung up"))
    assert status.state == state.value


def test_what_is_spent_cannot_be_withdrawn(a_world: World) -> None:
    opened = a_world.in_state(State.SPENDING)
    with pytest.raises(Conflict):
        a_world.services.requests.withdraw(a_world.edge, opened, WithdrawRequest(reason="hung up"))


def test_an_edge_that_starts_is_told_what_is_unfinished(a_world: World) -> None:
    states = (State.PENDING, State.SPENDING, State.IN_DOUBT, State.DONE, State.DENIED)
    opened = {state: a_world.in_state(state) for state in states}
    found = a_world.services.requests.unfinished(a_world.edge)
    assert {one.id: one.state for one in found.requests} == {
        opened[state]: state.value for state in (State.PENDING, State.SPENDING, State.IN_DOUBT)
    }
    spent = next(one for one in found.requests if one.state == "spending")
    assert (spent.xid, spent.nonce) == ("771", "a" * 32)
    assert not found.more


def test_one_edge_cannot_flood(a_world: World) -> None:
    requests = a_world.ports.requests
    asked = a_world.stored(a_world.open().id).asked
    another = msgspec.structs.replace(asked, opened=msgspec.structs.replace(asked.opened, id=fresh_id()))
    with pytest.raises(Unavailable, match="unfinished"):
        requests.open(another, 1000, 1, note(RecordType.OPEN))


def _policy(world: World, text: str) -> None:
    changes = world.services.policies
    proposal = changes.propose(world.person("ann"), text, "test", world.ports.policies.current().revision)
    changes.decide(world.person("rob"), proposal.id, PolicyVerdict(True, "", proposal.text_sha256))


def test_a7_a_retry_grant_is_opened_where_policy_says_so_alone(a_world: World) -> None:
    with pytest.raises(Conflict, match="other rules"):
        a_world.open(retry=True)


def test_an_approved_retry_grant_waits_longer_for_its_caller(a_world: World) -> None:
    text = a_world.ports.policies.current().text.replace('@id("starter-request")', '@id("starter-request")\n@wait("0")')
    _policy(a_world, text)
    with pytest.raises(Conflict, match="other rules"):
        a_world.open()
    opened = a_world.open(retry=True)
    assert opened.grant_seconds == a_world.limits.retry_seconds
    assert a_world.open(retry=True).id == opened.id
    a_world.vote("rob", opened.id)
    a_world.clock.pass_seconds(a_world.limits.lapse_seconds + 1)
    assert a_world.open(retry=True).state == "approved"
    assert a_world.spend(opened.id).approval["request_id"] == opened.id
