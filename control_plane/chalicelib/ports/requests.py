"""Where Requests are kept. Each arrow of `twokeys.request.TRANSITIONS` is one conditional write.

An item holds digests and an excerpt, never the whole Command: `MAX_ITEM_BYTES` is what a DynamoDB item may have.
"""

from __future__ import annotations

from typing import Annotated, Final, Protocol

import msgspec

from twokeys.effect import Effect
from twokeys.errors import Conflict
from twokeys.messages import OpenItem, OpenRequest
from twokeys.record import same_hash
from twokeys.request import Event, State, transition

from .records import Note

MAX_ITEM_BYTES: Final = 400_000
"""Largest Request item, as DynamoDB has it (400 KB, attribute names included)."""

MAX_LISTED: Final = 200
"""Most Requests in one listing."""


DENIAL_STANDS_MILLISECONDS: Final = 600_000
"""For how long a denied retry grant answers the same Command again: nobody is asked twice in a row."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What never changes of a Request.

    Args:
        opened: As the Edge sent it, without the Command's bytes; caller, sponsor and groups are ours by then.
        content_sha256: Of the message as it came: the same id with other content is another request.
        edge_id: Who opened it.
        policies: Ids of the policies that hold it, by our own decision.
        policy_revision: Under which we decided.
        requirement: Digest of what people are asked to satisfy.
        approvals: Distinct approvals needed.
        excluded: Subjects that can't vote: caller, sponsor, their linked accounts, recent editors; sorted.
        opened_at: Milliseconds since the epoch, the store's clock.
        is_grant: It is a session grant (`twokeys.grant`), not a Command: `opened.statements` may be drawn on it.
        grant_seconds: For how long its approval can be drawn on.
    """

    opened: OpenRequest
    content_sha256: str
    edge_id: str
    policies: list[str]
    policy_revision: int
    requirement: str
    approvals: Annotated[int, msgspec.Meta(ge=1)]
    excluded: list[str]
    opened_at: int
    is_grant: bool = False
    grant_seconds: int = 0

    @property
    def id(self) -> str:
        """The Request's id."""
        return self.opened.id

    @property
    def effect(self) -> Effect:
        """The worst effect of its accesses (``effect:kind:name``)."""
        return max(Effect.from_word(access.partition(":")[0]) for access in self.opened.accesses)


class CastVote(msgspec.Struct, frozen=True, kw_only=True):
    """A vote that counts; `at` in milliseconds since the epoch."""

    person_id: str
    approve: bool
    reason: str
    at: int


class Spending(msgspec.Struct, frozen=True, kw_only=True):
    """What an Edge sent with its spend, and the reply once it is signed (`SpendReply`, encoded)."""

    nonce: str
    xid: str
    chain_sequence: int
    chain_hash: str
    reply: bytes = b""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How it ended: in words, and for a spent one what the server said.

    `drawn` counts the Commands drawn on a session grant; `grant` names the one that a Command was drawn on.
    """

    reason: str = ""
    rows: int | None = None
    sqlstate: str = ""
    settled_by: str = ""
    drawn: int = 0
    grant: str = ""


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """A Request as it stands.

    Args:
        asked: What never changes.
        state: Where it stands.
        due_at: When this state ends by itself, milliseconds; 0 when it does not.
        moved_at: When it came to this state.
        votes: Cast so far.
        spending: Of a spent one.
        outcome: Of one that is over.
    """

    asked: Asked
    state: State
    due_at: int
    moved_at: int
    votes: list[CastVote] = []
    spending: Spending | None = None
    outcome: Outcome = Outcome()

    def seconds_left(self, now: int) -> int:
        """Whole seconds until this state ends by itself."""
        return max(0, -(-(self.due_at - now) // 1000)) if self.due_at else 0


def drawn(request: Stored, grant: Stored, draw: Draw, now: int) -> tuple[list[CastVote], Outcome]:
    """The votes that a Request gets by a draw, and the grant's new count.

    Raises:
        Conflict: when the draw is not legal, as `Requests.draw` says.
    """
    transition(request.state, Event.APPROVE)
    mine, theirs = request.asked, grant.asked
    same = (mine.edge_id, mine.opened.caller, mine.opened.target) == (
        theirs.edge_id, theirs.opened.caller, theirs.opened.target,
    )  # fmt: skip
    stands = theirs.is_grant and not mine.is_grant and grant.state is State.APPROVED and now < grant.due_at
    if not (same and stands and now < request.due_at and grant.outcome.drawn < theirs.opened.statements):
        raise Conflict("The grant does not stand, or nothing is left of it.", not_done="Nothing was drawn on it.",
                       code="grant_over")  # fmt: skip
    votes = [
        CastVote(person_id=vote.person_id, approve=True, reason=f"by grant {theirs.id}", at=now)
        for vote in grant.votes
        if vote.approve and vote.person_id in draw.person_revisions and vote.person_id not in mine.excluded
    ]
    if len(votes) < mine.approvals or len(votes) != len(draw.person_revisions):
        raise Conflict("Too few of those who approved the grant may approve this.", not_done="Nothing was drawn on it.",
                       code="grant_over")  # fmt: skip
    return votes, msgspec.structs.replace(grant.outcome, drawn=grant.outcome.drawn + 1)


def answers_again(stored: Stored, asked: Asked, now: int) -> bool:
    """Whether this Request answers a retry grant that is asked for anew: it waits, can be spent, or was just denied.

    Args:
        stored: An earlier one.
        asked: The one that would be opened.
        now: Milliseconds since the epoch, the store's clock.
    """
    before = stored.asked
    if asked.is_grant or not (asked.opened.retry and before.opened.retry and before.edge_id == asked.edge_id):
        return False
    same = same_hash(before.opened.command_digest, asked.opened.command_digest)
    if not same or before.requirement != asked.requirement:
        return False
    if stored.state is State.DENIED:
        return now - stored.moved_at < DENIAL_STANDS_MILLISECONDS
    return stored.state in (State.PENDING, State.APPROVED) and now < stored.due_at


class Ballot(msgspec.Struct, frozen=True, kw_only=True):
    """A vote, with what must still be true in the transaction that counts it.

    Args:
        request_id: Of which Request.
        person_id: Who, from a verified credential.
        approve: Verdict.
        reason: In words.
        command_digest: What the person was shown.
        preview_digest: Of the Preview that they were shown; empty where the Request has none.
        person_revision: Of the person's entry, when it was judged.
        policy_revision: Of the policy, when it was judged.
        lapse_milliseconds: How long an approval can be spent, should this vote approve.
    """

    request_id: str
    person_id: str
    approve: bool
    reason: str
    command_digest: str
    person_revision: int
    policy_revision: int
    lapse_milliseconds: int
    preview_digest: str = ""


class Draw(msgspec.Struct, frozen=True, kw_only=True):
    """A Command that draws on a session grant, with what must still be true in the transaction that counts it.

    Args:
        request_id: The Command's Request, pending.
        grant_id: The grant's.
        person_revisions: Of those who approved the grant and may approve this Command, as they were judged.
        policy_revision: Of the policy, as it was judged.
        lapse_milliseconds: How long the approval can be spent.
    """

    request_id: str
    grant_id: str
    person_revisions: dict[str, int]
    policy_revision: int
    lapse_milliseconds: int


class Spend(msgspec.Struct, frozen=True, kw_only=True):
    """An Edge's spend, with the chain head its call carried."""

    request_id: str
    edge_id: str
    command_digest: str
    spending: Spending
    result_milliseconds: int


