"""States of a Request: one table. Not in the table, does not exist.

    pending ─▶ approved ─▶ spending ─▶ done | failed | in_doubt
       │          └──────▶ withdrawn | lapsed
       └─▶ denied | expired | withdrawn

Rules:
  1. Only `pending` can be decided, and only before its deadline by the control plane's clock.
  2. One denial denies; approval needs as many distinct people as the requirement says.
  3. `spending` is entered once, by the Edge that asked, with a fresh nonce; there is no way back.
  4. `in_doubt` is the only finished state that a settlement may still turn, into `done` or `failed`.
  5. Everything else is final: silence, a crash or a doubled message can't turn a denial into anything.
  6. A Request dies with the connection that waits for it (withdrawn), unless it was opened as a *retry grant*: that one
     outlives connection and Edge. The same Command (same digest) of the same caller at the same Edge joins it instead
     of opening another, and once approved spends it like any other: once, and until it lapses.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from twokeys.errors import Conflict


class State(enum.StrEnum):
    """Where a Request stands."""

    PENDING = "pending"
    APPROVED = "approved"
    SPENDING = "spending"
    DONE = "done"
    FAILED = "failed"
    IN_DOUBT = "in_doubt"
    DENIED = "denied"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"
    LAPSED = "lapsed"


class Event(enum.StrEnum):
    """What can happen to a Request."""

    APPROVE = "approve"
    DENY = "deny"
    EXPIRE = "expire"
    WITHDRAW = "withdraw"
    LAPSE = "lapse"
    SPEND = "spend"
    SUCCEED = "succeed"
    FAIL = "fail"
    DOUBT = "doubt"


TRANSITIONS: Final = MappingProxyType(
    {
        (State.PENDING, Event.APPROVE): State.APPROVED,
        (State.PENDING, Event.DENY): State.DENIED,
        (State.PENDING, Event.EXPIRE): State.EXPIRED,
        (State.PENDING, Event.WITHDRAW): State.WITHDRAWN,
        (State.APPROVED, Event.SPEND): State.SPENDING,
        (State.APPROVED, Event.WITHDRAW): State.WITHDRAWN,
        (State.APPROVED, Event.LAPSE): State.LAPSED,
        (State.SPENDING, Event.SUCCEED): State.DONE,
        (State.SPENDING, Event.FAIL): State.FAILED,
        (State.SPENDING, Event.DOUBT): State.IN_DOUBT,
        (State.IN_DOUBT, Event.SUCCEED): State.DONE,
        (State.IN_DOUBT, Event.FAIL): State.FAILED,
    }
)
"""Every arrow there is. Both stores express each one as a single conditional write."""

FINAL: Final = frozenset({State.DONE, State.FAILED, State.DENIED, State.EXPIRED, State.WITHDRAWN, State.LAPSED})
"""States that nothing leaves."""


def transition(state: State, event: Event) -> State:
    """Return the state that follows.

    Raises:
        Conflict: when the table has no such arrow; nothing changes then.
    """
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise Conflict(
            f"The request is {state.value}; it can't {event.value} any more.",
            not_done="Nothing was changed.",
            advice="Look at the request again.",
            code="no_such_transition",
        ) from None


def sources(event: Event) -> frozenset[State]:
    """The states from which an event is legal: the condition of the conditional write."""
    return frozenset(state for state, happened in TRANSITIONS if happened is event)


@dataclass(frozen=True, slots=True)
class Vote:
    """One person's decision.

    Args:
        person_id: Who, from a verified credential.
        approve: True approves, False denies.
        reason: Free text shown to the caller; required for a denial.
    """

    person_id: str
    approve: bool
    reason: str = ""


def tally(votes: Iterable[Vote], required: int) -> Event | None:
    """What a set of votes amounts to: DENY, APPROVE, or None while more are needed.

    Args:
        votes: All votes so far; several by one person count once.
        required: Distinct approvals needed, at least 1.

    Raises:
        ValueError: when `required` is below 1: an empty requirement must not approve.
    """
    if required < 1:
        raise ValueError("a request needs at least one approval")
    cast = list(votes)
    if any(not vote.approve for vote in cast):
        return Event.DENY
    return Event.APPROVE if len({vote.person_id for vote in cast}) >= required else None
