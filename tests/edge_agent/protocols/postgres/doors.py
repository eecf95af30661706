"""A door for tests: the real classifier and the real gate, under policies given as text."""

from __future__ import annotations

import functools

from edge_agent.classify.sql import SqlVerdict, classify_sql
from edge_agent.gate import Gate, Pass, Standing, World
from edge_agent.protocols.postgres.door import Judgement
from edge_agent.witnessed import Witnessed
from twokeys.caller import Caller, CallerKind
from twokeys.command import QueryProtocol
from twokeys.policy import STARTER_TEXT, Policies

CALLER = Caller("agent-7", CallerKind.MACHINE, "ann")
ALLOW_ALL = '@id("all") permit(principal, action in [Action::"read", Action::"write", Action::"ddl", \
Action::"privileged"], resource);'
READS_ONLY = '@id("reads") permit(principal, action == Action::"read", resource);'
SENSITIVE = '@id("seen") @sensitive("true") permit(principal, action == Action::"read", resource);'


policies_of = functools.cache(Policies)
"""Never changed once they are built, and building them is most of what a short script costs."""


class TestDoor:
    """Judges by the real classifier and gate."""

    __test__ = False

    def __init__(self, policies: str = STARTER_TEXT, *, may_write: bool = True) -> None:
        self.gate = Gate()
        self.gate.stand(Standing())
        self.gate.enter(World("edge-1", 1, policies_of(policies, 1), {}))
        self.may_write = may_write
        self.passes: list[Pass] = []
        self.witnessed = Witnessed()
        self.approving = Gate()
        self.approving.stand(Standing())
        self.approving.enter(World("edge-1", 1, policies_of(ALLOW_ALL, 1), {}))

    @property
    def era(self) -> int:
        return self.gate.generation + len(self.witnessed)

    def judge(self, protocol: QueryProtocol, text: bytes) -> Judgement:
        verdict = self.witnessed.judged(text, self._classify(text))
        return Judgement(verdict, self.gate.decide(CALLER, "sample-db", verdict.classification, protocol.value))

    def _classify(self, text: bytes) -> SqlVerdict:
        return classify_sql(text, ("shop", "public"))

    def witness(self, text: bytes, message: str) -> None:
        self.witnessed.note(text, message)

    def confirm(self, search_path: str) -> bool:
        return True

    def admit(self, judgement: Judgement) -> Pass:
        return self.gate.admit(judgement.decision)

    def approve(self, judgement: Judgement) -> Pass:
        """The Pass that people's approval would give; the gate's own tests cover how it is redeemed."""
        decision = self.approving.decide(CALLER, "sample-db", judgement.verdict.classification, "simple")
        return self.approving.admit(decision)


class FooledDoor(TestDoor):
    """Takes everything but transaction control for a read: a hole in the classifier that nobody knows of."""

    def _classify(self, text: bytes) -> SqlVerdict:
        found = super()._classify(text)
        if found.actions and not found.refusal:
            return found
        return classify_sql(b"SELECT 1", ("shop", "public"))
