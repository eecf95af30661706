"""Requests in DynamoDB: each arrow is one transaction of conditional writes, its Record among them.

    REQ#<id> / REQ                          the Request; `moves` counts its changes and is each one's condition
    EDGE#<edge> / OPEN#<opened_at>#<id>     there while it is unfinished          EDGE#<edge> / COUNT     how many
    EDGE#<edge> / GRANT#<caller>#<id>       a session grant of this caller; it may be over
    EDGE#<edge> / RETRY#<digest>            the newest retry grant of a Command; it may be over

Each change is read, judged and written on the condition that what was read still stands; when it does not, all of it
is judged anew. So a refusal always comes from what is there, never from guessing which condition failed, and a call
that is repeated because its outcome was unknown finds its own earlier effect.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from twokeys.errors import Conflict, InvalidInput, Refused, Unavailable
from twokeys.messages import OpenItem
from twokeys.record import same_hash
from twokeys.request import FINAL, Event, State, Vote, tally, transition

from ...ports.clock import Clock
from ...ports.records import Note
from ...ports.requests import (
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
from .people import judged_anew, person_key
from .records import outbox
from .table import TTL, Action, Check, Delete, Item, Key, Put, Table, Update

MAX_ID_BYTES: Final = 200
"""Longest id that is looked up: ids come from paths, and DynamoDB refuses some texts. What is longer does not exist."""

MAX_ASKED_BYTES: Final = MAX_ITEM_BYTES - 64 * 1024
"""Largest new Request: votes, the spend and its reply are added to the same item."""

MAX_OPEN_RACES: Final = 100
"""How many Requests may end while an Edge's unfinished ones are read, before the reading gives up."""

POINTER_KEPT_SECONDS: Final = 7 * 86400
"""For how long it is known which retry grant of a Command is the newest; all of them are over long before."""

