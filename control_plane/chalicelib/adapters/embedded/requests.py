"""Requests in SQLite: each arrow is one UPDATE whose WHERE names the states it may leave, then its Record, at once."""

from __future__ import annotations

import sqlite3
from typing import Final

import msgspec

from twokeys.errors import Conflict, InvalidInput, Refused, Unavailable
from twokeys.messages import OpenItem
from twokeys.record import same_hash
from twokeys.request import Event, State, Vote, sources, tally, transition

from ...ports.records import Note
from ...ports.requests import (
    DENIAL_STANDS_MILLISECONDS,
    MAX_ITEM_BYTES,
    MAX_LISTED,
    Asked,
    Ballot,
    CastVote,
    Draw,
    Outcome,
    Spend,
    Spending,
    Stored,
    answers_again,
    drawn,
)
from .database import Database
from .records import append

_COLUMNS: Final = "id, state, due_at, moved_at, asked, spending, outcome"
_UNFINISHED: Final = "('pending', 'approved', 'spending', 'in_doubt')"


class SqliteRequests:
    """Implements `ports.requests.Requests`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._clock = database.clock

    def open(self, asked: Asked, hold_milliseconds: int, most_unfinished: int, note: Note) -> tuple[Stored, bool]:
        with self._database.write() as connection:
            known = _find(connection, asked.id)
            if known is not None:
                if known.asked.edge_id != asked.edge_id or known.asked.content_sha256 != asked.content_sha256:
                    raise Conflict("The request's id is taken by another request.", not_done="It was not opened.",
                                   advice="Use a fresh id.", code="id_taken")  # fmt: skip
                return known, False
            now = self._clock.now()
            if (earlier := _earlier(connection, asked, now)) is not None:
                return earlier, False
            (count,) = connection.execute(
                f"SELECT count(*) FROM requests WHERE edge_id = ? AND state IN {_UNFINISHED}",  # noqa: S608
                (asked.edge_id,),
            ).fetchone()
            if count >= most_unfinished:
                raise Unavailable(f"The edge has {count} unfinished requests.", not_done="The request was not opened.",
                                  advice="Wait until people have decided some.", code="too_many")  # fmt: skip
            asked = msgspec.structs.replace(asked, opened_at=now)
            data = msgspec.json.encode(asked)
            if len(data) > MAX_ITEM_BYTES:
                raise InvalidInput(f"A request's item is over {MAX_ITEM_BYTES} bytes.", not_done="It was not opened.",
                                   advice="Split the command.", code="too_large")  # fmt: skip
            connection.execute(
                "INSERT INTO requests VALUES (?, ?, 'pending', ?, ?, ?, ?, ?, ?, NULL, NULL)",
                (asked.id, asked.edge_id, now + hold_milliseconds, now, now, asked.opened.command_digest,
                 asked.content_sha256, data),
            )  # fmt: skip
            append(connection, note, now)
            return Stored(asked=asked, state=State.PENDING, due_at=now + hold_milliseconds, moved_at=now), True

    def find(self, request_id: str) -> Stored | None:
        return _find(self._database.read(), request_id)

    def decide(self, ballot: Ballot, note: Note) -> Stored:
        with self._database.write() as connection:
            now = self._clock.now()
            stored = _existing(connection, ballot.request_id)
            mine = next((vote for vote in stored.votes if vote.person_id == ballot.person_id), None)
            if mine is not None and mine.approve == ballot.approve:
                return stored
            _check_ballot(connection, stored, ballot, now)
            if mine is not None:
                raise Conflict("You have voted on this request already.", not_done="Nothing was changed.",
                               code="voted_already")  # fmt: skip
            vote = CastVote(person_id=ballot.person_id, approve=ballot.approve, reason=ballot.reason, at=now)
            connection.execute(
                "INSERT INTO votes VALUES (?, ?, ?, ?, ?)",
                (ballot.request_id, vote.person_id, int(vote.approve), vote.reason, now),
            )
            votes = [*stored.votes, vote]
            event = tally([Vote(one.person_id, one.approve) for one in votes], stored.asked.approvals)
            word = "vote" if event is None else transition(State.PENDING, event).value
            if event is not None:
                due_at = now + ballot.lapse_milliseconds if event is Event.APPROVE else 0
                outcome = Outcome(reason=ballot.reason) if event is Event.DENY else Outcome()
                _move(connection, stored, event, now, due_at, outcome=outcome)
            append(connection, {**note, "outcome": word}, now)
            return _existing(connection, ballot.request_id)

    def grants(self, edge_id: str, caller: str) -> list[Stored]:
        connection = self._database.read()
        rows = connection.execute(
            f"SELECT {_COLUMNS} FROM requests WHERE edge_id = ? AND state IN {_UNFINISHED}"  # noqa: S608
            " AND state = 'approved' AND due_at > ? ORDER BY opened_at",
            (edge_id, self._clock.now()),
        ).fetchall()
        found = [_stored(connection, row) for row in rows]
        return [one for one in found if one.asked.is_grant and one.asked.opened.caller == caller]

    def draw(self, draw: Draw, note: Note) -> Stored:
        with self._database.write() as connection:
            now = self._clock.now()
            stored, grant = _existing(connection, draw.request_id), _existing(connection, draw.grant_id)
            votes, counted = drawn(stored, grant, draw, now)
            for person_id, revision in draw.person_revisions.items():
                _check_revisions(connection, person_id, revision, draw.policy_revision)
            connection.executemany(
                "INSERT INTO votes VALUES (?, ?, 1, ?, ?)",
                [(draw.request_id, vote.person_id, vote.reason, now) for vote in votes],
            )
            connection.execute(
                "UPDATE requests SET outcome = ? WHERE id = ? AND state = 'approved'",
                (msgspec.json.encode(counted), draw.grant_id),
            )
            due_at = now + draw.lapse_milliseconds
            _move(connection, stored, Event.APPROVE, now, due_at, outcome=Outcome(grant=draw.grant_id))
            append(connection, {**note, "outcome": State.APPROVED.value}, now)
            return _existing(connection, draw.request_id)

    def spend(self, spend: Spend, note: Note) -> Stored:
        with self._database.write() as connection:
            now = self._clock.now()
            stored = _existing(connection, spend.request_id)
            if stored.asked.edge_id != spend.edge_id or not same_hash(
                stored.asked.opened.command_digest, spend.command_digest
            ):
                raise Conflict("The request is another edge's, or of another command.",
                               not_done="No approval was made.", code="spend_mismatch")  # fmt: skip
            known = stored.spending
            if stored.state is State.SPENDING and known is not None and same_hash(known.nonce, spend.spending.nonce):
                return stored
            if stored.state is State.APPROVED and stored.due_at <= now:
                raise Conflict("The approval has lapsed.", not_done="No approval was made.", code="lapsed")
            _move(connection, stored, Event.SPEND, now, now + spend.result_milliseconds, spending=spend.spending)
            append(connection, {**note, "outcome": State.SPENDING.value}, now)
            return _existing(connection, spend.request_id)

    def keep_reply(self, request_id: str, nonce: str, reply: bytes) -> bytes:
        with self._database.write() as connection:
            spending = _existing(connection, request_id).spending
            if spending is None or not same_hash(spending.nonce, nonce):
                raise Conflict("The request was spent by another call.", not_done="No approval was made.",
                               code="spent_already")  # fmt: skip
            if not spending.reply:
                kept = msgspec.structs.replace(spending, reply=reply)
                connection.execute(
                    "UPDATE requests SET spending = ? WHERE id = ?", (msgspec.json.encode(kept), request_id)
                )
            return spending.reply or reply

    def end(self, request_id: str, event: Event, outcome: Outcome, note: Note, *, when_due: bool = False) -> Stored:
        with self._database.write() as connection:
            now = self._clock.now()
            stored = _existing(connection, request_id)
            if when_due and not 0 < stored.due_at <= now:
                raise Conflict("The request's time is not over.", not_done="Nothing was changed.", code="not_due")
            state = _move(connection, stored, event, now, 0, outcome=outcome)
            append(connection, {**note, "outcome": state.value}, now)
            return _existing(connection, request_id)

    def listed(self, state: State | None, most: int = MAX_LISTED) -> list[Stored]:
        connection = self._database.read()
        where, values = ("WHERE state = ?", (state.value,)) if state is not None else ("", ())
        rows = connection.execute(
            f"SELECT {_COLUMNS} FROM requests {where} ORDER BY opened_at DESC, id LIMIT ?",  # noqa: S608
            (*values, min(most, MAX_LISTED)),
        ).fetchall()
        return [_stored(connection, row) for row in rows]

    def unfinished(self, edge_id: str, most: int) -> list[OpenItem]:
        rows = (
            self._database.read()
            .execute(
                "SELECT id, state, asked, spending FROM requests"  # noqa: S608
                f" WHERE edge_id = ? AND state IN {_UNFINISHED} ORDER BY opened_at LIMIT ?",
                (edge_id, most),
            )
            .fetchall()
        )
        return [_open_item(*row) for row in rows]

    def due(self) -> list[tuple[str, int]]:
        return list(self._database.read().execute("SELECT id, due_at FROM requests WHERE due_at > 0"))


def _check_ballot(connection: sqlite3.Connection, stored: Stored, ballot: Ballot, now: int) -> None:
    """Everything that must hold in the transaction that counts the vote."""
    transition(stored.state, Event.APPROVE if ballot.approve else Event.DENY)
    if stored.due_at <= now:
        raise Conflict("The request's time is over.", not_done="Nothing was decided.", code="expired")
    if not same_hash(stored.asked.opened.command_digest, ballot.command_digest):
        raise Refused("What you were shown is another command than the request holds.",
                      not_done="Nothing was decided.", advice="Open the request again and read it.",
                      code="digest_mismatch")  # fmt: skip
    if not same_hash(stored.asked.opened.preview_digest, ballot.preview_digest):
        raise Refused("What you were shown is another preview than the request holds.",
                      not_done="Nothing was decided.", advice="Open the request again and read it.",
                      code="preview_mismatch")  # fmt: skip
    if ballot.person_id in stored.asked.excluded:
        raise Refused("Somebody else must decide: you asked for it, answer for who asked, or edited its rules.",
                      not_done="Nothing was decided.", code="excluded")  # fmt: skip
    _check_revisions(connection, ballot.person_id, ballot.person_revision, ballot.policy_revision)


def _check_revisions(
    connection: sqlite3.Connection, person_id: str, person_revision: int, policy_revision: int
) -> None:
    person = connection.execute("SELECT revision FROM persons WHERE id = ?", (person_id,)).fetchone()
    (policy,) = connection.execute("SELECT max(revision) FROM policy_versions").fetchone()
    if person != (person_revision,) or policy != policy_revision:
        raise Conflict("People or policy changed while you decided.", not_done="Nothing was decided.",
                       advice="Open the request again.", code="revision_moved")  # fmt: skip


def _move(
    connection: sqlite3.Connection,
    stored: Stored,
    event: Event,
    now: int,
    due_at: int,
    *,
    spending: Spending | None = None,
    outcome: Outcome | None = None,
) -> State:
    """The one place that writes `state`: a conditional write from the table's sources of this event."""
    after = transition(stored.state, event)
    from_states = sorted(state.value for state in sources(event))
    done = connection.execute(
        "UPDATE requests SET state = ?, due_at = ?, moved_at = ?, spending = coalesce(?, spending),"  # noqa: S608
        f" outcome = coalesce(?, outcome) WHERE id = ? AND state IN ({','.join('?' * len(from_states))})",
        (after.value, due_at, now, msgspec.json.encode(spending) if spending else None,
         msgspec.json.encode(outcome) if outcome else None, stored.asked.id, *from_states),
    )  # fmt: skip
    if done.rowcount != 1:
        raise Conflict("The request moved meanwhile.", not_done="Nothing was changed.", code="moved")
    return after


