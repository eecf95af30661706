"""Policy versions and proposals in DynamoDB.

    POLICY / CURRENT, VERSION#<revision>, COUNT          PROPOSAL#<id>

An open Proposal whose base is not in force any more *is* outdated, whatever its item says: that is how it is read, so
nothing must be swept for a new version to outdate all others. Those that the index tells of are also marked, to keep
listings short. `COUNT` is of the open ones for the version in force.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, TypeVar

import msgspec

from twokeys.errors import Conflict, InvalidInput, Refused, Unavailable
from twokeys.record import same_hash

from ...ports.clock import Clock
from ...ports.people import PersonEntry
from ...ports.policies import PolicyBallot, PolicyVersion, Proposal
from ...ports.records import Note
from .people import DynamoPeople, edit_actions, judged_anew, person_key, raised_bundle
from .records import outbox
from .table import Action, Check, ConditionFailed, Item, Key, Put, Table, Update

MAX_MARKED: Final = 60
MAX_MARKED_BYTES: Final = 2_000_000
"""Most Proposals, and of their texts, marked outdated in the transaction of a new version: it has at most 4 MB."""

OPEN, APPROVED, DENIED, OUTDATED = "open", "approved", "denied", "outdated"

_CURRENT: Final = Key("POLICY", "CURRENT")
_COUNT: Final = Key("POLICY", "COUNT")
_IS_OPEN: Final = {"#state": "state"}


class DynamoPolicies:
    """Implements `ports.policies.Policies`."""

    def __init__(self, table: Table, clock: Clock) -> None:
        self._table, self._clock = table, clock
        self._people = DynamoPeople(table, clock)

    def current(self) -> PolicyVersion:
        item = self._table.get(_CURRENT)
        if item is None:
            raise Unavailable("This deployment has no policy yet.", not_done="Nothing was decided.",
                              advice="Run its bootstrap.", code="no_policy")  # fmt: skip
        return _plain(item, PolicyVersion)

    def install(self, text: str, author: str, note: Note) -> PolicyVersion:
        now = self._clock.now()
        version = PolicyVersion(revision=1, text=text, author=author, approver="", at=now)
        try:
            self._table.write(
                _item(_CURRENT, version, "attribute_not_exists(pk)"),
                _item(_version_key(1), version, "attribute_not_exists(pk)"),
                raised_bundle(),
                outbox({**note, "policy_revision": 1}, now),
            )
        except ConditionFailed as error:
            raise Conflict("There is a policy already.", not_done="Nothing was changed.",
                           code="installed") from error  # fmt: skip
        return version

    def propose(self, proposal: Proposal, most_open: int, note: Note) -> None:
        def attempt() -> None:
            kept = self._table.get(_key(proposal.id))
            if kept is not None:
                if msgspec.structs.replace(_plain(kept, Proposal), state=OPEN, decided_by="") == proposal:
                    return
                raise Conflict("The proposal's id is taken.", not_done="It was not proposed.", code="id_taken")
            if self.current().revision != proposal.base_revision:
                raise Conflict("The policy changed since you took it.", not_done="It was not proposed.",
                               advice="Take the policy in force, change that, and propose again.",
                               code="revision_moved")  # fmt: skip
            count = (self._table.get(_COUNT) or {}).get("proposals", 0)
            if count >= most_open:
                raise Conflict(f"{count} proposals are open.", not_done="It was not proposed.",
                               advice="Decide some first.", code="too_many")  # fmt: skip
            self._table.write(
                _item(_key(proposal.id), proposal, "attribute_not_exists(pk)", list_pk=_listing(OPEN),
                      list_sk=f"{proposal.created_at:015d}#{proposal.id}"),
                _in_force(proposal.base_revision),
                Update(_COUNT, "ADD proposals :one", "attribute_not_exists(proposals) OR proposals < :most",
                       {":one": 1, ":most": most_open}),
                outbox(note, self._clock.now()),
            )  # fmt: skip

        judged_anew(attempt)

    def proposal(self, proposal_id: str) -> Proposal | None:
        item = self._table.get(_key(proposal_id))
        if item is None:
            return None
        found = _plain(item, Proposal)
        return _as_read(found, self.current().revision) if found.state == OPEN else found

    def open_proposals(self) -> list[Proposal]:
        revision = self.current().revision
        return [one for one in self._listed_open() if _as_read(one, revision).state == OPEN]

    def decide(self, ballot: PolicyBallot, note: Note) -> Proposal:
        def attempt() -> Proposal:
            item = self._table.get(_key(ballot.proposal_id))
            proposal = _plain(item, Proposal) if item else None
            current = self.current()
            checked = _check(proposal, current, self._people.person(ballot.person_id), ballot)
            now, revision = self._clock.now(), current.revision
            if ballot.approve:
                revision += 1
                version = PolicyVersion(revision=revision, text=checked.text, author=checked.author,
                                        approver=ballot.person_id, at=now)  # fmt: skip
                state, changes = APPROVED, self._put_in_force(version, checked, ballot)
            else:
                state = DENIED
                changes = [_in_force(revision), Update(_COUNT, "ADD proposals :less", values={":less": -1})]
            self._table.write(
                _moved(checked.id, state, ballot.person_id),
                Check(person_key(ballot.person_id), "revision = :seen", {":seen": ballot.person_revision}),
                *changes,
                outbox({**note, "outcome": state, "policy_revision": revision}, now),
            )
            return msgspec.structs.replace(checked, state=state, decided_by=ballot.person_id)

        return judged_anew(attempt)

    def _put_in_force(self, version: PolicyVersion, proposal: Proposal, ballot: PolicyBallot) -> list[Action]:
        """Replace the version that is in force, outdating every other open Proposal."""
        others = _markable(one for one in self._listed_open() if one.id != proposal.id)
        return [
            _item(_CURRENT, version, "revision = :base", values={":base": proposal.base_revision}),
            _item(_version_key(version.revision), version, "attribute_not_exists(pk)"),
            Update(_COUNT, "SET proposals = :none", values={":none": 0}),
            *(_moved(one, OUTDATED, "") for one in others),
            *edit_actions(self._table, proposal.author, proposal.author, ballot.edits, version.at),
            raised_bundle(),
        ]

    def _listed_open(self) -> list[Proposal]:
        """Open by the index, which may be late: decided ones among them are found out by their own item."""
        items = self._table.query(_listing(OPEN), index=True)
        listed = (_plain(item, Proposal) for item in items)
        found = (self._table.get(_key(one.id)) for one in listed)
        return [one for one in (_plain(item, Proposal) for item in found if item) if one.state == OPEN]


def _check(
    proposal: Proposal | None, current: PolicyVersion, person: PersonEntry | None, ballot: PolicyBallot
) -> Proposal:
    """The Proposal, when this vote counts for it."""
    if proposal is None:
        raise InvalidInput("There is no such proposal.", not_done="Nothing was decided.", code="not_found")
    state = _as_read(proposal, current.revision).state
    if state != OPEN:
        raise Conflict(f"The proposal is {state}.", not_done="Nothing was decided.", code="moved")
    if not same_hash(proposal.text_sha256, ballot.text_sha256):
        raise Refused("What you were shown is another text than was proposed.", not_done="Nothing was decided.",
                      advice="Look at the proposal again.", code="digest_mismatch")  # fmt: skip
    if ballot.person_id == proposal.author and ballot.approve:
        raise Refused("You proposed it: somebody else must approve.", not_done="Nothing was decided.",
                      code="own_proposal")  # fmt: skip
    if person is None or person.revision != ballot.person_revision:
        raise Conflict("People changed while you decided.", not_done="Nothing was decided.",
                       advice="Look again.", code="revision_moved")  # fmt: skip
    return proposal


def _markable(others: Iterable[Proposal]) -> list[str]:
    """Ids of as many as fit into the transaction; the others are outdated all the same."""
    found: list[str] = []
    left = MAX_MARKED_BYTES
    for one in others:
        left -= len(one.text.encode()) + len(one.reason.encode())
        if left < 0 or len(found) == MAX_MARKED:
            break
        found.append(one.id)
    return found


def _as_read(proposal: Proposal, revision: int) -> Proposal:
    if proposal.state == OPEN and proposal.base_revision != revision:
        return msgspec.structs.replace(proposal, state=OUTDATED)
    return proposal


def _moved(proposal_id: str, state: str, decided_by: str) -> Update:
    """From open to another state."""
    return Update(
        _key(proposal_id),
        "SET #state = :state, decided_by = :by, list_pk = :listing",
        "#state = :open",
        {":state": state, ":by": decided_by, ":listing": _listing(state), ":open": OPEN},
        _IS_OPEN,
    )


def _in_force(revision: int) -> Check:
    return Check(_CURRENT, "revision = :base", {":base": revision})


def _item(
    key: Key, value: PolicyVersion | Proposal, condition: str, values: dict[str, Any] | None = None, **more: str
) -> Put:
    # Fields as attributes: as JSON in one attribute, escapes could double a long text.
    item = {**msgspec.to_builtins(value), "pk": key.pk, "sk": key.sk, **more}
    return Put(item, condition, values or {})


_Kept = TypeVar("_Kept", PolicyVersion, Proposal)


def _plain(item: Item, kind: type[_Kept]) -> _Kept:
    return msgspec.convert(item, kind)


def _key(proposal_id: str) -> Key:
    return Key(f"PROPOSAL#{proposal_id}", "PROPOSAL")


def _version_key(revision: int) -> Key:
    return Key("POLICY", f"VERSION#{revision:016d}")


def _listing(state: str) -> str:
    return f"PROPOSALS#{state}"
