"""What is plain on the wire, and found in one look: a group of Bind, Execute and Sync, and an answer with its rows.

Both have compiled twins (`edge_agent.native`); what is here is their oracle.
"""

from __future__ import annotations

import struct
from typing import Final

from edge_agent.native import compiled
from edge_agent.protocols.postgres import encode, messages
from edge_agent.protocols.postgres import server_messages as server
from edge_agent.protocols.postgres.limits import HEADER_BYTES

_EXECUTE: Final = encode.execute(b"") + encode.SYNC_MESSAGE
_DESCRIBED: Final = encode.message(b"D", b"P\0") + _EXECUTE
_length: Final = struct.Struct("!I").unpack_from


def group_purely(data: bytes, start: int, most: int, /) -> tuple[bytes, int, bool] | None:
    """Read a chunk that is, from `start` on, Bind, perhaps Describe, Execute and Sync of the unnamed portal, no limit.

    Args:
        data: What the client sent.
        start: Where the Bind begins.
        most: Longest Bind.

    Returns:
        The statement's name, where the Bind ends, and whether the portal is described; None: it is something else.
    """
    size = len(data)
    if size - start < HEADER_BYTES + 2 or data[start] != messages.BIND:
        return None
    length = _length(data, start + 1)[0]
    end = start + 1 + length
    if length > most or data[start + HEADER_BYTES]:
        return None
    described = size - end == len(_DESCRIBED)
    rest = _DESCRIBED if described else _EXECUTE
    if size - end != len(rest) or not data.endswith(rest):
        return None
    name_at = start + HEADER_BYTES + 1
    name_end = data.find(b"\0", name_at, end)
    return None if name_end < 0 else (data[name_at:name_end], end, described)


def complete_purely(
    data: bytes, at: int, end: int, described: bool, no_data: bool, limits: tuple[int, int, int], /
) -> tuple[int, int] | None:
    """Find the CommandComplete of an answer.

    Args:
        data: What the server sent.
        at: Where the answer begins: with its RowDescription, or with its rows.
        end: What it may take up; the data go on at least `HEADER_BYTES` behind it.
        described: It has a RowDescription.
        no_data: Or NoData instead.
        limits: Longest DataRow, RowDescription and CommandComplete.

    Returns:
        Where it begins and ends; None where something else stands there.
    """
    most_row, most_description, most_complete = limits
    if at >= end:
        return None
    if described:
        length = _length(data, at + 1)[0]
        has_rows = data[at] == server.ROW_DESCRIPTION and 4 <= length <= most_description
        if not has_rows and not (no_data and data[at : at + HEADER_BYTES] == encode.NO_DATA_MESSAGE):
            return None
        at += 1 + length
        if at >= end:
            return None
    while data[at] == server.DATA_ROW:
        length = _length(data, at + 1)[0]
        at += 1 + length
        if not 4 <= length <= most_row or at >= end:
            return None
    length = _length(data, at + 1)[0]
    if data[at] != server.COMMAND_COMPLETE or not 4 <= length <= most_complete or at + 1 + length > end:
        return None
    return at, at + 1 + length


group: Final = group_purely if compiled is None else compiled.group
complete: Final = complete_purely if compiled is None else compiled.complete
