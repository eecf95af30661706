"""Recordings in S3, with their Seals in DynamoDB: the item decides, the objects follow.

    incoming     lines/<segment>   bodies/<segment>       uploaded, not sealed yet; S3 expires them
    recordings   lines/dt=YYYY-MM-DD/<segment>.jsonl.gz
                 bodies/dt=…/<segment>.bodies
                 seals/dt=…/<segment>.json                last of all: where it is, the others are
                 keys.json                                public keys, for auditors who pinned none

`dt` is the Seal's day. Every object is created once; how long Object Lock keeps it is the bucket's default. What
is published is compared with what was verified, whoever put it there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Final

from twokeys.errors import Conflict, InvalidInput, TwokeysError, Unavailable
from twokeys.messages import UploadRequest, UploadTicket
from twokeys.signature import PublicKey

from ...ports.blobs import MAX_BLOB_BYTES
from ...ports.recordings import MAX_PART_BYTES, Published, Sealed
from .blobs import S3Blobs, blob_key
from .clients import Clients
from .objects import Bucket, Found
from .seal_items import PartSeen, SealItem, SealItems, check_follows
from .settings import Settings
from .table import Table

SUFFIXES: Final = {"lines": ".jsonl.gz", "bodies": ".bodies", "seals": ".json"}

TICKET_SECONDS: Final = 15 * 60
"""How long an address for an upload holds, at most: it ends with the credentials that signed it."""

KEYS: Final = "keys.json"

MAX_UNPUBLISHED: Final = 100
"""Most Seals that one call of `publish_unfinished` looks at."""


class S3Recordings:
    """Implements `ports.recordings.Recordings`."""

    def __init__(self, clients: Clients, settings: Settings, table: Table, blobs: S3Blobs) -> None:
        """Args: clients: of AWS; settings: names both buckets; table: for Seals; blobs: where Commands go."""
        self._incoming = Bucket(clients, settings.incoming_bucket)
        self._recordings = Bucket(clients, settings.recordings_bucket)
        self._seals, self._blobs = SealItems(table), blobs

    def ticket(self, request: UploadRequest) -> UploadTicket:
        if request.length > (MAX_BLOB_BYTES if request.kind == "command" else MAX_PART_BYTES):
            raise InvalidInput("The upload is too long.", not_done="It was not taken.", code="too_large")
        if request.kind == "command":
            key, found = blob_key(request.name), self._incoming.find(blob_key(request.name))
            if request.name != request.sha256:
                raise InvalidInput("A command is named by its own hash.", not_done="It was not taken.",
                                   code="bad_name")  # fmt: skip
        else:
            key, item = _incoming_key(request.kind, request.name), self._seals.find(request.name)
            seen = item.parts.get(request.kind) if item is not None else None
            if item is not None and (seen is None or seen.sha256 != request.sha256):
                raise _other(request.kind, request.name)
            found = self._part(request.kind, request.name, item)
        if found is None:
            url, headers = self._incoming.upload_address(key, request.sha256, request.length, TICKET_SECONDS)
            return UploadTicket(url=url, headers=headers)
        if (found.sha256, found.length) != (request.sha256, request.length):
            raise _other(request.kind, request.name)
        return UploadTicket(exists=True)

    def put(self, kind: str, name: str, data: bytes) -> None:
        digest, item = hashlib.sha256(data).hexdigest(), self._seals.find(name)
        found = self._part(kind, name, item)
        if found is None:
            if self._incoming.create(_incoming_key(kind, name), data):
                return
            found = self._part(kind, name, item)
        if found is None or (found.sha256, found.length) != (digest, len(data)):
            raise _other(kind, name)

    def part(self, kind: str, segment: str) -> memoryview | None:
        item = self._seals.find(segment)
        if item is not None and item.published:
            if kind not in item.parts:
                return None
            return self._recordings.mapped(_place(kind, item.sealed), item.versions.get(kind, ""))
        return self._incoming.mapped(_incoming_key(kind, segment))

    def seal(self, segment: str) -> Sealed | None:
        item = self._seals.find(segment)
        return item.sealed if item is not None else None

    def last_seal(self, source: str) -> Sealed | None:
        item = self._seals.last(source)
        return item.sealed if item is not None else None

    def add_seal(self, sealed: Sealed) -> Sealed:
        item = self._seals.find(sealed.segment)
        if item is None:
            self._finish_last(sealed)
            item = self._seals.add(sealed, self._seen(sealed))
        self._publish(item)
        return item.sealed

    def segments_of(self, session: str) -> list[Sealed]:
        return self._seals.of_session(session)

    def publish_unfinished(self, is_over: Callable[[], bool] = lambda: False) -> Published:
        """Publish what was cut off, whoever it came from. For the reconciler.

        Args:
            is_over: Asked before each Seal: whether this run's time is over.

        Raises:
            Unavailable: when they can't be listed.
        """
        published = failed = 0
        for item in list(self._seals.unpublished(MAX_UNPUBLISHED)):
            if is_over():
                break
            try:
                published += self._publish(item).published
            except TwokeysError:
                # One whose parts are gone must not keep the others from auditors.
                failed += 1
        return Published(published, failed)

    def publish_keys(self, keys: Sequence[PublicKey]) -> bool:
        """Put the list of public keys beside the recordings, once; False when one is there.

        It is locked as everything there, so later keys are told another way: auditors pin keys themselves.
        """
        data = json.dumps({"keys": [dict(key.to_json()) for key in keys]}, indent=1).encode()
        return self._recordings.find(KEYS) is None and self._recordings.create(KEYS, data)

    def _part(self, kind: str, name: str, item: SealItem | None) -> Found | None:
        """A part, wherever it is by now; when it is sealed, only the one that was verified."""
        if item is not None:
            place = self._recordings.find(_place(kind, item.sealed), item.versions.get(kind, ""))
            if place is not None:
                return place
        return self._incoming.find(_incoming_key(kind, name))

    def _finish_last(self, sealed: Sealed) -> None:
        """Publish what this one follows, when that was cut off. Raises Conflict when it follows something else."""
        last = self._seals.last(sealed.source)
        check_follows(sealed, last.sealed.last_seq if last is not None else 0)
        if last is not None:
            self._publish(last)

    def _seen(self, sealed: Sealed) -> dict[str, PartSeen]:
        seen = {}
        for kind in _kinds(sealed):
            found = self._incoming.find(_incoming_key(kind, sealed.segment))
            if found is None or not found.sha256:
                # Sealed without its parts it could never be published.
                raise InvalidInput(f"The {kind} of {sealed.segment} were not uploaded.", not_done="It was not sealed.",
                                   code=f"no_{kind}")  # fmt: skip
            seen[kind] = PartSeen(found.sha256, found.length)
        return seen

    def _publish(self, item: SealItem) -> SealItem:
        """Put a sealed Segment's objects in place, its Seal last. Can be done again at any point."""
        if item.published:
            return item
        sealed = item.sealed
        versions = {kind: self._copied(kind, sealed, seen) for kind, seen in item.parts.items()}
        data = {"seal": sealed.seal, "key_id": sealed.key_id, "signature": sealed.signature}
        versions["seals"] = self._created(_place("seals", sealed), json.dumps(data, sort_keys=True).encode())
        return self._seals.published(item, versions)

    def _copied(self, kind: str, sealed: Sealed, seen: PartSeen) -> str:
        """Copy one part, unless it is there; return its version."""
        to, key = _place(kind, sealed), _incoming_key(kind, sealed.segment)
        there = self._recordings.find(to)
        if there is None:
            found = self._incoming.find(key)
            if found is None:
                raise Unavailable(f"The {kind} of {sealed.segment} are not there any more.",
                                  not_done="The segment is not published yet.", advice="Upload them again.",
                                  code="part_missing")  # fmt: skip
            if (found.sha256, found.length) != (seen.sha256, seen.length):
                raise _other(kind, sealed.segment)
            self._recordings.copy_from(self._incoming, key, found, to)
            there = self._recordings.find(to)
        return _same(to, there, seen)

    def _created(self, to: str, data: bytes) -> str:
        """Store our own object, unless it is there; return its version."""
        seen = PartSeen(hashlib.sha256(data).hexdigest(), len(data))
        there = self._recordings.find(to)
        if there is None:
            self._recordings.create(to, data)
            there = self._recordings.find(to)
        return _same(to, there, seen)