_POLICY: Final = Key("POLICY", "CURRENT")
_MOVING: Final = (State.PENDING, State.APPROVED, State.SPENDING)
"""States that end by themselves."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """A Request as it was read; `moves` is what it must still have when it is written."""

    stored: Stored
    moves: int


class DynamoRequests:
    """Implements `ports.requests.Requests`."""

    def __init__(self, table: Table, clock: Clock) -> None:
        self._table, self._clock = table, clock

    def open(self, asked: Asked, hold_milliseconds: int, most_unfinished: int, note: Note) -> tuple[Stored, bool]:
        def attempt() -> tuple[Stored, bool]:
            known = self.find(asked.id)
            if known is not None:
                if known.asked.edge_id != asked.edge_id or known.asked.content_sha256 != asked.content_sha256:
                    raise Conflict("The request's id is taken by another request.", not_done="It was not opened.",
                                   advice="Use a fresh id.", code="id_taken")  # fmt: skip
                return known, False
            now = self._clock.now()
            pointer = self._table.get(_retry_key(asked)) if asked.opened.retry else None
            earlier = self.find(pointer["request"]) if pointer else None
            if earlier is not None and answers_again(earlier, asked, now):
                return earlier, False
            count = (self._table.get(_count_key(asked.edge_id)) or {}).get("unfinished", 0)
            if count >= most_unfinished:
                raise Unavailable(f"The edge has {count} unfinished requests.", not_done="The request was not opened.",
                                  advice="Wait until people have decided some.", code="too_many")  # fmt: skip
            opened = msgspec.structs.replace(asked, opened_at=now)
            stored = Stored(asked=opened, state=State.PENDING, due_at=now + hold_milliseconds, moved_at=now)
            newest = [_pointing(asked, pointer, now)] if asked.opened.retry else []
            if asked.is_grant:
                newest.append(_granting(asked, now))
            self._table.write(*_opening(stored, most_unfinished), *newest, outbox(note, now))
            return stored, True

        return judged_anew(attempt)

    def find(self, request_id: str) -> Stored | None:
        seen = self._seen(request_id)
        return seen.stored if seen else None

    def decide(self, ballot: Ballot, note: Note) -> Stored:
        def attempt() -> Stored:
            now, seen = self._clock.now(), self._existing(ballot.request_id)
            stored = seen.stored
            mine = next((vote for vote in stored.votes if vote.person_id == ballot.person_id), None)
            if mine is not None and mine.approve == ballot.approve:
                return stored
            _check_ballot(stored, ballot, now)
            self._check_revisions(ballot.person_id, ballot.person_revision, ballot.policy_revision)
            if mine is not None:
                raise Conflict("You have voted on this request already.", not_done="Nothing was changed.",
                               code="voted_already")  # fmt: skip
            after = _voted(stored, ballot, now)
            word = "vote" if after.state is State.PENDING else after.state.value
            self._table.write(
                *_change(seen, _fitting(after)),
                Check(person_key(ballot.person_id), "revision = :seen", {":seen": ballot.person_revision}),
                Check(_POLICY, "revision = :seen", {":seen": ballot.policy_revision}),
                outbox({**note, "outcome": word}, now),
            )
            return after

        return judged_anew(attempt)

    def grants(self, edge_id: str, caller: str) -> list[Stored]:
        now, found = self._clock.now(), list[Stored]()
        asked = self._table.query(f"EDGE#{edge_id}", f"GRANT#{caller}#") if _can_be_asked(edge_id + caller) else ()
        for item in asked:
            stored = self.find(item["request"])
            if stored is not None and stored.state is State.APPROVED and now < stored.due_at:
                found.append(stored)
        return found

    def draw(self, draw: Draw, note: Note) -> Stored:
        def attempt() -> Stored:
            now, seen, grant = self._clock.now(), self._existing(draw.request_id), self._existing(draw.grant_id)
            votes, counted = drawn(seen.stored, grant.stored, draw, now)
            after = msgspec.structs.replace(
                _moved(seen.stored, Event.APPROVE, now), votes=votes, due_at=now + draw.lapse_milliseconds,
                outcome=Outcome(grant=draw.grant_id),
            )  # fmt: skip
            for person_id, revision in draw.person_revisions.items():
                self._check_revisions(person_id, revision, draw.policy_revision)
            self._table.write(
                *_change(seen, _fitting(after)),
                *_change(grant, msgspec.structs.replace(grant.stored, outcome=counted)),
                *(
                    Check(person_key(person_id), "revision = :seen", {":seen": revision})
                    for person_id, revision in draw.person_revisions.items()
                ),
                Check(_POLICY, "revision = :seen", {":seen": draw.policy_revision}),
                outbox({**note, "outcome": after.state.value}, now),
            )
            return after

        return judged_anew(attempt)

    def spend(self, spend: Spend, note: Note) -> Stored:
        def attempt() -> Stored:
            now, seen = self._clock.now(), self._existing(spend.request_id)
            stored, known = seen.stored, seen.stored.spending
            if stored.asked.edge_id != spend.edge_id or not same_hash(
                stored.asked.opened.command_digest, spend.command_digest
            ):
                raise Conflict("The request is another edge's, or of another command.",
                               not_done="No approval was made.", code="spend_mismatch")  # fmt: skip
            if stored.state is State.SPENDING and known is not None and same_hash(known.nonce, spend.spending.nonce):
                return stored
            if stored.state is State.APPROVED and stored.due_at <= now:
                raise Conflict("The approval has lapsed.", not_done="No approval was made.", code="lapsed")
            after = msgspec.structs.replace(
                _moved(stored, Event.SPEND, now), due_at=now + spend.result_milliseconds, spending=spend.spending
            )
            self._table.write(*_change(seen, _fitting(after)), outbox({**note, "outcome": after.state.value}, now))
            return after

        return judged_anew(attempt)

    def keep_reply(self, request_id: str, nonce: str, reply: bytes) -> bytes:
        def attempt() -> bytes:
            seen = self._existing(request_id)
            spending = seen.stored.spending
            if spending is None or not same_hash(spending.nonce, nonce):
                raise Conflict("The request was spent by another call.", not_done="No approval was made.",
                               code="spent_already")  # fmt: skip
            if spending.reply:
                return spending.reply
            kept = msgspec.structs.replace(spending, reply=reply)
            self._table.write(*_change(seen, _fitting(msgspec.structs.replace(seen.stored, spending=kept))))
            return reply

        return judged_anew(attempt)

    def end(self, request_id: str, event: Event, outcome: Outcome, note: Note, *, when_due: bool = False) -> Stored:
        def attempt() -> Stored:
            now, seen = self._clock.now(), self._existing(request_id)
            if when_due and not 0 < seen.stored.due_at <= now:
                raise Conflict("The request's time is not over.", not_done="Nothing was changed.", code="not_due")
            # Not held to MAX_ITEM_BYTES: what DynamoDB has above it is for this, an end must always fit.
            after = msgspec.structs.replace(_moved(seen.stored, event, now), outcome=outcome)
            self._table.write(*_change(seen, after), outbox({**note, "outcome": after.state.value}, now))
            return after

        return judged_anew(attempt)

    def listed(self, state: State | None, most: int = MAX_LISTED) -> list[Stored]:
        most = min(most, MAX_LISTED)
        if most < 1:
            return []
        states = list(State) if state is None else [state]
        lists = [self._table.query(_listing(one), newest_first=True, most=most, index=True) for one in states]
        found = dict[str, Item]()
        for item in heapq.merge(*lists, key=_list_sort, reverse=True):
            kept = found.get(item["pk"])
            # The index moves an item from one state's list to another's: for a moment it may be in both.
            if kept is None and len(found) == most:
                break
            if kept is None or kept["moves"] < item["moves"]:
                found[item["pk"]] = item
        newest = [_stored(item) for item in found.values()]
        return sorted(newest, key=lambda one: (-one.asked.opened_at, one.asked.id))

    def unfinished(self, edge_id: str, most: int) -> list[OpenItem]:
        found, ended = list[OpenItem](), 0
        for item in self._table.query(f"EDGE#{edge_id}", "OPEN#") if _can_be_asked(edge_id) else ():
            if len(found) == most:
                break
            stored = self.find(item["request"])
            if stored is not None and stored.state not in FINAL:
                found.append(_open_item(stored))
                continue
            ended += 1
            if ended > MAX_OPEN_RACES:
                raise Unavailable("The edge's requests end while they are read.", not_done="They were not listed.",
                                  advice="Ask again.", code="busy")  # fmt: skip
        return found

    def due(self) -> list[tuple[str, int]]:
        newest = dict[str, Item]()
        for state in _MOVING:
            for item in self._table.query(_listing(state), index=True):
                if item["pk"] not in newest or newest[item["pk"]]["moves"] < item["moves"]:
                    newest[item["pk"]] = item
        return [(pk.removeprefix("REQ#"), item["due_at"]) for pk, item in newest.items() if item["due_at"] > 0]

    def _seen(self, request_id: str) -> _Seen | None:
        item = self._table.get(_key(request_id)) if _can_be_asked(request_id) else None
        return _Seen(_stored(item), item["moves"]) if item else None

    def _existing(self, request_id: str) -> _Seen:
        seen = self._seen(request_id)
        if seen is None:
            raise InvalidInput("There is no such request.", not_done="Nothing was changed.", code="not_found")
        return seen

    def _check_revisions(self, person_id: str, person_revision: int, policy_revision: int) -> None:
        """The transaction checks both again: this is for the words of the refusal."""
        person, policy = self._table.get(person_key(person_id)), self._table.get(_POLICY)
        seen = (person["revision"] if person else None, policy["revision"] if policy else None)
        if seen != (person_revision, policy_revision):
            raise Conflict("People or policy changed while you decided.", not_done="Nothing was decided.",
                           advice="Open the request again.", code="revision_moved")  # fmt: skip


def _check_ballot(stored: Stored, ballot: Ballot, now: int) -> None:
    """What the Request itself says of a vote."""
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


def _voted(stored: Stored, ballot: Ballot, now: int) -> Stored:
    """The Request with one more vote, and what that amounts to."""
    vote = CastVote(person_id=ballot.person_id, approve=ballot.approve, reason=ballot.reason, at=now)
    votes = sorted([*stored.votes, vote], key=lambda one: (one.at, one.person_id))
    event = tally([Vote(one.person_id, one.approve) for one in votes], stored.asked.approvals)
    counted = msgspec.structs.replace(stored, votes=votes)
    if event is Event.APPROVE:
        return msgspec.structs.replace(_moved(counted, event, now), due_at=now + ballot.lapse_milliseconds)
    if event is Event.DENY:
        return msgspec.structs.replace(_moved(counted, event, now), outcome=Outcome(reason=ballot.reason))
    return counted


def _moved(stored: Stored, event: Event, now: int) -> Stored:
    """The one place that gives a Request another state."""
    return msgspec.structs.replace(stored, state=transition(stored.state, event), moved_at=now, due_at=0)


def _opening(stored: Stored, most_unfinished: int) -> list[Action]:
    asked, where = stored.asked, _key(stored.asked.id)
    data = msgspec.json.encode(asked)
    if len(data) > MAX_ASKED_BYTES:
        raise InvalidInput(f"A request's item is over {MAX_ASKED_BYTES} bytes.", not_done="It was not opened.",
                           advice="Split the command.", code="too_large")  # fmt: skip
    item = {
        "pk": where.pk, "sk": where.sk, "asked": data, "moves": 0, **_changing(stored),
        "list_sk": f"{asked.opened_at:015d}#{asked.id}",
    }  # fmt: skip
    pointer = _open_key(asked)
    return [
        Put(item, "attribute_not_exists(pk)"),
        Put({"pk": pointer.pk, "sk": pointer.sk, "request": asked.id}),
        Update(
            _count_key(asked.edge_id), "ADD unfinished :one", "attribute_not_exists(unfinished) OR unfinished < :most",
            {":one": 1, ":most": most_unfinished},
        ),
    ]  # fmt: skip


def _granting(asked: Asked, now: int) -> Put:
    """Find it by its caller for as long as it could be drawn on."""
    return Put({
        "pk": f"EDGE#{asked.edge_id}", "sk": f"GRANT#{asked.opened.caller}#{asked.id}", "request": asked.id,
        TTL: now // 1000 + POINTER_KEPT_SECONDS,
    })  # fmt: skip


def _pointing(asked: Asked, before: Item | None, now: int) -> Put:
    """Make this the newest retry grant of its Command, unless another one became that since it was looked at."""
    where = _retry_key(asked)
    item = {"pk": where.pk, "sk": where.sk, "request": asked.id, TTL: now // 1000 + POINTER_KEPT_SECONDS}
    if before is None:
        return Put(item, "attribute_not_exists(pk)")
    return Put(item, "#request = :before", {":before": before["request"]}, {"#request": "request"})


def _change(seen: _Seen, after: Stored) -> Sequence[Action]:
    """Replace what was seen by what comes after, unless it moved meanwhile."""
    fields = _changing(after)
    changed = Update(
        _key(after.asked.id),
        "SET " + ", ".join(f"#{name} = :{name}" for name in fields) + " ADD moves :one",
        "#state = :was AND moves = :seen",
        {**{f":{name}": value for name, value in fields.items()},
         ":one": 1, ":was": seen.stored.state.value, ":seen": seen.moves},
        {f"#{name}": name for name in fields},
    )  # fmt: skip
    if after.state not in FINAL:
        return [changed]
    return [
        changed,
        Delete(_open_key(after.asked)),
        Update(_count_key(after.asked.edge_id), "ADD unfinished :less", values={":less": -1}),
    ]


def _changing(stored: Stored) -> Item:
    """The attributes that change."""
    return {
        "state": stored.state.value, "due_at": stored.due_at, "moved_at": stored.moved_at,
        "votes": msgspec.json.encode(stored.votes), "spending": msgspec.json.encode(stored.spending),
        "outcome": msgspec.json.encode(stored.outcome), "list_pk": _listing(stored.state),
    }  # fmt: skip


def _fitting(stored: Stored) -> Stored:
    """The Request itself, if its item has room."""
    parts = (stored.asked, stored.votes, stored.spending, stored.outcome)
    if sum(len(msgspec.json.encode(part)) for part in parts) > MAX_ITEM_BYTES:
        raise InvalidInput(f"A request's item would be over {MAX_ITEM_BYTES} bytes.",
                           not_done="Nothing was changed.", advice="Give a shorter reason.",
                           code="too_large")  # fmt: skip
    return stored


def _stored(item: Item) -> Stored:
    return Stored(
        asked=msgspec.json.decode(item["asked"], type=Asked),
        state=State(item["state"]),
        due_at=item["due_at"],
        moved_at=item["moved_at"],
        votes=msgspec.json.decode(item["votes"], type=list[CastVote]),
        spending=msgspec.json.decode(item["spending"], type=Spending | None),
        outcome=msgspec.json.decode(item["outcome"], type=Outcome),
    )


def _open_item(stored: Stored) -> OpenItem:
    opened, spent = stored.asked.opened, stored.spending
    return OpenItem(
        id=stored.asked.id,
        state=stored.state.value,
        target=opened.target,
        database=opened.database,
        xid=spent.xid if spent else "",
        nonce=spent.nonce if spent else "",
        retry=opened.retry,
        opened_at=stored.asked.opened_at,
    )


def _can_be_asked(name: str) -> bool:
    return name.isprintable() and 0 < len(name.encode()) <= MAX_ID_BYTES


def _key(request_id: str) -> Key:
    return Key(f"REQ#{request_id}", "REQ")


def _open_key(asked: Asked) -> Key:
    return Key(f"EDGE#{asked.edge_id}", f"OPEN#{asked.opened_at:015d}#{asked.id}")


def _retry_key(asked: Asked) -> Key:
    return Key(f"EDGE#{asked.edge_id}", f"RETRY#{asked.opened.command_digest}")


def _count_key(edge_id: str) -> Key:
    return Key(f"EDGE#{edge_id}", "COUNT")


def _listing(state: State) -> str:
    return f"STATE#{state.value}"


def _list_sort(item: Item) -> str:
    return str(item["list_sk"])
