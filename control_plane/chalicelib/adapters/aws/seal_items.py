"""Seals in the table: each kept once, each behind its source's last one, and where its objects lie (docs/adr/0010)."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec

from twokeys.errors import Conflict, InvalidInput, Unavailable

from ...ports.recordings import Sealed
from ...ports.records import SOURCE
from .table import MAX_ACTIONS, ConditionFailed, Item, Key, Put, Table, Update

MAX_TRIES: Final = 8
"""How often a Seal is tried that meets another of the same source."""

MAX_ENTRY_BYTES: Final = 16 * 1024 * 1024
"""Longest Seal read back, unpacked."""

MAX_STORED_BYTES: Final = 380_000
"""Longest Seal as it is kept: an item has 400 KB at most. Ten thousand sessions of our own Edges' take 150 KB."""

UNPUBLISHED: Final = "UNPUBLISHED"
"""Partition of the index with the Seals whose objects are not all in place."""

_BESIDES: Final = 2
"""Actions of a Seal's transaction besides its sessions: the Seal and the source's last."""


class PartSeen(msgspec.Struct, frozen=True):
    """A part as it lay there when it was verified."""

    sha256: str
    length: int


class SealItem(msgspec.Struct, frozen=True):
    """A Seal, the parts that it was made of, and the VersionIds of its published objects, empty until then."""

    sealed: Sealed
    parts: dict[str, PartSeen]
    versions: dict[str, str] = {}

    @property
    def published(self) -> bool:
        """Whether every object is in place."""
        return bool(self.versions)


class SealItems:
    """Reads and writes them."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def find(self, segment: str) -> SealItem | None:
        """By Segment."""
        item = self._table.get(Key(f"SEAL#{segment}", "SEAL"))
        return _read(item) if item is not None else None

    def last(self, source: str) -> SealItem | None:
        """The newest of a source."""
        item = self._table.get(_last(source))
        return self.find(str(item["segment"])) if item is not None else None

    def add(self, sealed: Sealed, parts: Mapping[str, PartSeen]) -> SealItem:
        """Keep a Seal, once; the one that is kept already wins.

        Raises:
            Conflict: when it does not follow the source's last one.
            InvalidInput: when its sessions' ids are too long to be kept.
            Unavailable: when too many come at once, or DynamoDB does not answer.
        """
        new = SealItem(sealed, dict(parts))
        put = _put(new)
        sessions = self._sessions(sealed)
        # What does not fit goes first: an entry that names no Seal is passed over by whoever reads it.
        room = MAX_ACTIONS - _BESIDES
        for start in range(room, len(sessions), MAX_ACTIONS):
            self._table.write(*sessions[start : start + MAX_ACTIONS])
        for _ in range(MAX_TRIES):
            if (kept := self.find(sealed.segment)) is not None:
                return kept
            try:
                self._table.write(put, self._follow(sealed), *sessions[:room])
                return new
            except ConditionFailed:
                # Which of the two it was is read, not guessed.
                continue
        raise Unavailable("Too many seals of one source at once.", not_done="It was not sealed.",
                          advice="Try again shortly.", code="busy")  # fmt: skip

    def published(self, item: SealItem, versions: Mapping[str, str]) -> SealItem:
        """Note where its objects lie. Idempotent: the first note stays."""
        key = Key(f"SEAL#{item.sealed.segment}", "SEAL")
        try:
            self._table.write(
                Update(key, "SET versions = :v REMOVE list_pk, list_sk",
                       "attribute_exists(pk) AND attribute_not_exists(versions)", {":v": dict(versions)})
            )  # fmt: skip
        except ConditionFailed:
            kept = self.find(item.sealed.segment)
            if kept is None or not kept.published:
                raise Unavailable("A seal's item is gone.", not_done="It was not noted as published.",
                                  advice="The table was changed from outside.",
                                  code="store_damaged") from None  # fmt: skip
            return kept
        return msgspec.structs.replace(item, versions=dict(versions))

    def unpublished(self, most: int) -> Iterator[SealItem]:
        """Seals whose objects are not all in place, as far as the index knows."""
        for listed in self._table.query(UNPUBLISHED, most=most, index=True):
            found = self.find(str(listed["segment"]))
            if found is not None and not found.published:
                yield found

    def of_session(self, session: str) -> list[Sealed]:
        """By source, our own last, and sequence."""
        entries = self._table.query(f"SESSION#{session}", "SEGMENT#")
        found = [self.find(str(entry["sk"]).removeprefix("SEGMENT#")) for entry in entries]
        # A Seal that was beaten to its place may have left entries: only what the kept one says counts.
        sealed = [one.sealed for one in found if one is not None and session in one.sealed.sessions]
        return sorted(sealed, key=lambda one: (one.source == SOURCE, one.source, one.first_seq))

    def _sessions(self, sealed: Sealed) -> Sequence[Put]:
        sk = f"SEGMENT#{sealed.segment}"
        return [Put({"pk": f"SESSION#{session}", "sk": sk}) for session in sorted(set(sealed.sessions))]

    def _follow(self, sealed: Sealed) -> Put:
        """Move the source's last Seal on, from the very one that this one follows."""
        item = self._table.get(_last(sealed.source))
        before = int(item["last_seq"]) if item is not None else 0
        if sealed.first_seq != before + 1 and self.find(sealed.segment) is not None:
            raise ConditionFailed(frozenset({0}))
        check_follows(sealed, before)
        key = _last(sealed.source)
        new: Item = {"pk": key.pk, "sk": key.sk, "segment": sealed.segment, "last_seq": sealed.last_seq}
        if item is None:
            return Put(new, "attribute_not_exists(pk)")
        return Put(new, "last_seq = :before", {":before": before})


def check_follows(sealed: Sealed, last_seq: int) -> None:
    """Raise Conflict unless a Seal begins behind the last Record that is sealed."""
    if sealed.first_seq != last_seq + 1:
        raise Conflict(f"The segment does not follow record {last_seq}.", not_done="It was not sealed.",
                       code="segment_conflict")  # fmt: skip


def _last(source: str) -> Key:
    return Key(f"SOURCE#{source}", "LAST")


def _put(item: SealItem) -> Put:
    # Compressed: ten thousand sessions are longer than an item may be.
    entry = zlib.compress(msgspec.json.encode([item.sealed, item.parts]))
    segment = item.sealed.segment
    if len(entry) > MAX_STORED_BYTES:
        raise InvalidInput("The ids of its sessions are too long together.", not_done="It was not sealed.",
                           code="too_large")  # fmt: skip
    return Put(
        {"pk": f"SEAL#{segment}", "sk": "SEAL", "segment": segment, "entry": entry, "list_pk": UNPUBLISHED,
         "list_sk": segment},
        "attribute_not_exists(pk)",
    )  # fmt: skip


def _read(item: Item) -> SealItem:
    unpacker = zlib.decompressobj()
    try:
        data = unpacker.decompress(item["entry"], MAX_ENTRY_BYTES)
        sealed, parts = msgspec.json.decode(data, type=tuple[Sealed, dict[str, PartSeen]])
    except (zlib.error, msgspec.DecodeError) as error:
        raise Unavailable("A seal's item can't be read.", not_done="It was not used.",
                          advice="The table was changed from outside.", code="store_damaged") from error  # fmt: skip
    return SealItem(sealed, parts, dict(item.get("versions", {})))
