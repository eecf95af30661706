"""Policy versions and proposals in SQLite."""

from __future__ import annotations

import sqlite3

import msgspec

from twokeys.errors import Conflict, InvalidInput, Refused, Unavailable
from twokeys.record import same_hash

from ...ports.policies import PolicyBallot, PolicyVersion, Proposal
from ...ports.records import Note
from .database import Database, raise_bundle_revision
from .people import log_edits
from .records import append


class SqlitePolicies:
    """Implements `ports.policies.Policies`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def current(self) -> PolicyVersion:
        return _current(self._database.read())

    def install(self, text: str, author: str, note: Note) -> PolicyVersion:
        with self._database.write() as connection:
            if connection.execute("SELECT 1 FROM policy_versions").fetchone():
                raise Conflict("There is a policy already.", not_done="Nothing was changed.", code="installed")
            now = self._database.clock.now()
            version = PolicyVersion(revision=1, text=text, author=author, approver="", at=now)
            _add(connection, version)
            append(connection, {**note, "policy_revision": 1}, now)
            return version

    def propose(self, proposal: Proposal, most_open: int, note: Note) -> None:
        with self._database.write() as connection:
            (count,) = connection.execute("SELECT count(*) FROM proposals WHERE state = 'open'").fetchone()
            if _current(connection).revision != proposal.base_revision:
                raise Conflict("The policy changed since you took it.", not_done="It was not proposed.",
                               advice="Take the policy in force, change that, and propose again.",
                               code="revision_moved")  # fmt: skip
            if count >= most_open:
                raise Conflict(f"{count} proposals are open.", not_done="It was not proposed.",
                               advice="Decide some first.", code="too_many")  # fmt: skip
            connection.execute(
                "INSERT INTO proposals VALUES (?, 'open', ?, ?)",
                (proposal.id, proposal.created_at, msgspec.json.encode(proposal)),
            )
            append(connection, note, self._database.clock.now())

    def proposal(self, proposal_id: str) -> Proposal | None:
        return _proposal(self._database.read(), proposal_id)

    def open_proposals(self) -> list[Proposal]:
        rows = self._database.read().execute("SELECT entry FROM proposals WHERE state = 'open' ORDER BY created_at, id")
        return [msgspec.json.decode(entry, type=Proposal) for (entry,) in rows]

    def decide(self, ballot: PolicyBallot, note: Note) -> Proposal:
        with self._database.write() as connection:
            proposal = _proposal(connection, ballot.proposal_id)
            current = _current(connection)
            _check(connection, proposal, current, ballot)
            assert proposal is not None  # noqa: S101 - _check refuses it
            now = self._database.clock.now()
            revision = current.revision
            if ballot.approve:
                revision += 1
                _add(connection, PolicyVersion(revision=revision, text=proposal.text, author=proposal.author,
                                               approver=ballot.person_id, at=now))  # fmt: skip
                log_edits(connection, proposal.author, ballot.edits, now)
                raise_bundle_revision(connection)
                for other in connection.execute("SELECT id FROM proposals WHERE state = 'open'").fetchall():
                    _set_state(connection, other[0], "outdated", "")
            state = "approved" if ballot.approve else "denied"
            decided = _set_state(connection, proposal.id, state, ballot.person_id)
            append(connection, {**note, "outcome": state, "policy_revision": revision}, now)
            return decided


def _check(
    connection: sqlite3.Connection, proposal: Proposal | None, current: PolicyVersion, ballot: PolicyBallot
) -> None:
    if proposal is None:
        raise InvalidInput("There is no such proposal.", not_done="Nothing was decided.", code="not_found")
    if proposal.state != "open" or proposal.base_revision != current.revision:
        raise Conflict(f"The proposal is {'outdated' if proposal.state == 'open' else proposal.state}.",
                       not_done="Nothing was decided.", code="moved")  # fmt: skip
    if not same_hash(proposal.text_sha256, ballot.text_sha256):
        raise Refused("What you were shown is another text than was proposed.", not_done="Nothing was decided.",
                      advice="Look at the proposal again.", code="digest_mismatch")  # fmt: skip
    if ballot.person_id == proposal.author and ballot.approve:
        raise Refused("You proposed it: somebody else must approve.", not_done="Nothing was decided.",
                      code="own_proposal")  # fmt: skip
    person = connection.execute("SELECT revision FROM persons WHERE id = ?", (ballot.person_id,)).fetchone()
    if person != (ballot.person_revision,):
        raise Conflict("People changed while you decided.", not_done="Nothing was decided.",
                       advice="Look again.", code="revision_moved")  # fmt: skip


def _add(connection: sqlite3.Connection, version: PolicyVersion) -> None:
    connection.execute("INSERT INTO policy_versions VALUES (?, ?)", (version.revision, msgspec.json.encode(version)))


def _current(connection: sqlite3.Connection) -> PolicyVersion:
    row = connection.execute("SELECT entry FROM policy_versions ORDER BY revision DESC LIMIT 1").fetchone()
    if row is None:
        raise Unavailable("This deployment has no policy yet.", not_done="Nothing was decided.",
                          advice="Run its bootstrap.", code="no_policy")  # fmt: skip
    return msgspec.json.decode(row[0], type=PolicyVersion)


def _proposal(connection: sqlite3.Connection, proposal_id: str) -> Proposal | None:
    row = connection.execute("SELECT entry FROM proposals WHERE id = ?", (proposal_id,)).fetchone()
    return msgspec.json.decode(row[0], type=Proposal) if row else None


def _set_state(connection: sqlite3.Connection, proposal_id: str, state: str, decided_by: str) -> Proposal:
    known = _proposal(connection, proposal_id)
    assert known is not None  # noqa: S101 - read in this transaction
    changed = msgspec.structs.replace(known, state=state, decided_by=decided_by)
    connection.execute(
        "UPDATE proposals SET state = ?, entry = ? WHERE id = ?", (state, msgspec.json.encode(changed), proposal_id)
    )
    return changed
