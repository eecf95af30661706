"""Handing closed Segments over, in order, for ever: keys, lines, bodies, then the Seal, verified.

    .journal ─▶ post keys ─▶ .lines.gz ─▶ upload lines, bodies ─▶ ask for the Seal ─▶ verify ─▶ .seal.json
                                                                                        └─▶ after keep_seconds: deleted

Every step can be done again: a crash or a lost answer at any point ends in the same Seal. Nothing is deleted that a
verified Seal does not cover.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol

import msgspec

from edge_agent.config import RecorderSection
from edge_agent.durable import write_whole
from edge_agent.recorder.bodies import MAX_KEY_LINE_BYTES, KeyLine
from edge_agent.recorder.journal import Journal
from edge_agent.recorder.packing import file_sha256, pack
from edge_agent.recorder.sealed import open_seal, read_seal
from edge_agent.recorder.segments import SegmentFiles
from twokeys.errors import Conflict, InvalidInput, Refused, TwokeysError, Unavailable
from twokeys.messages import SealReply, SealRequest, SessionKey, UploadRequest, UploadTicket, encode
from twokeys.signature import PublicKey

FIRST_PAUSE_SECONDS: Final = 0.5
SHORTEST_TICK_SECONDS: Final = 0.25
LONGEST_TICK_SECONDS: Final = 5.0
"""How often the uploader looks whether a Segment is due."""

MAX_KEYS_BYTES: Final = 256 * 1024 * 1024
"""Longest `keys` file; one line a session, so this is some 400,000 sessions in one Segment."""

_PARTS_AFTER_SEAL: Final = ("journal", "lines.gz", "bodies", "keys.sent", "keys")


class SealsSegments(Protocol):
    """What the uploader needs of the client; see `edge_agent.control.client`."""

    async def session_key(self, session: str, key: SessionKey) -> None:
        """Hand over a wrapped key."""

    async def upload(self, request: UploadRequest) -> UploadTicket:
        """Ask where to store an object."""

    async def seal(self, segment: str, request: SealRequest) -> SealReply:
        """Ask for the Seal."""


class PutsFiles(Protocol):
    """Uploads; see `edge_agent.net.http`."""

    async def put_file(self, url: str, headers: Mapping[str, str], path: Path, seconds: float) -> bool:
        """Upload once; False when something is there already."""


class Uploader:
    """Hands over one journal's Segments. `run` is one task for the Edge's life."""

    def __init__(
        self,
        journal: Journal,
        client: SealsSegments,
        uploads: PutsFiles,
        keys: Callable[[], Mapping[str, PublicKey]],
        settings: RecorderSection,
        upload_seconds: float,
        now: Callable[[], int],
        alarm: Callable[[str], None] = lambda text: None,
    ) -> None:
        """Build.

        Args:
            journal: Whose Segments.
            client: The control plane.
            uploads: Where bytes go.
            keys: The pinned keys, asked for at each Seal.
            settings: Ages and pauses.
            upload_seconds: Deadline of one upload.
            now: The estimate of the control plane's clock, in milliseconds.
            alarm: Told, once each, what will not pass by itself: a forged Seal, a refusal.
        """
        self._journal, self._client, self._uploads = journal, client, uploads
        self._keys, self._settings, self._upload_seconds = keys, settings, upload_seconds
        self._now, self._alarm = now, alarm
        self.trouble = ""
        """Why the last try failed, in words; empty when it didn't."""
        self._alarmed = ""

    async def run(self) -> None:
        """Close Segments that are due, hand over, delete; for ever."""
        pause = FIRST_PAUSE_SECONDS
        tick = min(max(self._settings.segment_seconds / 4, SHORTEST_TICK_SECONDS), LONGEST_TICK_SECONDS)
        while True:
            try:
                self._journal.close_segment(even_if_young=False)
                await self.hand_over()
                self.trouble, self._alarmed, pause = "", "", FIRST_PAUSE_SECONDS
                await asyncio.sleep(tick)
            except (TwokeysError, OSError) as error:
                self._note(error)
                await asyncio.sleep(pause * random.uniform(0.7, 1.3))  # noqa: S311 - jitter, no secret
                pause = min(pause * 2, self._settings.retry_seconds)

    async def hand_over(self) -> None:
        """Hand over every closed Segment, oldest first, and delete what was kept long enough.

        Raises:
            TwokeysError: for the first that could not be handed over; those after it wait, so that order is kept.
            OSError: when the disk does not read or write.
        """
        segments = await asyncio.to_thread(self._journal.closed_segments)
        for segment in segments:
            if "seal.json" not in segment.parts:
                await self._hand_over(segment)
        await asyncio.to_thread(self._delete_old, segments)

    async def _hand_over(self, segment: SegmentFiles) -> None:
        if "keys" in segment.parts:
            await self._post_keys(segment)
        request = await asyncio.to_thread(pack, segment)
        await self._store("lines", segment, "lines.gz")
        if request.bodies_sha256:
            await self._store("bodies", segment, "bodies")
        reply = await self._client.seal(segment.id, request)
        self._check(segment, request, reply)
        await asyncio.to_thread(write_whole, segment.path("seal.json"), encode(reply))
        segment.path("journal").unlink(missing_ok=True)

    async def _post_keys(self, segment: SegmentFiles) -> None:
        path = segment.path("keys")
        for line in await asyncio.to_thread(_key_lines, path):
            await self._client.session_key(
                line.session, SessionKey(wrapping_key_id=line.wrapping_key_id, wrapped=line.wrapped)
            )
        path.rename(segment.path("keys.sent"))

    async def _store(self, kind: str, segment: SegmentFiles, part: str) -> None:
        path = segment.path(part)
        digest = await asyncio.to_thread(file_sha256, path)
        ask = UploadRequest(kind=kind, name=segment.id, sha256=digest, length=path.stat().st_size)
        ticket = await self._client.upload(ask)
        if ticket.exists or await self._uploads.put_file(ticket.url, ticket.headers, path, self._upload_seconds):
            return
        if not (await self._client.upload(ask)).exists:
            raise Conflict(
                f"Something else is stored as {kind} of segment {segment.id}.",
                not_done="The segment was not handed over.",
                code="segment_conflict",
                advice="Another edge may write under this edge's id.",
            )

    def _check(self, segment: SegmentFiles, request: SealRequest, reply: SealReply) -> None:
        """The Seal must be signed by a pinned key, and say exactly what was asked."""
        seal = open_seal(reply, self._keys()).seal
        said = SealRequest(
            first_seq=seal.first_seq,
            last_seq=seal.last_seq,
            previous_hash=seal.previous_hash,
            last_hash=seal.last_hash,
            lines_sha256=seal.lines_sha256,
            bodies_sha256=seal.bodies_sha256,
        )
        if (seal.source, seal.segment, said) != (segment.source, segment.id, request):
            raise Refused(
                f"The seal of segment {segment.id} says something else than the segment.",
                not_done="The segment stays here.",
                code="seal_mismatch",
            )

    def _delete_old(self, segments: list[SegmentFiles]) -> None:
        """Delete what a Seal covers and was kept long enough; of the newest Seal its file stays: the chain goes on
        from it.
        """
        sealed = [one for one in segments if "seal.json" in one.parts]
        for at, segment in enumerate(sealed):
            path = segment.path("seal.json")
            sealed_at = datetime.fromisoformat(read_seal(path, None).seal.sealed_at).timestamp()
            if self._now() / 1000 - sealed_at < self._settings.keep_seconds:
                return
            for part in _PARTS_AFTER_SEAL:
                if part in segment.parts:
                    segment.path(part).unlink(missing_ok=True)
            if at < len(sealed) - 1:
                path.unlink()

    def _note(self, error: TwokeysError | OSError) -> None:
        self.trouble = str(error)
        if not isinstance(error, Unavailable) and self.trouble != self._alarmed:
            self._alarmed = self.trouble
            self._alarm(self.trouble)


def _key_lines(path: Path) -> list[KeyLine]:
    data = path.read_bytes()
    if len(data) > MAX_KEYS_BYTES:
        raise InvalidInput(f"{path.name} is over {MAX_KEYS_BYTES} bytes.", not_done="It was not read.")
    try:
        return [msgspec.json.decode(line, type=KeyLine) for line in data.splitlines() if len(line) < MAX_KEY_LINE_BYTES]
    except msgspec.DecodeError as error:
        raise InvalidInput(
            f"{path.name} holds a malformed key.", not_done="The segment was not handed over.", code="journal_damaged"
        ) from error
