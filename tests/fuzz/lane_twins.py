"""Two sessions that are given the same bytes in the same pieces: one shows them to the lane first, one has none.

What to do is written as bytes: `0 n` and n bytes: the client sends them; `1 n` and n bytes: the server does, whatever
it was asked; any other byte: that many bytes of what a model of the server has to answer arrive.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from edge_agent.protocols.postgres.events import Effect, Forwarded, Written
from edge_agent.protocols.postgres.session import Session
from tests.edge_agent.protocols.postgres.doors import READS_ONLY, TestDoor
from tests.edge_agent.protocols.postgres.script import GUARD, Server
from twokeys.errors import InvalidInput
from twokeys.policy import STARTER_TEXT

CLIENT: Final = 0
SERVER: Final = 1
LENGTH: Final = 255
"""Of one chunk, at most."""


class Twin:
    """One session, as the shell drives it, and the model's answers that have not arrived."""

    def __init__(self, policies: str, *, may_write: bool, lane: bool) -> None:
        self.session = Session(TestDoor(policies, may_write=may_write), guard=GUARD)
        self.lane = lane
        self.sent, self.told, self.due = b"", b"", b""
        self.records: list[Forwarded | Written] = []
        self.effects: list[type[Effect]] = []
        self.passed = 0
        """Chunks that went by the lane."""
        self._model: Server | None = Server()

    def client(self, chunk: bytes) -> None:
        """The client sends."""
        session = self.session
        if self.lane and (passage := session.lane.take(chunk)) is not None:
            lane = session.lane
            forwarded = Forwarded(passage.judgement, passage.protocol, passage.text, lane.bind)
            self.records.append(forwarded if lane.write is None else lane.write.written)
            self.passed += 1
            self._send(lane.sent)
            return
        session.client_bytes(chunk)
        self._settle()

    def server(self, chunk: bytes) -> None:
        """The server sends."""
        if self.lane and (shown := self.session.lane.answers(chunk)) is not None:
            self.told += shown
            return
        self.session.server_bytes(chunk)
        self._settle()

    def arrive(self, count: int) -> None:
        """So many bytes of what the model has to say arrive."""
        chunk, self.due = self.due[:count], self.due[count:]
        if chunk:
            self.server(chunk)

    def seen(self) -> tuple[object, ...]:
        """What the outside sees of it."""
        session = self.session
        return self.sent, self.told, self.records, self.effects, session.over, session.status, session.owed

    def _settle(self) -> None:
        session = self.session
        self.records += session.take_records()
        self.effects += map(type, session.take_effects())
        self._send(session.take_to_server())
        self.told += session.take_to_client()

    def _send(self, data: bytes) -> None:
        self.sent += data
        try:
            self.due += self._model.feed(data) if self._model is not None and data else b""
        except InvalidInput:
            # The server reads the values of a Bind, and we don't: this one hangs.
            self._model = None


def steps(data: bytes) -> Iterator[tuple[int, bytes, int]]:
    """What to do: who sends, what; or how many bytes of the model's arrive."""
    at = 0
    while at < len(data):
        who = data[at]
        if who > SERVER:
            yield who, b"", who
            at += 1
            continue
        size = data[at + 1] if at + 1 < len(data) else 0
        chunk = data[at + 2 : at + 2 + size]
        if chunk:
            yield who, chunk, 0
        at += 2 + size


def written(*parts: tuple[int, bytes] | int) -> bytes:
    """The bytes that say these steps."""
    return b"".join(bytes((part,)) if isinstance(part, int) else bytes((part[0], len(part[1]))) + part[1]
                    for part in parts)  # fmt: skip


def twins(kind: int) -> tuple[Twin, Twin]:
    """One with the lane, one without; by the low bits, who may write, and whether writes are held or denied."""
    policies, may_write = (STARTER_TEXT if kind & 1 else READS_ONLY), bool(kind & 2)
    with_lane, without = (Twin(policies, may_write=may_write, lane=lane) for lane in (True, False))
    return with_lane, without