def _same(place: str, there: Found | None, seen: PartSeen) -> str:
    if there is None:
        raise Unavailable("A segment was not taken by S3.", not_done="It is not published yet.",
                          advice="Try again.", code="busy")  # fmt: skip
    if (there.sha256, there.length) != (seen.sha256, seen.length):
        raise Unavailable(f"{place} is not the object that was sealed.", not_done="It was not noted as published.",
                          advice="The store was changed from outside; earlier versions are kept.",
                          code="store_damaged")  # fmt: skip
    return there.version or "null"


def _incoming_key(kind: str, name: str) -> str:
    if kind not in ("lines", "bodies") or "/" in name or not name:
        raise InvalidInput("That names no part of a segment.", not_done="Nothing was stored or read.", code="bad_name")
    return f"{kind}/{name}"


def _kinds(sealed: Sealed) -> Sequence[str]:
    return ["lines", *(["bodies"] if sealed.seal.get("bodies_sha256") else [])]


def _place(kind: str, sealed: Sealed) -> str:
    day = str(sealed.seal["sealed_at"])[:10]
    return f"{kind}/dt={day}/{sealed.segment}{SUFFIXES[kind]}"


def _other(kind: str, name: str) -> Conflict:
    return Conflict(f"Something else is stored as {kind} of {name}.", not_done="Nothing was stored.",
                    code="segment_conflict")  # fmt: skip
