"""The journal: append-only, hash-chained, on local disk before anything is forwarded.

    append          written with write(2) when it returns: survives the death of this process
    append_durable  on disk when it returns: survives a power cut

Rules:
  1. A write that fails or is short ends the journal: every later append raises. No append, no forward.
  2. One process writes: the folder is locked.
  3. Heads that leave this machine are durable ones, so that after a power cut the chain can't contradict what it said.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from edge_agent.config import RecorderSection
from edge_agent.durable import FILE_MODE, FOLDER_MODE
from edge_agent.recorder.bodies import SessionKey
from edge_agent.recorder.chain import Chain, joined
from edge_agent.recorder.disk import DiskWatch, free_bytes
from edge_agent.recorder.header import Form, Line, ResultForm, TimeText, check, spell
from edge_agent.recorder.open_segment import OpenSegment
from edge_agent.recorder.scan import scan
from edge_agent.recorder.segments import LOCK_NAME, SegmentFiles, list_segments
from edge_agent.recorder.sync import GroupCommit, Round
from twokeys.digest import sha256
from twokeys.errors import InvalidInput, Refused, Unavailable
from twokeys.record import ChainHead, RecordType
from twokeys.signature import PublicKey


class Journal:
    """One Edge's journal. `open_journal` builds it; all methods are for one event loop's thread."""

    def __init__(
        self,
        folder: Path,
        source: str,
        settings: RecorderSection,
        now: Callable[[], int],
        lock: int,
        disk: DiskWatch,
        head: ChainHead,
    ) -> None:
        self._folder, self._source, self._settings, self._now, self._lock = folder, source, settings, now, lock
        self._disk = disk
        self._chain = Chain(hashlib.sha256, head.sequence, head.hash.encode())
        self._current: OpenSegment | None = None
        self._closing: list[OpenSegment] = []
        self._failure: Unavailable | None = None
        self._segment_bytes, self._max_body_bytes = settings.segment_bytes, settings.max_body_bytes
        self._time_text = TimeText()
        self._commit = GroupCommit(self._begin_sync, self._sync_failed, head, settings.sync_milliseconds / 1000)

    @property
    def head(self) -> ChainHead:
        """The chain's head, the last of it perhaps not on disk yet."""
        return ChainHead(self._chain.sequence, self._chain.hash.decode())

    @property
    def sequence(self) -> int:
        """Of the last Record."""
        return self._chain.sequence

    @property
    def durable_head(self) -> ChainHead:
        """The head up to which all is on disk: the one to tell others."""
        return self._commit.durable

    @property
    def failure(self) -> Unavailable | None:
        """Why the journal ended, if it did: sessions must end, and the process should."""
        return self._failure

    @property
    def low_disk(self) -> bool:
        """Whether so little disk is left that writes must be denied."""
        try:
            return self._disk.low
        except OSError:
            return True

    def append(
        self, header: Mapping[str, object], body: bytes | None = None, key: SessionKey | None = None
    ) -> ChainHead:
        """Append one Record; it survives the death of this process when this returns.

        Args:
            header: Columns of `records`, without those the journal writes itself.
            body: What is encrypted beside it, of at most `max_body_bytes`.
            key: The session's data key, for the body.

        Returns:
            The head after this Record.

        Raises:
            InvalidInput: for a header or body that can't be recorded; nothing was written.
            Unavailable: when the disk is exhausted, or the journal has failed.
        """
        if self._failure:
            raise self._failure
        check(header)
        sequence = self._chain.sequence + 1
        own: dict[str, object] = {"seq": sequence, "source": self._source, "time": self._time_text(self._now())}
        cipher = b""
        if body is not None:
            if key is None or len(body) > self._max_body_bytes:
                raise _too_long(self._max_body_bytes)
            cipher = key.encrypt(sequence, body)
            own["body_sha256"] = hashlib.sha256(cipher).hexdigest()
        self._put(spell(header, own), sequence, cipher, key)
        return self.head

    def form(self, header: Mapping[str, object]) -> Form:
        """A header for `append_line`, spelled once. Raises InvalidInput when it can't be recorded."""
        return Form(header, self._source)

    def append_line(self, line: Line, text: bytes, bind: bytes | None, key: SessionKey) -> None:
        """As `append`, for a header that comes again and again.

        Args:
            line: Its form.
            text: The body, or what of it comes before the Bind (see `chain.joined`).
            bind: A Bind message; None for none.
            key: The session's data key.

        Raises:
            InvalidInput, Unavailable: as `append`.
        """
        if key.saved and self._chain.append(
            line.pieces, key.cipher, key.place, key.counted(), text, bind, self._now(), time.monotonic()
        ):
            self._commit.touched()
            return
        if self._failure:
            raise self._failure
        body = joined(text, bind)
        if len(body) > self._max_body_bytes:
            raise _too_long(self._max_body_bytes)
        sequence = self._chain.sequence + 1
        cipher = key.encrypt(sequence, body)
        self._put(line.fill(sha256(cipher), sequence, self._time_text(self._now())), sequence, cipher, key)

    def result_form(self, header: Mapping[str, object]) -> ResultForm:
        """A header for `append_result`, spelled once. Raises InvalidInput when it can't be recorded."""
        return ResultForm(header, self._source)

    def append_result(self, form: ResultForm, forward_seq: int, rows: int, text_digest: str, xid: str) -> None:
        """As `append`, without a body, for what a statement did that comes again and again; see `ResultForm`."""
        if self._failure:
            raise self._failure
        sequence = self._chain.sequence + 1
        line = form.fill(forward_seq, rows, sequence, text_digest, self._time_text(self._now()), xid)
        self._put(line, sequence, b"", None)

    def _put(self, line: bytes, sequence: int, cipher: bytes, key: SessionKey | None) -> None:
        now = time.monotonic()
        self._shut_chain()
        try:
            segment = self._segment_for(len(line) + len(cipher), key, now)
            hashed = segment.write(sequence, cipher, self._chain.hash, line)
        except OSError as error:
            raise self._fail(error) from error
        self._chain.move(sequence, hashed)
        spare, until = self._disk.spare(now)
        left = min(spare, self._segment_bytes - segment.size)
        if left > 0:
            segment.open(self._chain, left, min(until, segment.due), self._max_body_bytes)
        self._commit.touched()

    def _shut_chain(self) -> None:
        """Before anything is written, or closed, in another way than by the chain itself."""
        if self._current is not None:
            self._disk.used(self._current.shut(self._chain))

    def _segment_for(self, size: int, key: SessionKey | None, now: float) -> OpenSegment:
        """The Segment that the next record goes to, of that many bytes at most. Raises Unavailable, OSError."""
        if not self._disk.room_for(size, now):
            raise _exhausted()
        segment = self._current
        if segment is None or segment.size >= self._segment_bytes or now >= segment.due:
            segment = self._next_segment(now)
        if key is not None and not key.saved:
            segment.write_key(key.key_line.line())
            key.saved = True
        return segment

    async def append_durable(
        self, header: Mapping[str, object], body: bytes | None = None, key: SessionKey | None = None
    ) -> ChainHead:
        """Append one Record; it survives a power cut when this returns. Raises as `append`."""
        head = self.append(header, body, key)
        await self._commit.wait(head.sequence)
        return head

    async def synced(self, sequence: int) -> None:
        """Return when the Record with this sequence is on disk. Raises Unavailable when it never will be."""
        await self._commit.wait(sequence)

    def close_segment(self, *, even_if_young: bool = True) -> None:
        """Close the open Segment, so that it can be uploaded once it is on disk; without records nothing happens."""
        current = self._current
        if current is None or (not even_if_young and time.monotonic() < current.due):
            return
        self._shut_chain()
        self._closing.append(current)
        self._current = None
        self._commit.touched()

    def closed_segments(self) -> list[SegmentFiles]:
        """The Segments that are closed and on disk, in order; see `segments` for how far each has come."""
        return [one for one in list_segments(self._folder, self._source) if one.parts & {"journal", "seal.json"}]

    async def close(self) -> None:
        """Bring everything to disk and give the folder back; the journal can't be used afterwards."""
        self.close_segment()
        try:
            if not self._failure:
                await self._commit.wait(self._chain.sequence)
        finally:
            await self._commit.stop()
            self._failure = self._failure or Unavailable(
                "The journal is closed.", not_done="Nothing was recorded.", code="journal_closed"
            )
            for segment in self._closing:
                segment.close()
            if self._lock >= 0:
                os.close(self._lock)
                self._lock = -1

    def _next_segment(self, now: float) -> OpenSegment:
        self.close_segment()
        files = SegmentFiles(self._folder, self._source, self._chain.sequence + 1)
        self._current = OpenSegment(files, self.head, now + self._settings.segment_seconds)
        return self._current

    def _begin_sync(self) -> Round:
        self._closing = [segment for segment in self._closing if not segment.finished]
        closing, current = tuple(self._closing), self._current

        def work() -> None:
            for segment in closing:
                segment.finish()
            if current is not None:
                current.sync()

        return self.head, work

    def _sync_failed(self, error: OSError) -> None:
        self._fail(error)

    def _fail(self, error: OSError) -> Unavailable:
        self._shut_chain()
        if self._failure is None:
            self._failure = Unavailable(
                f"The journal can't be written ({error.strerror or error}).",
                not_done="Nothing was recorded, and nothing was forwarded.",
                advice="Look after the disk of the edge's machine, then restart the edge.",
                code="journal_failed",
            )
            self._commit.fail(self._failure)
        return self._failure


