"""Waking over SQS: durable hints in the table, and a message as a nudge to whoever waits.

    wake ──▶ WAKE#<edge> / <request>  {version}      ──▶ queue of the Edge: PollReply
    wait ──acknowledge──▶ look ──nothing──▶ receive, a second at a time, and look again

A hint is forgotten only as the version that was told: one that was woken again between telling and acknowledging is
told again. A lost nudge costs a second, a doubled one a look.
"""

from __future__ import annotations

import secrets
import time
from contextlib import suppress
from typing import Final

import msgspec
from botocore.exceptions import ClientError

from twokeys.errors import Unavailable
from twokeys.messages import PollReply

from ...ports.clock import Clock
from ...ports.waker import MAX_WAITERS_PER_EDGE
from .clients import Clients
from .errors import told
from .table import TTL, ConditionFailed, Delete, Item, Key, Put, Table, Update
from .wake_queues import WakeQueues, is_gone

HINT_SECONDS: Final = 3600
"""How long a hint is told: what moved an hour ago is over, and an Edge also looks by itself."""

MAX_HINTS: Final = 100
"""Most hints in one answer; the rest comes with the next."""

MAX_LOOKED_AT: Final = 1000
"""Most hints that count, read to find those that are oldest."""

MAX_DROPPED: Final = 100
"""Most hints past their time that one look removes: an Edge that polls its queue itself acknowledges none."""

SLICE_SECONDS: Final = 1
"""How long one receive waits: so soon a wait ends that further ones have overtaken."""

MAX_ATTEMPTS: Final = 8
"""How often a waiter tries to get a number when others get theirs."""

_WAITS: Final = "#WAITS"
"""Sort key of the number of waits begun; sorts before every id."""


class SqsWaker:
    """Implements `ports.waker.Waker`."""

    def __init__(self, table: Table, clients: Clients, prefix: str, clock: Clock) -> None:
        """Args: table: where hints are; clients: of AWS; prefix: of the queues' names; clock: the table's."""
        self._table, self._clock = table, clock
        self._queues = WakeQueues(clients, prefix)

    def ensure_queue(self, edge_id: str) -> str:
        """Address of an Edge's queue, made when there is none. Raises Unavailable."""
        return self._queues.ensure(edge_id)

    def remove_queue(self, edge_id: str) -> None:
        """Remove a revoked Edge's queue. Idempotent. Raises Unavailable."""
        self._queues.remove(edge_id)

    def wake(self, edge_id: str, request_id: str) -> None:
        now = self._clock.now()
        key = _key(edge_id, request_id)
        self._table.write(Put({"pk": key.pk, "sk": key.sk, "at": now, "version": secrets.token_hex(8), TTL: _ttl(now)}))
        # The hint is kept, so the promise is: waits look each second, and an Edge on its queue also looks by itself.
        with suppress(Unavailable):
            self._nudge(edge_id, request_id)

    def wait(self, edge_id: str, seconds: float, acknowledge: list[str]) -> list[str]:
        for request_id in acknowledge:
            self._forget(edge_id, request_id)
        hints, begun = self._look(edge_id)
        if hints or seconds <= 0:
            return hints
        return self._wait(edge_id, self._begin(edge_id, begun), time.monotonic() + seconds)

    def _wait(self, edge_id: str, mine: int, until: float) -> list[str]:
        while True:
            self._receive(edge_id)
            hints, begun = self._look(edge_id)
            # What is left may be less than SQS can wait for.
            over = until - time.monotonic() < SLICE_SECONDS / 2
            if hints or over or begun - mine >= MAX_WAITERS_PER_EDGE:
                return hints

    def _look(self, edge_id: str) -> tuple[list[str], int]:
        """The oldest hints, noted as told, and how many waits have begun."""
        now, begun = self._clock.now() // 1000, 0
        found: list[Item] = []
        old: list[Item] = []
        for item in self._table.query(f"WAKE#{edge_id}"):
            if item["sk"] == _WAITS:
                begun = item["begun"]
            elif item[TTL] <= now:
                old.append(item)
            elif len(found) < MAX_LOOKED_AT:
                found.append(item)
            else:
                break
        self._drop(old[:MAX_DROPPED])
        found.sort(key=lambda item: (item["at"], item["sk"]))
        telling = found[:MAX_HINTS]
        self._note_told([item for item in telling if item.get("told") != item["version"]])
        return [item["sk"] for item in telling], begun

    def _drop(self, old: list[Item]) -> None:
        """DynamoDB drops them too, days late; until then each look would read them."""
        if not old:
            return
        with suppress(ConditionFailed):
            self._table.write(
                *(Delete(Key(one["pk"], one["sk"]), "#ttl = :ttl", {":ttl": one[TTL]}, {"#ttl": TTL}) for one in old)
            )

    def _note_told(self, items: list[Item]) -> None:
        left = [
            Update(Key(item["pk"], item["sk"]), "SET told = :version", "version = :version",
                   {":version": item["version"]})
            for item in items
        ]  # fmt: skip
        while left:
            try:
                self._table.write(*left)
                return
            except ConditionFailed as error:
                # Woken again, or forgotten, since it was read: then it is not the one that was told.
                left = [one for place, one in enumerate(left) if place not in error.failed]

    def _forget(self, edge_id: str, request_id: str) -> None:
        with suppress(ConditionFailed):
            self._table.write(Delete(_key(edge_id, request_id), "attribute_not_exists(pk) OR told = version"))

    def _begin(self, edge_id: str, begun: int) -> int:
        """This wait's number. Raises Unavailable with code ``too_many`` when too many begin at once."""
        key = _key(edge_id, _WAITS)
        for _ in range(MAX_ATTEMPTS):
            now = self._clock.now()
            try:
                self._table.write(
                    Put({"pk": key.pk, "sk": key.sk, "begun": begun + 1, TTL: _ttl(now)},
                        "attribute_not_exists(pk) OR begun = :seen", {":seen": begun})
                )  # fmt: skip
                return begun + 1
            except ConditionFailed:
                begun = (self._table.get(key) or {}).get("begun", 0)
        raise Unavailable("Too many waits of this edge begin.", not_done="Nothing was waited for.",
                          advice="Ask again shortly.", code="too_many")  # fmt: skip

    def _receive(self, edge_id: str) -> None:
        """Wait for a nudge, and take it away: the hint is in the table."""
        url, sqs = self._queues.ensure(edge_id), self._queues.client
        with told("SQS", "Nothing was waited for."):
            try:
                answer = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=SLICE_SECONDS)
                entries = [
                    {"Id": str(place), "ReceiptHandle": one["ReceiptHandle"]}
                    for place, one in enumerate(answer.get("Messages", []))
                ]
                if entries:
                    sqs.delete_message_batch(QueueUrl=url, Entries=entries)
            except ClientError as error:
                if not is_gone(error):
                    raise
                self._queues.forget(edge_id)

    def _nudge(self, edge_id: str, request_id: str) -> None:
        # Where there is no queue nobody waits; a revoked Edge must not get one again.
        url = self._queues.find(edge_id)
        if url is None:
            return
        body = msgspec.json.encode(PollReply(wake=[request_id])).decode()
        with told("SQS", "The edge was not woken."):
            try:
                self._queues.client.send_message(QueueUrl=url, MessageBody=body)
            except ClientError as error:
                if not is_gone(error):
                    raise
                self._queues.forget(edge_id)


def _key(edge_id: str, request_id: str) -> Key:
    return Key(f"WAKE#{edge_id}", request_id)


def _ttl(now: int) -> int:
    return now // 1000 + HINT_SECONDS
