"""One session's door: classifier and gate behind one call, remembered by exact bytes.

A Judgement is forgotten when the gate's generation moves, so a repeated text costs a look-up and nothing else.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from edge_agent.classify.cache import Classifier
from edge_agent.classify.settings import narrows, schemas_in, schemas_of
from edge_agent.classify.sql import SqlVerdict
from edge_agent.gate import Gate, Pass
from edge_agent.mask.owed import Masks
from edge_agent.protocols.postgres.door import Judgement
from edge_agent.witnessed import Witnessed
from twokeys.caller import Caller
from twokeys.command import QueryProtocol
from twokeys.digest import sha256

MAX_REMEMBERED: Final = 512
"""Judgements kept per session."""

MAX_REMEMBERED_BYTES: Final = 16 * 1024
"""A longer text is judged anew each time; the classifier remembers it for all sessions."""


class SessionDoor:
    """Implements `edge_agent.protocols.postgres.door.Door` for one caller at one target."""

    def __init__(
        self, gate: Gate, classifier: Classifier, caller: Caller, target: str, search_path: str, role: str,
        witnessed: Witnessed | None = None, masks: Masks | None = None,
    ) -> None:  # fmt: skip
        """Open it.

        Args:
            gate: Decides.
            classifier: Judges.
            caller: Whose session it is.
            target: Where.
            search_path: The setting of the session's start.
            role: The Edge's own at the server.
            witnessed: Of this target; the session's own when not given.
            masks: The session's; None: nothing is masked.
        """
        self._gate, self._classifier, self._caller, self._target = gate, classifier, caller, target
        self._role, self._search_path = role, schemas_of(search_path, role)
        self._witnessed = witnessed if witnessed is not None else Witnessed()
        self._known: OrderedDict[tuple[QueryProtocol, bytes], Judgement] = OrderedDict()
        self._alike: OrderedDict[tuple[QueryProtocol, int], Judgement] = OrderedDict()
        self._generation = gate.generation
        self._era = 0
        self._confirmed = ""
        self._masks = masks if masks is not None else Masks(tuple)
        self._masks.changed = self._forget

    @property
    def may_write(self) -> bool:
        """Whether anybody answers for a write of this caller; policy has the rest to say."""
        return self._caller.may_request

    @property
    def era(self) -> int:
        """See Door."""
        if self._generation != self._gate.generation:
            self._generation = self._gate.generation
            self._forget()
        return self._era

    def judge(self, protocol: QueryProtocol, text: bytes) -> Judgement:
        """Judge a text under the policies in force now."""
        if self._generation != self._gate.generation:
            self._generation = self._gate.generation
            self._forget()
        key = (protocol, text)
        found = self._known.get(key)
        if found is not None:
            self._known.move_to_end(key)
            return found
        verdict = self._witnessed.judged(text, self._classifier.classify(text, self._search_path))
        judgement = self._judge_alike(protocol, verdict, text)
        if len(text) <= MAX_REMEMBERED_BYTES:
            self._known[key] = judgement
            if len(self._known) > MAX_REMEMBERED:
                self._known.popitem(last=False)
        return judgement

    def admit(self, judgement: Judgement) -> Pass:
        """Build the Pass of an allowed text. Raises Refused when policy has moved meanwhile."""
        return self._gate.admit(judgement.decision)

    def witness(self, text: bytes, message: str) -> None:
        """See Door."""
        self._witnessed.note(text, message)
        self._era += 1
        for protocol in QueryProtocol:
            self._known.pop((protocol, text), None)

    def admit_within(self, judgement: Judgement, rows: int) -> Pass:
        """Build the Pass of a held text that may change so many rows. Raises Refused; see `Gate.admit_within`."""
        return self._gate.admit_within(judgement.decision, rows)

    def confirm(self, search_path: str) -> bool:
        """See Door. Where names prove nothing already, they mean what judgements took them for: anything. They
        were judged by each schema of the session's start, so fewer of these are as good."""
        if not self._search_path or search_path == self._confirmed:
            return True
        named = schemas_in(search_path)
        mapped = None if named is None else [self._role if name == "$user" else name for name in named]
        if schemas_of(search_path, self._role) == self._search_path or narrows(mapped, self._search_path):
            self._confirmed = search_path
            return True
        self.distrust_names()
        return False

    def distrust_names(self) -> None:
        """Something ran that may have moved the search path: unqualified names prove nothing from here on."""
        self._search_path = ()
        self._forget()

    def _forget(self) -> None:
        self._era += 1
        self._known.clear()
        self._alike.clear()

    def _judge_alike(self, protocol: QueryProtocol, verdict: SqlVerdict, text: bytes) -> Judgement:
        """The Judgement of a text, by its verdict.

        The classifier gives texts that differ by literals alone one verdict: by that very object a Judgement is found
        again (it keeps the verdict, so that the id stays its own). What is masked depends on the text itself: where
        anything is, each text has a Judgement of its own.
        """
        key = (protocol, id(verdict))
        masked = self._masks.owes
        alike = None if masked else self._alike.get(key)
        if alike is not None:
            self._alike.move_to_end(key)
            return alike
        decision = self._gate.decide(self._caller, self._target, verdict.classification, protocol.value)
        judgement = Judgement(verdict, decision, self._masks.of(verdict, text))
        if not masked:
            self._alike[key] = judgement
            if len(self._alike) > MAX_REMEMBERED:
                self._alike.popitem(last=False)
        return judgement


def facts_of(judgement: Judgement, text: bytes) -> dict[str, object]:
    """Columns of `records` that a Judgement fills."""
    return facts_alike(judgement) | {"text_digest": sha256(text)}


def facts_alike(judgement: Judgement) -> dict[str, object]:
    """Those of them that are the same for all texts with this Judgement."""
    classification, decision = judgement.verdict.classification, judgement.decision
    masked = {} if judgement.masks is None else {"masked": list(judgement.masks.classes)}
    return masked | {
        "kind": classification.kind,
        "effect": classification.effect.word,
        "objects": [access.spelled for access in classification.accesses],
        "statement": classification.normalised,
        "outcome": decision.outcome.name.lower(),
        "policies": list(decision.policies),
        "bundle": decision.revision,
    }
