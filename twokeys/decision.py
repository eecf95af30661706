"""A Decision: Allow, Hold or Deny, with the policies that caused it.

For each object: the effect's own action permitted means Allow; else its request action permitted means Hold; else
Deny. The worst object wins.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from twokeys.digest import digest


class Outcome(enum.IntEnum):
    """Outcomes in rising order of severity."""

    ALLOW = 0
    HOLD = 1
    DENY = 2


@dataclass(frozen=True, slots=True)
class RowBudget:
    """How many rows a caller may change at a target without asking: over all its statements, sessions and connections.

    Args:
        most: Rows, at least 1.
        minutes: In any so many minutes.
    """

    most: int
    minutes: int

    def __post_init__(self) -> None:
        if self.most < 1 or self.minutes < 1:
            raise ValueError("a budget of rows is of at least one row and one minute")


@dataclass(frozen=True, slots=True)
class Decision:
    """The policy's answer about one Command.

    Args:
        outcome: Worst outcome over the objects touched.
        policies: Ids of the policies that caused it, sorted.
        advice: Texts of `@advice` annotations of those policies, for the caller.
        approvals: Distinct approvals a hold needs.
        revision: Revision of the Bundle under which it was decided.
        sensitive: An allowed read must be on disk before it is forwarded.
        budget: A held write that changes no more rows than are left of it may pass; every object must have one.
        wait: Seconds that a held Command's connection waits; its Request is then a retry grant, which outlives the
            connection. None: the connection waits as long as the Request does, and the Request ends with it.
        in_transaction: Most seconds that it is held inside an open transaction, whose locks it keeps; None: as long as
            the Edge is configured to.
    """

    outcome: Outcome
    policies: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()
    approvals: int = 1
    revision: int = 0
    sensitive: bool = False
    wait: int | None = None
    budget: RowBudget | None = None
    in_transaction: int | None = None

    @property
    def requirement(self) -> str:
        """Digest of what people were asked to satisfy; a re-decision must ask the same or nothing."""
        return digest("requirement", {"policies": list(self.policies), "approvals": self.approvals})
