"""A read that the server calls a write (SQLSTATE 25006): undone, judged anew, and handed in once more.

    25006 ─▶ found in the client's messages ─▶ server back to where it was ─▶ noted ─▶ the same messages again
                                                                                       (now judged: held, allowed …)

Rules:
  1. Only what the client was told nothing of is run again (`told`); otherwise the error goes out, with a hint.
  2. Only from its own beginning: a portal that was bound in the same group and not executed before. A cursor that SQL
     made has failed with the error, so its error goes out too. An EXECUTE of SQL's is held as it stands.
  3. Nothing of the failed try stays but session-level advisory locks: in autocommit it is rolled back by the server, in
     a transaction to the guard. Prepared statements that code of users made are distrusted (`Core.age`).
  4. What follows it in its group was skipped by the server, and is handed in again after it, in order.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Final

from edge_agent.protocols.postgres import encode, expect, messages
from edge_agent.protocols.postgres.core import Core, Step, Want, ask
from edge_agent.protocols.postgres.door import Judgement, Route
from edge_agent.protocols.postgres.events import Order, Rewound
from edge_agent.protocols.postgres.expect import Answer, Expected
from edge_agent.protocols.postgres.framing import Span
from edge_agent.protocols.postgres.limits import HEADER_BYTES
from edge_agent.protocols.postgres.link import FAILED, IDLE, IN_TRANSACTION, Broken
from edge_agent.protocols.postgres.steps import error_of
from twokeys.command import QueryProtocol

Chunk = tuple[list[Span], int, bytes]
"""Messages of the client, how many of them were handled, and the bytes that they stand in."""


@dataclass(slots=True)
class Unit:
    """The client's messages that are in flight: a Query, or a Sync group as far as it came.

    Args:
        limit: Bytes of a group's messages that are kept of chunks before the last; a longer one is not run again.
    """

    limit: int
    spans: list[Span] = field(default_factory=list)
    """Messages of the last chunk that had some of it."""
    first: int = 0
    """Where it begins in that chunk."""
    size: int = 0
    """Bytes of the chunks before."""
    _before: list[tuple[list[Span], int, bytes]] = field(default_factory=list)

    def forget(self) -> None:
        """A new unit begins."""
        self._before.clear()
        self.size = 0

    def keep(self, last: Chunk) -> None:
        """The group is still open: keep the chunk when all of it was handled."""
        spans, at, buffer = last
        if at < len(spans) or at == self.first:
            return
        self.size += spans[-1][2] - spans[self.first][1]
        self._before.append((spans, self.first, buffer))
        self.first = at
        if self.size > self.limit:
            self._before.clear()

    def whole(self, last: Chunk) -> Chunk | None:
        """All of it in one chunk, with what follows it unhandled. None when it is too long."""
        if self.size > self.limit:
            return None
        spans, at, buffer = last
        first = self.first if spans is self.spans else at
        handled = at - first + sum(len(found) - begin for found, begin, _ in self._before)
        pieces, joined, size = list[bytes](), list[Span](), 0
        for found, begin, data in (*self._before, (spans, first, buffer)):
            if begin == len(found):
                continue
            moved = size - found[begin][1]
            pieces.append(data[found[begin][1] : found[-1][2]])
            joined += [(kind, start + moved, end + moved) for kind, start, end in found[begin:]]
            size += len(pieces[-1])
        self.forget()
        self.spans, self.first = joined, 0
        return joined, handled, b"".join(pieces)


@dataclass(frozen=True, slots=True)
class Doubt:
    """What the server called a write, found in the client's messages.

    Args:
        chunk: The unit's.
        index: The message that failed.
        error: Fields of the server's error.
        told: The client was told something of its answer that can't be taken back.
    """

    chunk: Chunk
    index: int
    error: dict[str, bytes]
    told: bool

    def kind(self, index: int) -> int:
        """Type of a message."""
        return self.chunk[0][index][0]

    def place(self, index: int) -> tuple[bytes, int, int]:
        """Where a message stands, as readers of messages want it."""
        return self.chunk[2], *self.chunk[0][index][1:]

    @property
    def simple(self) -> bool:
        """Whether a Query failed."""
        return self.kind(self.index) == messages.QUERY


ADVICE: Final = (
    b"Its query writes, by the database's own word. Send that query by itself, without a cursor, and bound anew: "
    b"it is held for approval then, before it runs."
)


def advice(core: Core) -> bytes:
    """What a client is told besides an error that goes out as it is; nothing where its own transaction is read-only."""
    return b"" if core.transaction is not None and not core.transaction.writable else ADVICE


def advised(core: Core, error: dict[str, bytes]) -> dict[str, bytes]:
    """The server's error with what to do about it."""
    hint = advice(core)
    return {**error, "H": hint} if hint else error


def find(core: Core, front: Expected, chunk: Chunk, *, waits: bool) -> int | None:
    """Find the message that failed.

    Args:
        core: As it is when the error comes: nothing is undone yet.
        front: What the error answers.
        chunk: The unit's.
        waits: The last message handled began a step, which waits for the group to end: it was not sent.

    Returns:
        Its place among the messages; None when it can't be run again from its beginning.
    """
    spans, handled, buffer = chunk
    kinds = [kind for kind, _, _ in spans[:handled]]
    if expect.is_read_query(front):
        return handled - 1 if kinds and kinds[-1] == messages.QUERY else None
    executes = front.ends == expect.EXECUTE_ENDS
    if not executes and front.ends != expect.BIND.ends:
        return None
    kind = messages.EXECUTE if executes else messages.BIND
    answer = front.ends
    left = core.link.count_ahead(lambda one: one.ends == answer and not one.hidden)
    places = [at for at, each in enumerate(kinds) if each == kind]
    unsent = (waits and kinds[-1:] == [kind]) or (kind == messages.BIND and core.tail is not None)
    places = places[: len(places) - unsent]
    if not 0 < left <= len(places):
        return None
    index = places[-left]
    return index if kind == messages.BIND or _is_fresh(spans, buffer, index) else None


