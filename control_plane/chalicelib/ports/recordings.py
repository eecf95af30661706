"""Recordings: the Segments' files, create only, and their Seals.

offer part ─▶ uploaded once ─▶ part read, verified, sealed ─▶ published under the Seal's day
"""

from __future__ import annotations

from typing import Final, Protocol

import msgspec

from twokeys.messages import UploadRequest, UploadTicket

MAX_PART_BYTES: Final = 240 * 1024 * 1024
"""Longest file of a Segment taken. An Edge's Segments have at most 192 MB in all; both files of one fit on the disk
that a Lambda function has, 512 MB."""


class Sealed(msgspec.Struct, frozen=True, kw_only=True):
    """A Seal as it is kept: `seal` is `Seal.to_json`, `signature` base64."""

    source: str
    first_seq: int
    last_seq: int
    segment: str
    seal: dict[str, str | int]
    key_id: str
    signature: str
    sessions: list[str] = []


class Published(msgspec.Struct, frozen=True):
    """What a run did that publishes what was cut off: how many Seals' Segments are in place now, how many failed."""

    count: int
    failed: int = 0


class Recordings(Protocol):
    """The store."""

    def ticket(self, request: UploadRequest) -> UploadTicket:
        """Where to PUT a part or a Command, once, with exactly this hash and length; `exists` when it is there.

        Raises:
            Conflict: when something else is stored under that name.
            InvalidInput: when it is too long.
        """

    def put(self, kind: str, name: str, data: bytes) -> None:
        """Store a part of our own. Idempotent for the same bytes, else Conflict."""

    def part(self, kind: str, segment: str) -> memoryview | None:
        """A part's bytes, mapped where that can be."""

    def seal(self, segment: str) -> Sealed | None:
        """A Segment's Seal."""

    def last_seal(self, source: str) -> Sealed | None:
        """The newest Seal of a source."""

    def add_seal(self, sealed: Sealed) -> Sealed:
        """Keep a Seal, once, and publish its Segment. The kept one wins; publishing is done again when it was cut off.

        Raises:
            Conflict: when it does not follow the source's last one.
        """

    def segments_of(self, session: str) -> list[Sealed]:
        """The sealed Segments in which a session has Records, by source and sequence."""