def _too_long(most: int) -> InvalidInput:
    return InvalidInput(
        f"A record's body has no key, or is over the limit of {most} bytes.",
        not_done="It was not recorded, and nothing was forwarded.",
        code="body_too_long",
    )


def _exhausted() -> Unavailable:
    return Unavailable(
        "The journal's disk is exhausted.",
        not_done="Nothing was recorded, and nothing was forwarded.",
        advice="Free disk space on the edge's machine.",
        code="disk_exhausted",
    )


def open_journal(
    folder: Path,
    source: str,
    settings: RecorderSection,
    now: Callable[[], int],
    seal_keys: Mapping[str, PublicKey] | None = None,
    look: Callable[[Path], int] = free_bytes,
) -> Journal:
    """Verify and open an Edge's journal; make the folder when there is none.

    Args:
        folder: Where it lies; nothing else should.
        source: The Edge's id.
        settings: Sizes and ages.
        now: The estimate of the control plane's clock, in milliseconds since the epoch.
        seal_keys: Pinned keys, to verify local seals with.
        look: How free disk bytes are found.

    Raises:
        Refused: when another process writes it, or it does not verify (`scan.Damaged`).
        Unavailable: when the disk does not let it.
    """
    try:
        folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        folder.chmod(FOLDER_MODE)
        lock = _lock(folder)
    except OSError as error:
        raise Unavailable(
            f"The journal's folder can't be used ({error}).",
            not_done="The edge was not started.",
            code="journal_failed",
        ) from error
    try:
        found = scan(folder, source, seal_keys)
        disk = DiskWatch(folder, settings.low_disk_bytes, settings.exhausted_disk_bytes, look)
        journal = Journal(folder, source, settings, now, lock, disk, found.head)
        if found.cut:
            journal.append({"type": RecordType.GAP.value, "reason": f"Cut off at start: {'; '.join(found.cut)}."})
    except OSError as error:
        os.close(lock)
        raise Unavailable(
            f"The journal can't be read ({error}).", not_done="The edge was not started.", code="journal_failed"
        ) from error
    except BaseException:
        os.close(lock)
        raise
    return journal


def _lock(folder: Path) -> int:
    lock = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise Refused(
            f"Another process writes the journal in {folder}.",
            not_done="The edge was not started.",
            advice="Stop the other edge, or give this one its own state folder.",
            code="journal_locked",
        ) from None
    return lock
