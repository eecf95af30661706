"""Ask a server what became of a transaction, after a crash of the Edge.

A server that crashed gives ids again that had not reached its disk: what `pg_xact_status` says of such an id is about
somebody else's transaction. So the server is asked as well whether it crashed since: that resets its statistics, and
says when. Then only one thing is known for sure: of an id that was not given again yet nothing was committed.
"""

from __future__ import annotations

import asyncio
from typing import Final

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


SLACK_SECONDS: Final = 1
"""For rounding. Clocks may differ: each side measures a time that passed by its own."""

MAX_AGE_SECONDS: Final = 10 * 366 * 86400
"""Of a Request; one whose beginning is not known counts as older than any server."""

_SQL: Final = """
SELECT CASE
    WHEN pg_catalog.pg_stat_get_bgwriter_stat_reset_time() OPERATOR(pg_catalog.<)
        (pg_catalog.now() OPERATOR(pg_catalog.-) pg_catalog.make_interval(secs => {seconds}))
    THEN pg_catalog.pg_xact_status('{xid}'::pg_catalog.xid8)
    WHEN '{xid}'::pg_catalog.xid8 OPERATOR(pg_catalog.>=)
        pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())
    THEN 'aborted' END
"""


async def outcome_of(door: Door, xid: str, age: int) -> str:
    """``done``, ``failed`` or ``in_doubt``: by what the server knows of this transaction.

    Args:
        door: The target's.
        xid: The transaction's id.
        age: Seconds since before it began.

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
            seconds = min(age, MAX_AGE_SECONDS) + SLACK_SECONDS
            wire.write(encode.query(_SQL.format(xid=xid, seconds=seconds).encode()))
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
