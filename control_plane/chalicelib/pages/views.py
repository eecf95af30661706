"""What each page is given to show. Plain values, made by the routes; templates compute nothing."""

from __future__ import annotations

from dataclasses import dataclass

from .document import Document, Part
from .previews import PreviewView


@dataclass(frozen=True, slots=True)
class Viewer:
    """The signed-in person, and the token that their sign-out form carries."""

    person_id: str
    signout_token: str


@dataclass(frozen=True, slots=True)
class VoteView:
    """One vote that was cast: who, `approved` or `denied`, why, when (ISO 8601, may be empty)."""

    person_id: str
    approve: bool
    reason: str
    at: str


@dataclass(frozen=True, slots=True)
class AccessView:
    """One object and what happens to it, in words; `label` has hiding characters already labelled."""

    effect: str
    kind: str
    label: str


@dataclass(frozen=True, slots=True)
class Rule:
    """A policy that held the Command, and its advice if it has one."""

    policy: str
    advice: str


@dataclass(frozen=True, slots=True)
class RequestView:
    """A Request as the pages show it.

    Args:
        id: Opaque id.
        state: A `twokeys.request.State` word.
        requester: Who asks.
        requester_kind: ``person`` or ``machine``.
        sponsor: Who answers for a machine; empty for a person.
        client: What the client calls itself; unverified.
        target: Target id.
        database: Database name.
        effect: Worst effect in words.
        kind: The Command in the protocol's words, e.g. ``UPDATE``.
        objects: What it touches.
        reasons: Why it is no proven read.
        rules: Policies that held it.
        certain: False when not all of it was understood.
        in_transaction: The caller's own transaction is open, and holds its locks meanwhile.
        locks: Which, as far as they are relations: name and mode.
        opened_at: ISO 8601, UTC.
        deadline: ISO 8601, UTC.
        seconds_left: By the control plane's clock; 0 when it is over.
        approvals_needed: Distinct people.
        votes: Cast so far.
        retry: It is a retry grant: nobody waits, and it runs when its caller sends the same again.
        is_grant: It is a session grant, and no Command.
        outcome: What became of it in a sentence; empty while it is pending.
        finished_at: ISO 8601, or empty.
    """

    id: str
    state: str
    requester: str
    requester_kind: str
    sponsor: str
    client: str
    target: str
    database: str
    effect: str
    kind: str
    objects: tuple[AccessView, ...]
    reasons: tuple[str, ...]
    rules: tuple[Rule, ...]
    certain: bool
    in_transaction: bool
    opened_at: str
    deadline: str
    seconds_left: int
    approvals_needed: int
    votes: tuple[VoteView, ...] = ()
    retry: bool = False
    is_grant: bool = False
    locks: tuple[str, ...] = ()
    outcome: str = ""
    finished_at: str = ""

    @property
    def is_pending(self) -> bool:
        """Whether a person can still decide."""
        return self.state == "pending"

    @property
    def approvals_missing(self) -> int:
        """How many more approvals it takes."""
        return max(self.approvals_needed - sum(vote.approve for vote in self.votes), 0)


@dataclass(frozen=True, slots=True)
class DecisionForm:
    """What the person may do, and the hidden fields of the form.

    Args:
        csrf: Token bound to the session and the Request.
        command_digest: The digest the page showed.
        refusal: Why this person may not decide; empty when they may.
        parts_left: Parts of the Command they have not been shown yet.
        next_offset: Where the first part not shown begins.
        preview_digest: Of the Preview that the page showed; empty without one.
    """

    csrf: str
    command_digest: str
    refusal: str
    parts_left: int
    next_offset: int
    preview_digest: str = ""

    @property
    def can_approve(self) -> bool:
        """Whether the approve button is enabled; the server asks the same again."""
        return not self.refusal and self.parts_left == 0


@dataclass(frozen=True, slots=True)
class ReviewView:
    """The review page. `unreadable` says why the Command can't be shown; there is no Document then."""

    request: RequestView
    document: Document | None
    part: Part | None
    form: DecisionForm
    unreadable: str = ""
    preview: PreviewView | None = None


@dataclass(frozen=True, slots=True)
class BodyView:
    """One part of a long Command."""

    request: RequestView
    document: Document
    part: Part
    parts_left: int

    @property
    def following(self) -> Part | None:
        """The next part, or None after the last."""
        after = self.part.index + 1
        return self.document.parts[after] if after < len(self.document.parts) else None

    @property
    def preceding(self) -> Part | None:
        """The part before, or None at the first."""
        return self.document.parts[self.part.index - 1] if self.part.index else None


@dataclass(frozen=True, slots=True)
class ListView:
    """The list: what waits for this person, what waits for others, what is over."""

    mine: tuple[RequestView, ...]
    others: tuple[RequestView, ...]
    recent: tuple[RequestView, ...]
    has_outbox: bool = False


@dataclass(frozen=True, slots=True)
class ErrorView:
    """A refusal as a page: what happened, what was not done, what to try."""

    happened: str
    not_done: str = ""
    advice: str = ""
    link: str = "/"
    link_text: str = "All requests"


@dataclass(frozen=True, slots=True)
class LoginView:
    """The embedded issuer's form. `hidden` are its fields, `problem` why the last try failed."""

    hidden: tuple[tuple[str, str], ...]
    application: str
    name: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class MessageView:
    """A message of the outbox: what would have been mailed."""

    to: str
    subject: str
    sent_at: str
    text: str
    link: str


@dataclass(frozen=True, slots=True)
class PassphraseView:
    """Where a handed code is typed; with `passphrase`, what was made of it, shown this once."""

    name: str = ""
    passphrase: str = ""
