"""The masks that a session owes its caller, and what one text owes of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from edge_agent.classify.sql import SqlVerdict
from edge_agent.mask.columns import NOTHING_KNOWN, Columns, resolve
from edge_agent.mask.copied import CopyOut, copy_out
from edge_agent.mask.detect import Scan
from edge_agent.mask.lineage import Cleared, cleared
from edge_agent.mask.plan import Described, Plan, plan_of
from edge_agent.mask.question import question, read_answer
from edge_agent.mask.taint import touches
from twokeys.data_class import DataClass
from twokeys.effect import ObjectKind


@dataclass(frozen=True, slots=True)
class Owed:
    """What is owed for one text.

    Args:
        columns: What is classified.
        key: For hashes.
        touches: It may show something classified.
        cleared: See `lineage`.
        scan: What values are searched for.
        copy: The text is a COPY TO STDOUT whose rows can be read.
        classes: Names of the data classes that are masked in what it shows, for its record.
    """

    columns: Columns
    key: bytes
    touches: bool
    cleared: Cleared | None
    scan: Scan | None
    copy: CopyOut | None = None
    classes: tuple[str, ...] = ()

    def plan(self, described: Sequence[Described]) -> Plan:
        """How a result with these columns is shown."""
        return plan_of(
            described, self.columns, self.key, touches=self.touches, cleared=self.cleared, scan=self.scan
        )  # fmt: skip


class Masks:
    """The masks of one session: which classes its caller may not see, and what is known of their columns.

    Args:
        owed: Says the classes, under the policies in force now: the same tuple as long as they are the same.
        key: The deployment's secret for hashes; empty without one.
    """

    __slots__ = ("_columns", "_key", "_owed", "_scan", "changed", "classes", "stale")

    def __init__(self, owed: Callable[[], tuple[DataClass, ...]], key: bytes = b"") -> None:
        self._owed, self._key = owed, key
        self.classes: tuple[DataClass, ...] = ()
        self._scan: Scan | None = None
        self._columns = NOTHING_KNOWN
        self.stale = False
        """The server should be asked `question`, when the session is idle."""
        self.changed: Callable[[], object] = _nothing
        """Told when other masks are owed for the same text than before."""
        self.refresh()

    @property
    def columns(self) -> Columns:
        """What is known of classified columns."""
        return self._columns

    @property
    def key(self) -> bytes:
        """The deployment's secret for hashes."""
        return self._key

    @property
    def owes(self) -> bool:
        """Whether anything is owed to this caller at all."""
        self.refresh()
        return bool(self.classes)

    def refresh(self) -> None:
        """Take note of what policies say now."""
        classes = self._owed()
        if classes is self.classes:
            return
        self.classes = classes
        detectors = [detector for each in classes for detector in each.detect]
        self._scan = Scan(detectors) if detectors else None
        self.forget()

    def forget(self) -> None:
        """What is known of columns may no longer hold: until the server was asked anew anything may be classified."""
        asks = any(each.columns for each in self.classes)
        self._columns = NOTHING_KNOWN if asks else Columns(True)
        self.stale = asks
        self.changed()

    def look_again(self) -> bool:
        """Have the server asked anew; what is known stays until it answers. False: there is nothing to ask about."""
        self.refresh()
        self.stale = any(each.columns for each in self.classes)
        return self.stale

    def question(self) -> bytes:
        """What to ask the server."""
        return question(self.classes)

    def learn(self, rows: Iterable[Sequence[bytes | None]] | None) -> None:
        """Take the answer; None: there is none that can be used, and nothing is known. Who asks sets `stale` back."""
        if self.stale:
            # Something moved while it was asked: it is asked again.
            return
        self._columns = resolve(None if rows is None else read_answer(rows), self.classes)
        self.changed()

    def _shown_by_code(self, verdict: SqlVerdict) -> bool:
        """Whether code of users can show something classified under a name that the parse tree takes for a built-in."""
        return any(ref.kind is ObjectKind.FUNCTION or ref.name in self._columns.relations for ref in verdict.code_reads)

    def of(self, verdict: SqlVerdict, text: bytes) -> Owed | None:
        """What is owed for a text; None: nothing."""
        self.refresh()
        if not self.classes:
            return None
        touching = any(each.columns for each in self.classes) and touches(verdict, text, self._columns)
        if not touching and self._scan is None:
            return None
        copy = copy_out(text) if verdict.is_copy_out else None
        by_parse = touching and verdict.classification.certain and not self._shown_by_code(verdict)
        proven = cleared(text if copy is None else copy.select, self._columns) if by_parse else None
        classes = self._masked(verdict, touching=touching)
        return Owed(self._columns, self._key, touching, proven, self._scan, copy, classes)

    def _masked(self, verdict: SqlVerdict, *, touching: bool) -> tuple[str, ...]:
        found = {each.name for each in self.classes if each.detect}
        if touching:
            named = {access.object.name for access in verdict.classification.accesses}
            known = [self._columns.classes[name] for name in named if name in self._columns.classes]
            # Through code of users, or before it is known: any of them.
            found |= frozenset().union(*known) if known else {each.name for each in self.classes if each.columns}
        return tuple(sorted(found))


def _nothing() -> None:
    return
