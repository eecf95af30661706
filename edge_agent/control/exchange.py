"""One HTTP exchange as values, and how answers become errors. No socket here: `edge_agent.net.http` has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from twokeys.errors import Conflict, InvalidInput, Refused, TwokeysError, Unavailable
from twokeys.messages import ErrorBody, decode

MAX_ANSWER_BYTES: Final = 1024 * 1024
"""Longest answer read, Bundles aside."""

MAX_ERROR_BYTES: Final = 64 * 1024
"""Longest answer that is read as an error's body."""


@dataclass(frozen=True, slots=True)
class HttpCall:
    """What is sent.

    Args:
        method: Upper case.
        path: Path and query below the control plane's address, exactly as sent and signed.
        headers: By name.
        body: The bytes.
        seconds: Deadline of the whole exchange.
        limit: Longest answer read.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    seconds: float
    limit: int = MAX_ANSWER_BYTES


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What came back; header names in lower case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


class Transport(Protocol):
    """The socket's side."""

    async def exchange(self, call: HttpCall) -> HttpAnswer:
        """Make one call. Raises Unavailable for anything but a whole answer in time and within the limit."""


def raise_for(answer: HttpAnswer) -> None:
    """Raise what an answer says: nothing below 400, and for 304.

    Raises:
        Conflict: for 409.
        Refused: for other 4xx: understood, and no.
        Unavailable: for 429, 5xx and anything that is no answer of ours.
    """
    if 200 <= answer.status < 300 or answer.status == 304:
        return
    raise _error(answer.status, answer.body)


def _error(status: int, body: bytes) -> TwokeysError:
    try:
        said = decode(ErrorBody, body, MAX_ERROR_BYTES)
    except InvalidInput:
        said = ErrorBody(
            code="control_plane",
            happened=f"The control plane answered {status}.",
            not_done="Nothing was done as far as the edge knows.",
        )
    kind: type[TwokeysError] = Unavailable
    if status == 409:
        kind = Conflict
    elif 400 <= status < 500 and status not in (408, 425, 429):
        kind = Refused
    return kind(said.happened, not_done=said.not_done, advice=said.advice, code=said.code)
