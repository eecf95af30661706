"""What of ours goes before a chunk of the client, in one flight with it, and its answer where all is well.

    a read    the guard opened, where the transaction may write; its named statement parsed anew, where code of users
              may have replaced it (attack W3)
    a write   the guard closed, where it is open; its statement parsed anew

It is what `core` sends on the general way, byte by byte. Its answer has no values, so it is known before it comes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from edge_agent.protocols.postgres import encode
from edge_agent.protocols.postgres.core import Core
from edge_agent.protocols.postgres.expect import HIDDEN_CLOSE, HIDDEN_SYNC, Answer, Expected, hidden_commands
from edge_agent.protocols.postgres.link import IN_TRANSACTION
from edge_agent.protocols.postgres.pipeline import Statement, Undo

ANSWERED: Final = encode.CLOSE_COMPLETE_MESSAGE * 2 + encode.PARSE_COMPLETE_MESSAGE + encode.BIND_COMPLETE_MESSAGE
"""What the server says to a hidden command before its rows and its tag; see `hidden.command`."""

_SYNCED: Final = encode.ready_for_query(IN_TRANSACTION)
_ANEW: Final = encode.CLOSE_COMPLETE_MESSAGE + encode.PARSE_COMPLETE_MESSAGE
_OPENED: Final = ANSWERED + encode.command_complete(b"SAVEPOINT") + ANSWERED + encode.command_complete(b"SET")
_CLOSED: Final = ANSWERED + encode.command_complete(b"RELEASE")


@dataclass(frozen=True, slots=True)
class Front:
    """One of them.

    Args:
        sent: Bytes for the server.
        answer: The server's, if all is well.
        commands: Hidden ones about the guard.
        synced: They have a Sync of their own: a Query follows.
        shows: An error of theirs is the client's.
        undo: Of a statement that is parsed anew: if the server skips it. None: none is.
    """

    sent: bytes
    answer: bytes
    commands: int
    synced: bool
    shows: bool
    undo: Undo | None

    def expected(self) -> Iterator[Expected]:
        """What the server is to answer."""
        if self.commands:
            yield hidden_commands(self.commands, None if self.shows else Answer())
            if self.synced:
                yield HIDDEN_SYNC
        if self.undo is not None:
            yield HIDDEN_CLOSE
            yield Expected(b"", b"1", hidden=True, undo=self.undo)


def before_read(core: Core, statement: Statement | None, *, simple: bool) -> Front | None:
    """What goes before a read; None: nothing.

    Args:
        core: The session.
        statement: A named one that is to be parsed anew.
        simple: It is a Query.
    """
    opens = not core.guarded and core.needs_guard
    if not opens and statement is None:
        return None
    sent, answer, commands = (core.hidden.guard_open, _OPENED, 2) if opens else (b"", b"", 0)
    if opens:
        core.guarded, core.leaves = True, False
    return _front(core, sent, answer, commands, statement, simple=simple, shows=not simple)


def before_write(core: Core, statement: Statement | None, *, simple: bool) -> Front:
    """What goes before a write that has its Pass. Args as `before_read`."""
    closes = core.guarded
    sent, answer, commands = (core.hidden.guard_close, _CLOSED, 1) if closes else (b"", b"", 0)
    core.guarded = False
    return _front(core, sent, answer, commands, statement, simple=simple, shows=True)


def _front(
    core: Core, sent: bytes, answer: bytes, commands: int, statement: Statement | None, *, simple: bool, shows: bool
) -> Front:
    synced, undo = simple and commands > 0, None
    if synced:
        sent, answer = sent + encode.SYNC_MESSAGE, answer + _SYNCED
    if statement is not None:
        sent += encode.close(b"S", statement.name)
        sent += encode.parse(statement.name, statement.text, statement.types)
        answer += _ANEW
        undo = _of_age(statement)
        statement.age = core.age
    return Front(sent, answer, commands, synced, shows, undo)


def _of_age(statement: Statement) -> Undo:
    age = statement.age

    def undo() -> None:
        statement.age = age

    return undo
