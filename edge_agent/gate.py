"""The gate: the one door to the resource.

    Command's Classification ──▶ gate.decide ──▶ Allow ──▶ gate.admit  ──▶ Pass
                                             └─▶ Hold  ──▶ a person … ──▶ gate.redeem(approval) ──▶ Pass

A forward can be asked for only with a `Pass`, and only this module builds one: from a Decision that allows, or from a
signed Approval of exactly this Command, re-decided under the current Bundle. It is the only caller of the policy.

Rules:
  1. No world (no Bundle yet) forwards nothing.
  2. A Bundle past `not_after`, or a disk that is low, denies whatever is no read; a stale one denies reads too.
  3. An Approval counts only when signed, for this request, Edge, nonce, chain head and command digest, and when the
     re-decision is Allow, or Hold with the same requirement.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from twokeys.approval import Approval, check
from twokeys.caller import Caller
from twokeys.data_class import DataClass
from twokeys.decision import Decision, Outcome
from twokeys.effect import Classification, Effect
from twokeys.errors import Refused
from twokeys.policy import Policies
from twokeys.signature import PublicKey, Signature

MAX_MEMOISED_DECISIONS: Final = 4096
"""Decisions kept per gate; the least recently used goes first."""

_ONLY_THE_GATE: Final = object()


class Pass:
    """Permission to forward one Command once. Built by the gate alone; spent by the first use.

    Args:
        _token: The gate's private token; anything else raises.
        decision: The Decision behind it.
        command_digest: Of the Command that was approved; empty for an allowed one.
        within: Rows that it may change; if it changes more, nothing of it is to be left. None: not counted.
        most_rows: Rows that its own command tag may count, as people approved; None where nobody counted them.
    """

    __slots__ = ("_spent", "command_digest", "decision", "most_rows", "within")

    def __init__(
        self, _token: object, decision: Decision, command_digest: str, within: int | None = None,
        most_rows: int | None = None,
    ) -> None:  # fmt: skip
        if _token is not _ONLY_THE_GATE:
            raise TypeError("only the gate builds a Pass")
        self.decision = decision
        self.command_digest = command_digest
        self.within = within
        self.most_rows = most_rows
        self._spent = False

    def spend(self) -> None:
        """Use the Pass. Raises Refused the second time."""
        if self._spent:
            raise Refused("A pass was used twice.", not_done="The second forward was not made.", code="pass_spent")
        self._spent = True


@dataclass(frozen=True, slots=True)
class Standing:
    """How far the Edge may act on what it knows; the runtime derives it from bundle age and disk.

    Args:
        writes_denied: Why nothing but reads may pass, in words; empty when they may.
        reads_denied: Why not even reads may pass; empty when they may.
    """

    writes_denied: str = ""
    reads_denied: str = ""


@dataclass(frozen=True, slots=True)
class World:
    """What the gate decides by: the policies of one verified Bundle, and its pinned approval keys."""

    edge_id: str
    revision: int
    policies: Policies
    keys: Mapping[str, PublicKey]


class Gate:
    """Decides, and builds Passes."""

    def __init__(self) -> None:
        self._world: World | None = None
        self._standing = Standing(writes_denied="No bundle was pulled yet.", reads_denied="No bundle was pulled yet.")
        self._memo: OrderedDict[tuple[object, ...], Decision] = OrderedDict()
        self._owed: OrderedDict[tuple[Caller, str], tuple[DataClass, ...]] = OrderedDict()
        self.generation = 0
        """Moves whenever an answer may have changed: who remembers Decisions compares it."""

    @property
    def revision(self) -> int:
        """Revision of the Bundle in force, 0 without one."""
        return self._world.revision if self._world else 0

    def enter(self, world: World) -> None:
        """Work from this world from now on. Raises Refused when it is older than the one in force."""
        if self._world and world.revision < self._world.revision:
            raise Refused(
                "An older bundle was offered to the gate.",
                not_done="The newer one stays in force.",
                code="bundle_rollback",
            )
        self._world = world
        self._memo.clear()
        self._owed.clear()
        self.generation += 1

    @property
    def classes(self) -> tuple[DataClass, ...]:
        """All data classes that policies define."""
        return () if self._world is None else self._world.policies.classes

    def owed(self, caller: Caller, target: str) -> tuple[DataClass, ...]:
        """The data classes that a caller is shown masked at a target.

        Returns:
            The same tuple as long as the same policies are in force.
        """
        key = (caller, target)
        found = self._owed.get(key)
        if found is None:
            found = () if self._world is None else self._world.policies.owed(caller, target)
            self._owed[key] = found
            if len(self._owed) > MAX_MEMOISED_DECISIONS:
                self._owed.popitem(last=False)
        return found

    def stand(self, standing: Standing) -> None:
        """Take note of how far the Edge may act."""
        if standing != self._standing:
            self._standing = standing
            self.generation += 1

    def decide(self, caller: Caller, target: str, classification: Classification, protocol: str) -> Decision:
        """Decide about one Command; memoised, pure.

        Args:
            caller: Verified identity.
            target: Target id.
            classification: What the Command does.
            protocol: Context for policies: ``simple`` or ``extended``.

        Returns:
            The Decision; a denial that says why when the Edge may not act.
        """
        standing, world = self._standing, self._world
        refusal = standing.reads_denied or (standing.writes_denied if classification.effect > Effect.READ else "")
        if world is None or refusal:
            return Decision(Outcome.DENY, advice=(refusal or "No bundle was pulled yet.",), revision=self.revision)
        key = (
            caller,
            target,
            classification.accesses,
            classification.kind,
            classification.statements,
            classification.certain,
            protocol,
        )
        found = self._memo.get(key)
        if found is None:
            found = self._memo[key] = world.policies.decide(caller, target, classification, protocol)
            if len(self._memo) > MAX_MEMOISED_DECISIONS:
                self._memo.popitem(last=False)
        else:
            self._memo.move_to_end(key)
        return found

    def admit(self, decision: Decision) -> Pass:
        """Build the Pass of an allowed Command. Raises Refused for any other Decision."""
        if decision.outcome is not Outcome.ALLOW or self._world is None or decision.revision != self._world.revision:
            raise Refused("The decision does not allow this.", not_done="Nothing was forwarded.", code="not_allowed")
        return Pass(_ONLY_THE_GATE, decision, "")

    def admit_within(self, decision: Decision, rows: int) -> Pass:
        """Build the Pass of a held Command that changes so few rows that policy lets it pass.

        Args:
            decision: Its Decision: a hold with a budget.
            rows: How many rows the caller has left of that budget.

        Raises:
            Refused: for any other Decision, or more rows than its budget has.
        """
        budget = decision.budget if decision.outcome is Outcome.HOLD else None
        current = decision.revision == self.revision and self._world is not None and not self._standing.writes_denied
        if budget is None or not current or not 1 <= rows <= budget.most:
            raise Refused("The decision has no such budget.", not_done="Nothing was forwarded.", code="not_allowed")
        return Pass(_ONLY_THE_GATE, decision, "", rows)

    def redeem(self, expected: Approval, approval: Approval, signature: Signature, again: Decision) -> Pass:
        """Build the Pass of an approved Command.

        Args:
            expected: The Approval as this Edge would write it, from what it is about to forward.
            approval: The Approval as received.
            signature: Its signature.
            again: The Decision about the same Command, made now under the current Bundle.

        Raises:
            Refused: when the Approval is not for exactly this, or policy has moved meanwhile.
        """
        if self._world is None or expected.edge_id != self._world.edge_id:
            raise Refused("This edge has no bundle.", not_done="Nothing was forwarded.", code="no_bundle")
        check(approval, signature, expected, self._world.keys)
        if again.outcome is Outcome.DENY:
            raise Refused(
                "Policy changed while the request was held, and denies it now.",
                not_done="Nothing was forwarded.",
                advice=" ".join(again.advice),
                code="policy_changed",
            )
        if again.outcome is Outcome.HOLD and again.requirement != expected.requirement:
            raise Refused(
                "Policy changed while the request was held, and asks for another approval now.",
                not_done="Nothing was forwarded.",
                advice="Send the command again.",
                code="policy_changed",
            )
        return Pass(_ONLY_THE_GATE, again, expected.command_digest, most_rows=expected.most_rows)
