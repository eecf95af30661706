"""Recordings as files, with their Seals in SQLite: the row decides, the files follow.

    FOLDER/incoming/lines/<segment>             uploaded, not sealed yet
    FOLDER/recordings/lines/dt=YYYY-MM-DD/<segment>.jsonl.gz
    FOLDER/recordings/bodies/dt=…/<segment>.bodies
    FOLDER/recordings/seals/dt=…/<segment>.json          last of all: where it is, the others are

`dt` is the Seal's day. A start that finds a Seal whose files are not all in place puts them there.
"""

from __future__ import annotations

import hashlib
import json
import mmap
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from twokeys.errors import Conflict, InvalidInput, Unavailable
from twokeys.messages import UploadRequest, UploadTicket

from ...ports.blobs import MAX_BLOB_BYTES
from ...ports.recordings import MAX_PART_BYTES, Sealed
from .blobs import FileBlobs
from .database import Database
from .files import create, link
from .tickets import Tickets

SUFFIXES: Final = {"lines": ".jsonl.gz", "bodies": ".bodies", "seals": ".json"}

_CHUNK: Final = 1024 * 1024


class FileRecordings:
    """Implements `ports.recordings.Recordings`."""

    def __init__(self, folder: Path, database: Database, blobs: FileBlobs, tickets: Tickets) -> None:
        """Args: folder: of the deployment; blobs: where Commands go; tickets: permissions to upload."""
        self._incoming = folder / "incoming"
        self._folder = folder / "recordings"
        self._database, self._blobs, self._tickets = database, blobs, tickets
        for kind in SUFFIXES:
            (self._folder / kind).mkdir(mode=0o700, parents=True, exist_ok=True)
        for sealed in self._unpublished():
            self._publish(sealed)

    def ticket(self, request: UploadRequest) -> UploadTicket:
        if request.length > (MAX_BLOB_BYTES if request.kind == "command" else MAX_PART_BYTES):
            raise InvalidInput("The upload is too long.", not_done="It was not taken.", code="too_large")
        path = self.find(request.kind, request.name)
        if path is None:
            return UploadTicket(url=self._tickets.url(request))
        if _file_sha256(path) != request.sha256:
            raise Conflict(f"Something else is stored as {request.kind} of {request.name}.",
                           not_done="Nothing was stored.", code="segment_conflict")  # fmt: skip
        return UploadTicket(exists=True)

    def put(self, kind: str, name: str, data: bytes) -> None:
        if not self.receive(kind, name, [data]):
            path = self.find(kind, name)
            if path is None or path.read_bytes() != data:
                raise Conflict(f"Something else is stored as {kind} of {name}.", not_done="Nothing was stored.",
                               code="segment_conflict")  # fmt: skip

    def receive(self, kind: str, name: str, pieces: Iterable[bytes]) -> bool:
        """Store what is uploaded; False when something is there already. The pieces may raise: nothing is kept then."""
        if self.find(kind, name) is not None:
            return False
        try:
            return create(self._blobs.path(name) if kind == "command" else self._incoming / kind / name, pieces)
        except OSError as error:
            raise Unavailable(
                f"An upload can't be stored ({error.strerror}).",
                not_done="It was not stored.",
                advice="Look after the control plane's disk.",
                code="store_failed",
            ) from error

    def find(self, kind: str, name: str) -> Path | None:
        """Where something lies that was uploaded; `name` must have been checked."""
        if kind == "command":
            path = self._blobs.path(name)
        else:
            sealed = self.seal(name)
            path = self._place(kind, sealed) if sealed is not None else self._incoming / kind / name
            if not path.exists():
                path = self._incoming / kind / name
        return path if path.exists() else None

    def part(self, kind: str, segment: str) -> memoryview | None:
        path = self.find(kind, segment)
        if path is None:
            return None
        with path.open("rb") as file:
            try:
                return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
            except ValueError:
                return memoryview(b"")

    def seal(self, segment: str) -> Sealed | None:
        return self._one("SELECT entry FROM seals WHERE segment = ?", segment)

    def last_seal(self, source: str) -> Sealed | None:
        return self._one("SELECT entry FROM seals WHERE source = ? ORDER BY first_seq DESC LIMIT 1", source)

    def add_seal(self, sealed: Sealed) -> Sealed:
        with self._database.write() as connection:
            row = connection.execute("SELECT entry FROM seals WHERE segment = ?", (sealed.segment,)).fetchone()
            if row is not None:
                kept = msgspec.json.decode(row[0], type=Sealed)
            else:
                (last,) = connection.execute(
                    "SELECT coalesce(max(last_seq), 0) FROM seals WHERE source = ?", (sealed.source,)
                ).fetchone()
                if sealed.first_seq != last + 1:
                    raise Conflict(f"The segment does not follow record {last}.", not_done="It was not sealed.",
                                   code="segment_conflict")  # fmt: skip
                connection.execute(
                    "INSERT INTO seals VALUES (?, ?, ?, ?, ?, 0)",
                    (sealed.segment, sealed.source, sealed.first_seq, sealed.last_seq, msgspec.json.encode(sealed)),
                )
                connection.executemany(
                    "INSERT OR IGNORE INTO session_segments VALUES (?, ?)",
                    [(session, sealed.segment) for session in sealed.sessions],
                )
                kept = sealed
        self._publish(kept)
        return kept

    def segments_of(self, session: str) -> list[Sealed]:
        rows = self._database.read().execute(
            "SELECT entry FROM session_segments JOIN seals USING (segment) WHERE session = ?"
            " ORDER BY source = 'control-plane', source, first_seq",
            (session,),
        )
        return [msgspec.json.decode(entry, type=Sealed) for (entry,) in rows]

    def _publish(self, sealed: Sealed) -> None:
        """Put a sealed Segment's files in place, its Seal last. Can be done again at any point."""
        kinds = ["lines", *(["bodies"] if sealed.seal.get("bodies_sha256") else [])]
        try:
            for kind in kinds:
                source = self._incoming / kind / sealed.segment
                if source.exists():
                    link(source, self._place(kind, sealed))
            data = {"seal": sealed.seal, "key_id": sealed.key_id, "signature": sealed.signature}
            create(self._place("seals", sealed), [json.dumps(data, sort_keys=True).encode()])
            for kind in ("lines", "bodies"):
                (self._incoming / kind / sealed.segment).unlink(missing_ok=True)
        except OSError as error:
            raise Unavailable(
                f"A segment can't be stored ({error.strerror}).",
                not_done="It is not published yet.",
                advice="Look after the control plane's disk.",
                code="store_failed",
            ) from error
        with self._database.write() as connection:
            connection.execute("UPDATE seals SET published = 1 WHERE segment = ?", (sealed.segment,))

    def _unpublished(self) -> list[Sealed]:
        rows = self._database.read().execute("SELECT entry FROM seals WHERE published = 0").fetchall()
        return [msgspec.json.decode(entry, type=Sealed) for (entry,) in rows]

    def _place(self, kind: str, sealed: Sealed) -> Path:
        day = str(sealed.seal["sealed_at"])[:10]
        return self._folder / kind / f"dt={day}" / f"{sealed.segment}{SUFFIXES[kind]}"

    def _one(self, statement: str, value: str) -> Sealed | None:
        row = self._database.read().execute(statement, (value,)).fetchone()
        return msgspec.json.decode(row[0], type=Sealed) if row else None


def _file_sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
