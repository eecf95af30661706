"""What a walk finds: objects and what happens to them, doubts, and reasons for people."""

from __future__ import annotations

from typing import Final

from edge_agent.classify.builtins import RELATIONS, SECRET_RELATIONS
from edge_agent.classify.known import Known, Reading
from edge_agent.classify.limits import SqlLimits
from edge_agent.classify.names import dotted, has_invisible, visible
from edge_agent.classify.parser import Tree
from twokeys.effect import DATABASE, Access, Effect, ObjectKind, ObjectRef


class TooMuch(Exception):
    """The text holds more than a limit allows.

    Args:
        what: Of what, in the plural.
        limit: How many are allowed.
    """

    def __init__(self, what: str, limit: int) -> None:
        super().__init__(f"more than {limit} {what}")
        self.what = what
        self.limit = limit


_REASON_CHARS: Final = 200
"""Longest reason; a setting's name may be as long as the text."""


class Findings:
    """Collects, over one statement of a text.

    Args:
        search_path: Schemas where an unqualified name may be found, in order.
        limits: The named limits.
        nodes: Nodes counted before, in earlier statements of the text.
        known: The database's catalogue, where one is at hand.

    Attributes:
        definition: The statement defines something: types of users' own are nothing unusual.
        stored: User code in it is stored, not run now.
        locks: It locks rows.
    """

    __slots__ = (
        "accesses",
        "aliases",
        "certain",
        "code_reads",
        "definition",
        "fields",
        "folded",
        "harmless_calls",
        "known",
        "limits",
        "locks",
        "nodes",
        "reasons",
        "search_path",
        "shown_without_secrets",
        "stored",
    )

    def __init__(
        self, search_path: tuple[str, ...], limits: SqlLimits, nodes: int = 0, known: Known | None = None
    ) -> None:
        self.known = known
        self.search_path = search_path
        self.limits = limits
        self.nodes = nodes
        self.accesses: dict[ObjectRef, Effect] = {}
        self.reasons: dict[str, None] = {}
        self.certain = True
        self.code_reads: set[ObjectRef] = set()
        self.definition = False
        self.stored = False
        self.locks = False
        self.folded = 1
        self.aliases: dict[str, list[frozenset[str] | None]] = {}
        self.fields: list[tuple[str, str]] = []
        self.shown_without_secrets: frozenset[str] = frozenset()
        self.harmless_calls = False

    def touch(self, ref: ObjectRef, effect: Effect) -> None:
        """Note that `effect` happens to `ref`; the worst stays. Raises TooMuch past the limit."""
        before = self.accesses.get(ref)
        if before is None or before < effect:
            self.accesses[ref] = effect
            if len(self.accesses) > self.limits.objects:
                raise TooMuch("objects", self.limits.objects)

    def because(self, reason: str) -> None:
        """Note a reason why this is no proven read. It must hold no literal of the text."""
        if len(self.reasons) < self.limits.reasons:
            reason = visible(reason)
            self.reasons[reason if len(reason) <= _REASON_CHARS else reason[: _REASON_CHARS - 1] + "…"] = None

    def doubt(self, reason: str) -> None:
        """Note that something was not understood."""
        self.certain = False
        self.because(reason)

    def privileged(self, reason: str) -> None:
        """Note something that is privileged on the whole database."""
        self.touch(DATABASE, Effect.PRIVILEGED)
        self.because(reason)

    def count(self, nodes: int) -> None:
        """Count nodes. Raises TooMuch past the limit."""
        self.nodes += nodes
        if self.nodes > self.limits.tree_nodes:
            raise TooMuch("parts", self.limits.tree_nodes)

    def relation(self, node: Tree, effect: Effect) -> None:
        """Note a RangeVar. An unqualified name counts once for each schema where it may be found."""
        name: str = node.get("relname", "")
        if "catalogname" in node:
            self.doubt("names a table of a database")
        self.relation_named(node.get("schemaname", ""), name, effect)

    def relation_named(self, schema: str, name: str, effect: Effect) -> None:
        """Note a relation by its names; `schema` is empty for an unqualified one."""
        if has_invisible(schema + name):
            self.doubt(f"a name holds characters that can't be seen: {name}")
        schemas: tuple[str, ...] = (schema,)
        if self.known is not None and effect is Effect.READ and not self.stored and not self.definition:
            why = self.known.relation(schema, name, self.search_path)
            if why:
                self.doubt(f"reads {why}")
        if not schema:
            schemas = ("pg_catalog",) if name in RELATIONS else self.search_path
            if name.startswith("pg_") and "pg_catalog" not in schemas:
                schemas = ("pg_catalog", *schemas)
            if not schemas:
                self.doubt(f"names {name} without a schema, and no search path is known")
        for each in schemas:
            worst = effect
            if each == "pg_catalog":
                worst = self._catalog(name, effect)
            elif each == "pg_toast":
                self.because(f"touches the stored parts of a table: {name}")
                worst = Effect.PRIVILEGED
            path = dotted(each, name)
            if effect is not Effect.READ:
                self.because(f"{_VERBS[effect]} {path}")
            self.touch(ObjectRef(ObjectKind.TABLE, path), worst)

    def _catalog(self, name: str, effect: Effect) -> Effect:
        if effect is not Effect.READ:
            self.because("changes the system catalogue")
            return Effect.PRIVILEGED
        if name in SECRET_RELATIONS and name not in self.shown_without_secrets:
            self.because(f"reads pg_catalog.{name}, which holds secrets")
            return Effect.PRIVILEGED
        return effect

    def function(self, schema: str, name: str, effect: Effect) -> None:
        """Note a function that was called."""
        self.touch(ObjectRef(ObjectKind.FUNCTION, dotted(schema, name)), effect)

    def learn(self, reading: Reading | None, otherwise: str) -> bool:
        """Note what a catalogue says of a name; returns whether the name is bound to users' code that reads.

        Args:
            reading: Its answer.
            otherwise: What the text does, in words, should that code not be known to read.
        """
        if reading is None:
            return False
        if not reading.proven:
            self.doubt(f"{otherwise}: {reading.why_not}")
            return False
        for access in reading.accesses:
            self.touch(access.object, access.effect)
            self.code_reads.add(access.object)
        return True

    def raise_reads(self) -> None:
        """Raise reads of tables to writes: FOR UPDATE and its kin lock rows of those that it names."""
        for ref, effect in self.accesses.items():
            if effect is Effect.READ and ref.kind is ObjectKind.TABLE:
                self.accesses[ref] = Effect.WRITE
        if not any(ref.kind is ObjectKind.TABLE for ref in self.accesses):
            self.touch(DATABASE, Effect.WRITE)

    @property
    def effect(self) -> Effect:
        """The worst effect so far; privileged when anything was not understood."""
        return max(self.accesses.values(), default=Effect.READ) if self.certain else Effect.PRIVILEGED

    def result(self) -> tuple[Access, ...]:
        """The accesses, sorted; all privileged, the database among them, when anything was not understood."""
        if self.certain:
            found = self.accesses or {DATABASE: Effect.READ}
            return tuple(sorted(Access(ref, effect) for ref, effect in found.items()))
        refs = sorted({*self.accesses, DATABASE})
        return tuple(Access(ref, Effect.PRIVILEGED) for ref in refs)


_VERBS = {Effect.WRITE: "changes", Effect.DDL: "defines or drops", Effect.PRIVILEGED: "has privileged access to"}
