"""What the client has prepared and bound, by name, as the server has it: extended-query state.

Names are looked up by the position of a message in the pipeline. What a message changes is undone when the server
skips it (`undo`): a Parse that fails must not leave us believing in another text than the server has (attack W3).

https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-EXT-QUERY
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from edge_agent.protocols.postgres.door import Judgement
from edge_agent.protocols.postgres.messages import Bind
from edge_agent.protocols.postgres.passage import Passage
from twokeys.command import PostgresCommand, QueryProtocol
from twokeys.errors import InvalidInput

Undo = Callable[[], None]


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """What one client may make the Edge keep.

    Args:
        waiting_bytes: Client bytes kept while something is in flight or held; beyond it the shell stops reading.
        statements: Named prepared statements.
        statement_bytes: Texts of all prepared statements together.
        portals: Portals.
        portal_bytes: Bind messages of all portals together.
        savepoints: Savepoints of one transaction.
        writes: Approved or allowed writes of one transaction.
        hidden_bytes: Longest answer to a question of our own.
        copy_bytes: Data of one COPY FROM STDIN that is held; one that policy allows passes through.
    """

    waiting_bytes: int = 256 * 1024
    statements: int = 10_000
    statement_bytes: int = 64 * 1024 * 1024
    portals: int = 1_000
    portal_bytes: int = 128 * 1024 * 1024
    savepoints: int = 1_000
    writes: int = 1_000
    hidden_bytes: int = 1024 * 1024
    copy_bytes: int = 256 * 1024 * 1024

    def __post_init__(self) -> None:
        if min(getattr(self, name) for name in self.__slots__) < 1:
            raise InvalidInput("Each limit of a session must be positive.", not_done="The limits were not set.")


class Statement:
    """A prepared statement: its text, the parameter types that Parse gave, and when it was parsed (`Core.age`).

    `passage` is the lane's.
    """

    __slots__ = ("age", "name", "passage", "size", "text", "types")

    def __init__(self, name: bytes, text: bytes, types: tuple[int, ...], age: int = 0) -> None:
        self.name, self.text, self.types, self.age = name, text, types, age
        self.size = len(text)
        self.passage: Passage | None = None


class Portal:
    """A bound statement: the Bind message, whether the server has it, and whether an Execute has begun it."""

    __slots__ = ("name", "raw", "sent", "size", "started", "statement")

    def __init__(self, name: bytes, statement: Statement, raw: bytes) -> None:
        self.name, self.statement, self.raw = name, statement, raw
        self.size = len(raw)
        self.sent = self.started = False


@dataclass(slots=True)
class Tail:
    """Bind, and Describes of its portal, not sent yet: what they bind waits for its Execute (a Bind can run code).

    `answered`: the client has their answers already, from us.
    """

    portal: Portal
    undo: Undo
    describes: list[bytes] = field(default_factory=list)
    answered: bool = False


@dataclass(frozen=True, slots=True)
class Job:
    """One Command as it stands on the wire.

    Args:
        command: What is digested.
        judgement: Of its text.
        raw: The Query or Execute message.
        portal: Of an Execute.
        tail: The portal's Bind and Describes, where they were not sent yet.
        max_rows: Row limit of an Execute, 0 for none.
    """

    command: PostgresCommand
    judgement: Judgement
    raw: bytes
    portal: Portal | None = None
    tail: Tail | None = None
    max_rows: int = 0

    @property
    def simple(self) -> bool:
        """Whether a simple Query carried it."""
        return self.portal is None


ABSENT: Final = -1
"""The age of an unnamed Statement that the server has not, or has no longer."""

V = TypeVar("V", Statement, Portal)


class Sized(Generic[V]):
    """A dict of Statements or Portals by name that knows its size in bytes and can undo each change."""

    __slots__ = ("held", "size")

    def __init__(self) -> None:
        self.held: dict[bytes, V] = {}
        """To look into, not to change."""
        self.size = 0

    def __len__(self) -> int:
        return len(self.held)

    def get(self, name: bytes) -> V | None:
        """What is held under the name, or None."""
        return self.held.get(name)

    def values(self) -> Sequence[V]:
        """Everything held."""
        return tuple(self.held.values())

    def put(self, name: bytes, value: V | None) -> Undo:
        """Hold `value` under the name (None: nothing any more); returns what undoes just that."""
        old = self.held.pop(name, None)
        self.size -= old.size if old is not None else 0
        if value is not None:
            self.held[name] = value
            self.size += value.size

        def undo() -> None:
            if self.held.get(name) is value:
                self.put(name, old)

        return undo

    def clear(self) -> Undo:
        """Hold nothing; returns what undoes it, but for names that are held again by then."""
        old, self.held, self.size = self.held, {}, 0

        def undo() -> None:
            for name, value in old.items():
                if name not in self.held:
                    self.put(name, value)

        return undo


def command_of(portal: Portal, bind: Bind) -> PostgresCommand:
    """The Command of an Execute: text, types as Parse gave them, formats one per value, values."""
    count = len(bind.values)
    formats = bind.formats if len(bind.formats) == count else (bind.formats or (0,)) * count
    statement = portal.statement
    return PostgresCommand(QueryProtocol.EXTENDED, statement.text, statement.types, formats, bind.values)
