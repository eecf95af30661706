"""Ask the server about classified columns, in the session itself, before the client's next message."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from edge_agent.protocols.postgres import server_messages as server
from edge_agent.protocols.postgres.core import Core, Step, Want
from edge_agent.protocols.postgres.expect import Answer
from edge_agent.protocols.postgres.link import IN_TRANSACTION

MAX_ANSWER_BYTES: Final = 16 * 1024 * 1024
"""Longest answer; with a longer one nothing is known."""

_HEADER: Final = struct.Struct("!BI").unpack_from


def learned(core: Core) -> Step:
    """Ask, and note the answer."""
    answer = Answer(most=MAX_ANSWER_BYTES)
    question, count = core.hidden.question(core.masks.question()), 1
    if core.link.status == IN_TRANSACTION and core.may_be_written:
        question, count = core.hidden.guard_open + question + core.hidden.guard_close, 4
    core.link.send_hidden(question, count, answer)
    core.link.sync()
    yield Want.QUIET
    usable = answer.error is None and not answer.dropped
    core.masks.learn(_rows(bytes(answer.rows)) if usable else None)


def _rows(data: bytes) -> Iterator[tuple[bytes | None, ...]]:
    at = 0
    while at < len(data):
        end = at + 1 + _HEADER(data, at)[1]
        yield server.read_data_row(data, at, end)
        at = end
