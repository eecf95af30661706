"""A whole group in one chunk that only reads: Bind, Execute, Sync, and Parse or Describe where drivers send them.

What drivers send for a prepared statement is nearly always the same bytes but for Bind. Outside of a transaction such a
group needs nothing of what `client` does message by message: it is forwarded as one piece, and nothing is copied.

Rules:
  1. All or nothing: what is not plainly such a group is left to `client`, with nothing changed. Both give the same.
  2. Only outside of transactions (no guard, and portals end with the Sync), with everything before answered, with the
     unnamed portal, and with a text that policy lets pass as a read, unmasked.
  3. The Record is appended and the Pass spent as for any other forward.

https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-EXT-QUERY
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from edge_agent.gate import Pass
from edge_agent.protocols.postgres import encode, expect, messages
from edge_agent.protocols.postgres.core import Core
from edge_agent.protocols.postgres.door import Judgement, Route
from edge_agent.protocols.postgres.events import Forwarded
from edge_agent.protocols.postgres.expect import Expected
from edge_agent.protocols.postgres.framing import Span
from edge_agent.protocols.postgres.limits import HEADER_BYTES
from edge_agent.protocols.postgres.link import IDLE
from edge_agent.protocols.postgres.pipeline import Portal, Statement
from twokeys.command import QueryProtocol
from twokeys.errors import Refused

_EXECUTE: Final = encode.execute(b"") + encode.SYNC_MESSAGE
_DESCRIBED: Final = encode.message(b"D", b"P\0") + _EXECUTE
MOST_MESSAGES: Final = 5
"""Parse, Bind, Describe, Execute, Sync."""


def forward_group(core: Core, spans: Sequence[Span], buffer: bytes) -> bool:
    """Forward the group that `spans` are. False when they are no such group: then nothing was done.

    Raises:
        InvalidInput: Its Parse is malformed. The session must end.
    """
    link = core.link
    if link.status != IDLE or core.own is not None or core.transaction is not None or not link.quiet:
        return False
    if core.grouped or core.unsynced or link.failed or core.tail is not None:
        return False
    parses = spans[0][0] == messages.PARSE
    kind, start, end = spans[parses]
    if kind != messages.BIND or buffer[start + HEADER_BYTES] != 0:
        return False
    stop = spans[-1][2]
    rest = buffer[end:stop]
    if rest != _EXECUTE and rest != _DESCRIBED:
        return False
    name_end = buffer.find(b"\0", start + HEADER_BYTES + 1, end)
    if name_end < 0:
        return False
    named = buffer[start + HEADER_BYTES + 1 : name_end]
    statement = _parsed(core, spans[0], buffer) if parses else core.statements.get(named)
    if statement is None or statement.name != named or statement.age != core.age:
        return False
    portal = Portal(b"", statement, buffer[start:end])
    found = _admitted(core, portal)
    if found is None:
        return False
    judgement, permission = found
    expected = [expect.BIND, expect.EXECUTE]
    if parses:
        expected.insert(0, Expected(b"", b"1", undo=core.statements.put(b"", statement)))
    if len(rest) == len(_DESCRIBED):
        expected.insert(-1, expect.DESCRIBE_PORTAL)
    # It goes with the Sync, in error too: so nothing need be undone when its Bind fails.
    core.portals.put(b"", portal)
    portal.sent = portal.started = True
    core.records.append(Forwarded(judgement, QueryProtocol.EXTENDED, statement.text, portal.raw))
    link.forward_group(permission, buffer[spans[0][1] : stop], expected)
    return True


def _parsed(core: Core, span: Span, buffer: bytes) -> Statement | None:
    message = messages.read_parse(buffer, span[1], span[2])
    statements, limits = core.statements, core.limits
    full = len(statements) >= limits.statements or statements.size + len(message.sql) > limits.statement_bytes
    return None if full or message.name else Statement(b"", message.sql, message.types, core.age)


def _admitted(core: Core, portal: Portal) -> tuple[Judgement, Pass] | None:
    portals, limits = core.portals, core.limits
    if len(portals) >= limits.portals or portals.size + portal.size > limits.portal_bytes:
        return None
    judgement = core.door.judge(QueryProtocol.EXTENDED, portal.statement.text)
    if judgement.route is not Route.READ or judgement.moves_names or judgement.masks is not None:
        return None
    try:
        return judgement, core.door.admit(judgement)
    except Refused:
        return None