class Requests(Protocol):
    """The store. Every method that changes takes the Note of the Record that goes with the change."""

    def open(self, asked: Asked, hold_milliseconds: int, most_unfinished: int, note: Note) -> tuple[Stored, bool]:
        """Keep a new Request as pending; idempotent by id.

        A retry grant joins an earlier one of its Edge, digest and requirement, if `answers_again` says so of it.

        Returns:
            The Request as it stands, and whether it is new.

        Raises:
            Conflict: when the id is taken by other content or another Edge.
            InvalidInput: when the item is over `MAX_ITEM_BYTES`.
            Unavailable: with code ``too_many`` when its Edge has `most_unfinished` already.
        """

    def find(self, request_id: str) -> Stored | None:
        """The Request, read consistently; None when there is none."""

    def decide(self, ballot: Ballot, note: Note) -> Stored:
        """Count a vote, in one transaction that checks everything again.

        Checked: pending and unexpired by the store's clock; the digests are the Request's; the voter is not excluded;
        the voter's and the policy's revision are those judged under; no vote of this person yet. The Note gets the
        outcome (`approved`, `denied` or `vote`). The same vote again changes nothing and returns the Request.

        Raises:
            Conflict: when it is over, or a revision moved: look again.
            Refused: for an excluded voter or another digest.
        """

    def grants(self, edge_id: str, caller: str) -> list[Stored]:
        """Session grants of this caller at this Edge that can be drawn on now, oldest first."""

    def draw(self, draw: Draw, note: Note) -> Stored:
        """pending → approved by drawing on a session grant, in one transaction; the grant has one statement less.

        Checked: the Request pending and unexpired; the grant approved and unexpired, of the same Edge, caller and
        target, with a statement left; those who approve it among its voters, and as many as the Request needs; the
        revisions of all of them and of the policy are those judged under.

        Raises:
            Conflict: otherwise.
        """

    def spend(self, spend: Spend, note: Note) -> Stored:
        """approved → spending: unexpired, opened by this Edge, the same digest. The same nonce again changes nothing.

        Raises:
            Conflict: otherwise.
        """

    def keep_reply(self, request_id: str, nonce: str, reply: bytes) -> bytes:
        """Keep the signed reply of a spend unless there is one; return the one that is kept."""

    def end(self, request_id: str, event: Event, outcome: Outcome, note: Note, *, when_due: bool = False) -> Stored:
        """Take any other arrow: expire, withdraw, lapse, succeed, fail, doubt. The Note gets the new state as outcome.

        Args:
            request_id: Of which Request.
            event: Which arrow.
            outcome: What became of it.
            note: Its Record.
            when_due: Only if `due_at` has passed by the store's clock.

        Raises:
            Conflict: when the table has no such arrow from where it stands, or it is not due.
        """

    def listed(self, state: State | None, most: int = MAX_LISTED) -> list[Stored]:
        """The newest Requests, of one state or of all."""

    def unfinished(self, edge_id: str, most: int) -> list[OpenItem]:
        """Pending, approved, spending and in doubt, oldest first: what an Edge that starts must settle."""

    def due(self) -> list[tuple[str, int]]:
        """Ids and `due_at` of all that will move by themselves: what a workflow that starts must take up."""
