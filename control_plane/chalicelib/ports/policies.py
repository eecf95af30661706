"""Policy versions and proposals."""

from __future__ import annotations

from typing import Protocol

import msgspec

from .records import Note


class PolicyVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A policy that is or was in force; `at` in milliseconds since the epoch."""

    revision: int
    text: str
    author: str
    approver: str
    at: int


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """A change that a second person decides. `state` is open, approved, denied or outdated."""

    id: str
    text: str
    text_sha256: str
    author: str
    reason: str
    base_revision: int
    created_at: int
    state: str = "open"
    decided_by: str = ""


class PolicyBallot(msgspec.Struct, frozen=True, kw_only=True):
    """A vote on a Proposal, with what must still be true; `edits` is logged for its author when it is approved."""

    proposal_id: str
    person_id: str
    person_revision: int
    approve: bool
    reason: str
    text_sha256: str
    edits: list[str]


class Policies(Protocol):
    """The store."""

    def current(self) -> PolicyVersion:
        """The version in force. Raises Unavailable before the bootstrap."""

    def install(self, text: str, author: str, note: Note) -> PolicyVersion:
        """Put the first version in force. Raises Conflict when there is one."""

    def propose(self, proposal: Proposal, most_open: int, note: Note) -> None:
        """Keep a Proposal. Raises Conflict when its base is not in force or too many are open."""

    def proposal(self, proposal_id: str) -> Proposal | None:
        """One Proposal."""

    def open_proposals(self) -> list[Proposal]:
        """Those not decided, oldest first."""

    def decide(self, ballot: PolicyBallot, note: Note) -> Proposal:
        """Decide in one transaction: open, base in force, not its author, the voter's revision and the text unchanged.

        Raises:
            Conflict: when something moved.
            Refused: for the author, or another text.
        """
