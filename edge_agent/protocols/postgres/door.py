"""What the session core asks of the gate: a Judgement of each text, and a Pass for each forward.

The door itself (classifier, gate and memo behind one call) belongs to the shell. It remembers Judgements by exact
bytes, and forgets them when the gate's generation moves; so on the hot path `judge` is a look-up.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Final, Protocol

from edge_agent.classify.sql import SqlVerdict
from edge_agent.classify.transaction import PREPARED
from edge_agent.gate import Pass
from edge_agent.mask.owed import Owed
from twokeys.command import QueryProtocol
from twokeys.decision import Decision, Outcome
from twokeys.effect import Effect


class Route(enum.Enum):
    """Which way a text goes through the session core."""

    READ = "forwarded at once: a proven read that policy allows"
    TRANSACTION = "one statement of transaction control that policy allows"
    MIXED = "several statements, transaction control among them: each goes its own way, one after the other"
    STEP = "waits for the shell's word: a write, a held read, or a read that must be on disk first"
    DENIED = "policy denies it"
    REFUSED = "refused whatever policy says"


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a text is, what policy says of it, and the way that follows from both.

    Args:
        verdict: The classifier's.
        decision: The gate's.
        masks: What of its results the caller is not to see; None: it may see everything.
    """

    verdict: SqlVerdict
    decision: Decision
    masks: Owed | None = None
    route: Route = field(init=False)
    refusal: tuple[str, str] = field(init=False)
    """SQLSTATE and words of a refusal; empty words where there is none."""
    moves_names: bool = field(init=False)
    """Whether it makes, uses or drops statements or cursors by names that the protocol knows too."""
    leaves: bool = field(init=False)
    """Whether it may leave something in its transaction besides locks: a cursor, a setting."""

    def __post_init__(self) -> None:
        refusal = _refusal(self.verdict)
        if self.masks is not None and not refusal[1]:
            if self.verdict.is_copy_out and (self.masks.copy is None or not _is_plain(self.verdict, self.decision)):
                refusal = COPY_OUT
            elif not self.masks.columns.known and self.verdict.is_read:
                refusal = _UNKNOWN
        verdict = self.verdict
        moves = verdict.prepared or verdict.cursors or verdict.resets_session or verdict.closes_cursors
        object.__setattr__(self, "moves_names", bool(moves or verdict.executes))
        plain = verdict.classification.statements == 1 and verdict.classification.kind in _LEAVING_NOTHING
        object.__setattr__(self, "leaves", self.moves_names or not plain)
        object.__setattr__(self, "refusal", refusal)
        object.__setattr__(self, "route", _route(self.verdict, self.decision, refused=bool(refusal[1])))

    @property
    def writes(self) -> bool:
        """Whether it needs more than a read-only transaction."""
        return self.verdict.classification.effect is not Effect.READ


class Door(Protocol):
    """Judges texts, and admits what is allowed."""

    @property
    def may_write(self) -> bool:
        """Whether this caller may write or request a write at all; without it no transaction is ever lifted."""

    @property
    def era(self) -> int:
        """Moves whenever `judge` may answer otherwise than before for the same text."""

    def judge(self, protocol: QueryProtocol, text: bytes) -> Judgement:
        """Judge a text under the policies in force now."""

    def witness(self, text: bytes, message: str) -> None:
        """The server said that this text, judged to be a read, writes: from now on judge it as a write.

        Args:
            text: As it was judged.
            message: The server's, of its error 25006.
        """

    def confirm(self, search_path: str) -> bool:
        """Whether unqualified names mean what judgements took them for, by the server's word.

        When not, code of users has moved the search_path behind our back: from here on they prove nothing.
        """

    def admit(self, judgement: Judgement) -> Pass:
        """Build the Pass of an allowed text, for one forward. Raises Refused when policy has moved meanwhile."""


_LEAVING_NOTHING: Final = frozenset({"SELECT", "SHOW"})
"""Kinds of reads. A SELECT that takes an advisory lock, or sets something, is no read."""

MIXED: Final = (
    "0A000",
    "A text with transaction control may hold nothing but plain reads beside it here, and one other statement at its "
    "end, inside of a transaction. Send BEGIN, COMMIT and the like by themselves.",
)
_COPY_IN: Final = (
    "0A000",
    "A text with COPY FROM STDIN may hold nothing else here: its rows could not be told from what follows. "
    "Send it by itself.",
)
COPY_OUT: Final = (
    "42501",
    "Values that are masked for you could not be told from others in this COPY. Send it as a simple query of its own, "
    "in the text, CSV or binary format, with HEADER, FORCE_QUOTE and a usual DELIMITER, NULL, QUOTE and "
    "ESCAPE at most, or use SELECT.",
)
_UNKNOWN: Final = (
    "55000",
    "Which columns are masked for you is not known at this moment, as tables have changed. Send it again.",
)
_TWO_PHASE: Final = (
    "0A000",
    "Two-phase commit can't be used through this edge: the transaction would outlive its approvals.",
)
_CHAIN: Final = ("0A000", "AND CHAIN can't be used through this edge. Send COMMIT or ROLLBACK, then BEGIN.")


def _refusal(verdict: SqlVerdict) -> tuple[str, str]:
    if verdict.refusal:
        return verdict.sqlstate, verdict.refusal
    if verdict.is_copy_in and verdict.classification.statements != 1:
        return _COPY_IN
    if any(action.kind in PREPARED for action in verdict.actions):
        return _TWO_PHASE
    if any(action.chain for action in verdict.actions):
        return _CHAIN
    return "", ""


def _is_plain(verdict: SqlVerdict, decision: Decision) -> bool:
    """Whether it is a proven read that is forwarded at once."""
    return decision.outcome is Outcome.ALLOW and not decision.sensitive and verdict.is_read


def _route(verdict: SqlVerdict, decision: Decision, *, refused: bool) -> Route:
    if decision.outcome is Outcome.DENY and not verdict.refusal:
        return Route.DENIED
    if refused:
        return Route.REFUSED
    if verdict.actions and verdict.classification.statements > 1:
        return Route.MIXED
    if decision.outcome is Outcome.ALLOW and verdict.is_read:
        if verdict.actions:
            return Route.TRANSACTION
        return Route.STEP if decision.sensitive else Route.READ
    return Route.REFUSED if verdict.actions else Route.STEP