def _is_fresh(spans: list[Span], buffer: bytes, index: int) -> bool:
    """Whether the portal of an Execute was bound in this group, and not executed before."""
    wanted = messages.read_execute(buffer, *spans[index][1:]).portal
    for kind, start, end in reversed(spans[:index]):
        if kind == messages.EXECUTE and messages.read_execute(buffer, start, end).portal == wanted:
            return False
        if kind == messages.BIND and _names(buffer, start)[0] == wanted:
            return True
    return False


def _names(buffer: bytes, start: int) -> tuple[bytes, bytes]:
    """Portal and statement of a Bind."""
    portal_end = buffer.index(b"\0", start + HEADER_BYTES)
    statement_end = buffer.index(b"\0", portal_end + 1)
    return buffer[start + HEADER_BYTES : portal_end], buffer[portal_end + 1 : statement_end]


def rewind(core: Core, doubt: Doubt, hand_in: Callable[[Chunk], None]) -> Step:
    """Bring the server back to before the failed message, and have it handed in again.

    Args:
        core: The session. What the server skipped is undone, and the Sync's answer hidden.
        doubt: What failed.
        hand_in: Has a chunk's unhandled messages handled.
    """
    link = core.link
    core.guarded = core.leaves = False
    if core.unsynced:
        link.sync()
        core.unsynced = False
    yield Want.QUIET
    core.age += 1
    found = _judged(core, doubt)
    if found is None or not (yield from _back(core)):
        _give_up(core, doubt, hand_in)
        return
    judgement, protocol, text = found
    core.effects.append(Rewound(judgement, protocol, text, *_words(doubt)))
    if not doubt.simple:
        _restore_portals(core, doubt)
        core.grouped = True
    spans, _, buffer = doubt.chunk
    hand_in((spans, doubt.index, buffer))


def _words(doubt: Doubt) -> tuple[str, str]:
    return doubt.error["C"].decode("ascii", "replace"), doubt.error.get("M", b"").decode("utf-8", "replace")


def _judged(core: Core, doubt: Doubt) -> tuple[Judgement, QueryProtocol, bytes] | None:
    """Note the text. Returns how it is judged from now on; None when it is not to be run again."""
    text = _text(core, doubt)
    if text is None:
        return None
    protocol = QueryProtocol.SIMPLE if doubt.simple else QueryProtocol.EXTENDED
    before = core.door.judge(protocol, text)
    if before.verdict.executes:
        # It was judged by what it ran. Now its name means nothing any more (`Core.age`), so as it stands it is held.
        return None if doubt.told or not before.writes else (before, protocol, text)
    if before.route is not Route.READ or before.verdict.cursors or before.verdict.prepared:
        return None
    core.door.witness(text, _words(doubt)[1])
    judgement = core.door.judge(protocol, text)
    return None if doubt.told or not judgement.writes else (judgement, protocol, text)


def _text(core: Core, doubt: Doubt) -> bytes | None:
    place = doubt.place(doubt.index)
    match doubt.kind(doubt.index):
        case messages.QUERY:
            return messages.read_query(*place)
        case messages.EXECUTE:
            portal = core.portals.get(messages.read_execute(*place).portal)
            return None if portal is None else portal.statement.text
        case _:
            statement = core.statements.get(_names(*place[:2])[1])
            return None if statement is None else statement.text


def _back(core: Core) -> Generator[Want, Order | None, bool]:
    """Roll back to the guard, in a transaction. False where there is none: the client's own is read-only."""
    if core.link.status == IDLE:
        return True
    if core.link.status != FAILED or not core.may_be_written:
        return False
    answer: Answer = yield from ask(core, core.hidden.guard_undo, 2)
    if answer.error is not None or core.link.status != IN_TRANSACTION:
        raise Broken("The guard could not be rolled back to.", alarm=True)
    return True


def _restore_portals(core: Core, doubt: Doubt) -> None:
    """The server has none of this group's any more: bind those anew that wait, forget those that were executed."""
    executed: dict[bytes, bool] = {}
    for index in range(doubt.index):
        if doubt.kind(index) == messages.BIND:
            executed[_names(*doubt.place(index)[:2])[0]] = False
        elif doubt.kind(index) == messages.EXECUTE:
            name = messages.read_execute(*doubt.place(index)).portal
            executed |= {name: True} if name in executed else {}
    for name, gone in executed.items():
        portal = core.portals.get(name)
        if portal is None:
            continue
        if gone:
            core.portals.put(name, None)
        else:
            portal.sent = portal.started = False


def _give_up(core: Core, doubt: Doubt, hand_in: Callable[[Chunk], None]) -> None:
    """Let the client have the error after all; the rest of its group is skipped, as the server did."""
    core.link.say(error_of(Answer(error=advised(core, doubt.error))))
    if doubt.simple:
        core.link.say(encode.ready_for_query(core.link.status))
        return
    core.grouped = core.link.failed = True
    spans, _, buffer = doubt.chunk
    hand_in((spans, doubt.index, buffer))