def _find(connection: sqlite3.Connection, request_id: str) -> Stored | None:
    row = connection.execute(
        f"SELECT {_COLUMNS} FROM requests WHERE id = ?",  # noqa: S608
        (request_id,),
    ).fetchone()
    return _stored(connection, row) if row else None


def _earlier(connection: sqlite3.Connection, asked: Asked, now: int) -> Stored | None:
    """The retry grant that this one joins, the newest first."""
    if not asked.opened.retry:
        return None
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM requests WHERE edge_id = ? AND command_digest = ? AND"  # noqa: S608
        f" (state IN {_UNFINISHED} OR state = 'denied' AND moved_at > ?) ORDER BY opened_at DESC",
        (asked.edge_id, asked.opened.command_digest, now - DENIAL_STANDS_MILLISECONDS),
    ).fetchall()
    return next((one for row in rows if answers_again(one := _stored(connection, row), asked, now)), None)


def _existing(connection: sqlite3.Connection, request_id: str) -> Stored:
    found = _find(connection, request_id)
    if found is None:
        raise InvalidInput("There is no such request.", not_done="Nothing was changed.", code="not_found")
    return found


def _stored(
    connection: sqlite3.Connection, row: tuple[str, str, int, int, bytes, bytes | None, bytes | None]
) -> Stored:
    request_id, state, due_at, moved_at, asked, spending, outcome = row
    votes = connection.execute(
        "SELECT person_id, approve, reason, at FROM votes WHERE request_id = ? ORDER BY at, person_id", (request_id,)
    )
    return Stored(
        asked=msgspec.json.decode(asked, type=Asked),
        state=State(state),
        due_at=due_at,
        moved_at=moved_at,
        votes=[CastVote(person_id=who, approve=bool(yes), reason=why, at=at) for who, yes, why, at in votes],
        spending=msgspec.json.decode(spending, type=Spending) if spending else None,
        outcome=msgspec.json.decode(outcome, type=Outcome) if outcome else Outcome(),
    )


def _open_item(request_id: str, state: str, asked: bytes, spending: bytes | None) -> OpenItem:
    request = msgspec.json.decode(asked, type=Asked)
    opened = request.opened
    spent = msgspec.json.decode(spending, type=Spending) if spending else None
    return OpenItem(
        id=request_id,
        state=state,
        target=opened.target,
        database=opened.database,
        xid=spent.xid if spent else "",
        nonce=spent.nonce if spent else "",
        retry=opened.retry,
        opened_at=request.opened_at,
    )
