"""Ask a server what became of a transaction, after a crash of the Edge."""

from __future__ import annotations

import asyncio

from edge_agent.net.postgres_start import Door, reach
from edge_agent.net.wire import Wire, WireLost
from edge_agent.protocols.postgres import encode
from edge_agent.protocols.postgres import server_messages as server
from edge_agent.protocols.postgres.framing import Splitter
from edge_agent.protocols.postgres.startup_rules import Authenticated
from twokeys.caller import Caller, CallerKind
from twokeys.errors import TwokeysError

WORDS = {b"committed": "done", b"aborted": "failed"}
"""What pg_xact_status says, as the outcome of a Request; everything else stays in doubt."""


async def outcome_of(door: Door, xid: str) -> str:
    """``done``, ``failed`` or ``in_doubt``: by `pg_xact_status` of this transaction.

    Source: https://www.postgresql.org/docs/current/functions-info.html (pg_xact_status); NULL once it is too old.
    """
    if not (xid.isascii() and xid.isdecimal() and len(xid) <= 20):
        return "in_doubt"
    nobody = Authenticated(Caller("twokeys-settle", CallerKind.MACHINE), door.section.upstream_database, {}, 0)
    try:
        wire, ready = await reach(door, nobody)
    except TwokeysError:
        return "in_doubt"
    try:
        async with asyncio.timeout(door.section.connect_seconds):
            wire.write(encode.query(f"SELECT pg_catalog.pg_xact_status('{xid}'::pg_catalog.xid8)".encode()))
            return WORDS.get(await _one_value(wire, door, ready.rest), "in_doubt")
    except (TimeoutError, WireLost, TwokeysError):
        return "in_doubt"
    finally:
        wire.write(encode.TERMINATE_MESSAGE)
        wire.close()


async def _one_value(wire: Wire, door: Door, data: bytes) -> bytes:
    splitter = Splitter(door.rules.limits.server_table)
    value = b""
    while True:
        for kind, start, end in splitter.feed(data):
            if kind == server.DATA_ROW:
                value = (server.read_data_row(splitter.buffer, start, end) or (b"",))[0] or b""
            elif kind == server.READY_FOR_QUERY:
                return value
        data = await wire.read(8192)
