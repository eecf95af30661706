"""The control plane's own chain on DynamoDB: noted with each change, chained when it is read to be sealed.

    change + Note ──one transaction──▶ NOTES#<shard> ──after(): in order of time──▶ CHAIN, numbered and hashed

Chaining in the transaction itself would make the chain's head the one item that every change in the deployment
waits for. A Note is as durable and as bound to its change; it gets its number a few seconds later, from one writer.
"""

from __future__ import annotations

import heapq
import json
import secrets
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

from twokeys.digest import Json, canonical
from twokeys.errors import InvalidInput, Unavailable
from twokeys.record import MAX_LINE_BYTES, ChainHead, extend, genesis, line

from ...ports.clock import Clock
from ...ports.records import SOURCE, Note, Run
from .table import MAX_ACTIONS, Action, ConditionFailed, Delete, Item, Key, Put, Table

SHARDS: Final = 8
"""Partitions that Notes are spread over."""

MAX_CHAINED: Final = (MAX_ACTIONS - 1) // 2
"""Most Notes chained by one transaction: the head, and for each Note its line and its removal."""

MAX_CHAINED_BYTES: Final = 1_500_000
"""Most bytes of Notes chained by one transaction: it has at most 4 MB, and a Note may count as line and as removed."""

MAX_LOST: Final = 16
"""How often in a row a transaction may lose against another exporter's."""

_CHAIN: Final = "CHAIN"
_HEAD: Final = Key(_CHAIN, "HEAD")
_LAST_LINE: Final = "LINE#~"

_NUMBER_BYTES: Final = 32
"""Room for the sequence number that a line gets later."""


class DynamoRecords:
    """Implements `ports.records.Records`.

    A Note that becomes visible late, with an older time than what is chained, is chained next: a Note leaves its shard
    in the transaction that numbers it, and in no other way. The head's old value is that transaction's condition, so
    of two exporters one numbers, and the other reads again.
    """

    def __init__(self, table: Table, clock: Clock) -> None:
        self._table, self._clock = table, clock

    def append(self, note: Note) -> None:
        self._table.write(outbox(note, self._clock.now()))

    def head(self) -> ChainHead:
        return _as_head(self._table.get(_HEAD))

    def after(self, sequence: int, most: int) -> Run:
        self._chain(sequence + most)
        items = list(self._table.query(_CHAIN, between=(_line_sort(sequence + 1), _LAST_LINE), most=most))
        return Run(ChainHead(sequence, items[0]["before"] if items else ""), tuple(item["line"] for item in items))

    def forget(self, up_to: int) -> None:
        first = next(self._table.query(_CHAIN, "LINE#", most=1), None)
        if first is None:
            return
        # Lines are removed from the first on, so there is none missing in between: the others need not be read.
        last = min(up_to, self.head().sequence)
        gone: list[Action] = [
            Delete(Key(_CHAIN, _line_sort(number))) for number in range(_number(first["sk"]), last + 1)
        ]
        for start in range(0, len(gone), MAX_ACTIONS):
            self._table.write(*gone[start : start + MAX_ACTIONS])

    def _chain(self, up_to: int) -> None:
        """Number Notes until the chain has come to `up_to`, or there is none left.

        Raises:
            Unavailable: ``busy`` when other exporters were first `MAX_LOST` times in a row.
        """
        for _ in range(MAX_LOST):
            head = self.head()
            try:
                for batch in self._batches(up_to - head.sequence):
                    head = self._chained(head, batch)
                return
            except ConditionFailed:
                continue
        raise Unavailable("Others export the control plane's records at the same time.",
                          not_done="Some were not chained; nothing is lost.", advice="Export from one place.",
                          code="busy")  # fmt: skip

    def _chained(self, head: ChainHead, notes: Sequence[Item]) -> ChainHead:
        """Give numbers to these Notes after this head, in one transaction."""
        after, actions = head, list[Action]()
        for note in notes:
            data = line(after.sequence + 1, json.loads(note["note"]))
            sort = _line_sort(after.sequence + 1)
            actions.append(
                Put({"pk": _CHAIN, "sk": sort, "before": after.hash, "line": data}, "attribute_not_exists(pk)")
            )
            actions.append(Delete(Key(note["pk"], note["sk"]), "attribute_exists(pk)"))
            after = extend(after, data)
        self._table.write(_moved_head(head, after), *actions)
        return after

    def _batches(self, most: int) -> Iterator[list[Item]]:
        """The Notes of all shards in order of their time, at most `most`, in pieces that fit into a transaction."""
        shards = [self._table.query(f"NOTES#{shard}") for shard in range(SHARDS)] if most > 0 else []
        batch, size = list[Item](), 0
        for number, note in enumerate(heapq.merge(*shards, key=_time_of), start=1):
            length = len(note["note"]) + _NUMBER_BYTES
            if len(batch) == MAX_CHAINED or (batch and size + length > MAX_CHAINED_BYTES):
                yield batch
                batch, size = [], 0
            batch.append(note)
            size += length
            if number == most:
                break
        if batch:
            yield batch


def outbox(note: Note, now: int) -> Put:
    """The action that keeps a Note in the transaction of its change; `now` in milliseconds, the table's clock.

    Raises:
        InvalidInput: when its line would be too long; the caller shortens (`services.notes`), so this is a fault.
    """
    header: dict[str, Json] = {**note, "source": SOURCE, "time": iso(now)}
    data = canonical(header)
    if len(data) + _NUMBER_BYTES > MAX_LINE_BYTES:
        raise InvalidInput("A record's header is too long.", not_done="Nothing was changed.", code="bad_header")
    # Of changes in one millisecond that follow each other the first comes first, as far as hosts' clocks agree.
    unique = f"{time.time_ns():020d}-{secrets.token_hex(10)}"
    shard = secrets.randbelow(SHARDS)
    return Put({"pk": f"NOTES#{shard}", "sk": f"{now:015d}#{unique}", "note": data}, "attribute_not_exists(pk)")


def iso(milliseconds: int) -> str:
    """ISO 8601 in UTC with milliseconds and ``Z``."""
    text = datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds")
    return text.removesuffix("+00:00") + "Z"


def _moved_head(before: ChainHead, after: ChainHead) -> Put:
    item = {"pk": _HEAD.pk, "sk": _HEAD.sk, "seq": after.sequence, "hash": after.hash}
    if before.sequence == 0:
        return Put(item, "attribute_not_exists(pk)")
    return Put(item, "seq = :seq AND #hash = :hash", {":seq": before.sequence, ":hash": before.hash},
               {"#hash": "hash"})  # fmt: skip


def _as_head(item: Item | None) -> ChainHead:
    return ChainHead(item["seq"], item["hash"]) if item else genesis(SOURCE)


def _line_sort(sequence: int) -> str:
    return f"LINE#{sequence:016d}"


def _number(sort: str) -> int:
    return int(sort.removeprefix("LINE#"))


def _time_of(note: Item) -> str:
    return str(note["sk"])
