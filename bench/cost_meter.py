"""Counts what AWS would charge for, while the real services run over the AWS adapters on moto.

boto3 session ──events: before each call, after each read──▶ Meter: calls by service, units by price

DynamoDB's units are computed from item sizes by its own rules (moto does not compute them): a transactional write
costs two units for each KB, a consistent read one for each 4 KB, an index entry is written besides.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from bench.cost_prices import PRICES, Unit

K = TypeVar("K", bound=str)

_PARTITION = "twokeys.partition"
"""Where a call's context holds the partition it reads."""

_S3_READS = frozenset({"GetObject", "HeadObject"})


@dataclass
class Usage:
    """What one piece of work used.

    Args:
        calls: Calls by service and operation.
        units: What is charged for.
        partitions: DynamoDB's units by partition and direction (``write CHAIN``); ids are cut off, as in ``REQ#``.
    """

    calls: Counter[str] = field(default_factory=Counter)
    units: dict[Unit, float] = field(default_factory=dict)
    partitions: dict[str, float] = field(default_factory=dict)

    def add(self, unit: Unit, count: float) -> None:
        """Count units."""
        self.units[unit] = self.units.get(unit, 0.0) + count

    def times(self, factor: float) -> Usage:
        """So many of it."""
        calls = Counter({name: math.ceil(count * factor) for name, count in self.calls.items()})
        return Usage(calls, _scaled(self.units, factor), _scaled(self.partitions, factor))

    def plus(self, other: Usage) -> Usage:
        """Both together."""
        units, partitions = _sum(self.units, other.units, 1), _sum(self.partitions, other.partitions, 1)
        return Usage(self.calls + other.calls, units, partitions)

    def less(self, other: Usage) -> Usage:
        """What this used over the other."""
        units, partitions = _sum(self.units, other.units, -1), _sum(self.partitions, other.partitions, -1)
        return Usage(self.calls - other.calls, units, partitions)

    def touched(self, direction: str, key: str, units: float) -> None:
        """Count units of a partition."""
        family, cut, _ = key.partition("#")
        name = f"{direction} {family}{cut}"
        self.partitions[name] = self.partitions.get(name, 0.0) + units

    @property
    def dollars(self) -> float:
        """By list price."""
        return sum(count * PRICES[unit].dollars / PRICES[unit].per for unit, count in self.units.items())


def _scaled(counts: Mapping[K, float], factor: float) -> dict[K, float]:
    return {name: count * factor for name, count in counts.items()}


def _sum(left: Mapping[K, float], right: Mapping[K, float], sign: int) -> dict[K, float]:
    return {name: left.get(name, 0.0) + sign * right.get(name, 0.0) for name in {**left, **right}}


class Meter:
    """Counts into the usage of the piece of work that is running."""

    def __init__(self, sizes: Any) -> None:
        """Args: sizes: a DynamoDB client of another session, which is not counted: asked for items' sizes."""
        self._sizes = sizes
        self._usage: Usage | None = None

    def watch(self, session: Any) -> None:
        """Count every call of clients that this boto3 session makes from now on."""
        session.events.register("provide-client-params.*", self._before)
        session.events.register("after-call.dynamodb.*", self._after)

    @contextmanager
    def counting(self) -> Iterator[Usage]:
        """Count one piece of work."""
        self._usage = Usage()
        try:
            yield self._usage
        finally:
            self._usage = None

    def _before(self, params: Mapping[str, Any], model: Any, context: dict[str, Any], **_: Any) -> None:
        usage = self._usage
        if usage is None:
            return
        service, operation = str(model.service_model.service_name), str(model.name)
        usage.calls[f"{service}:{operation}"] += 1
        match service:
            case "sqs":
                usage.add(Unit.SQS, 1)
            case "kms" if operation in ("Sign", "Decrypt"):
                usage.add(Unit.KMS, 1)
            case "s3":
                usage.add(Unit.S3_GET if operation in _S3_READS else Unit.S3_PUT, 1)
            case "sesv2" | "ses":
                usage.add(Unit.MAIL, 1)
            case "dynamodb" if operation == "TransactWriteItems":
                for item in params["TransactItems"]:
                    key, units = self._written(item)
                    usage.add(Unit.WRITE, units)
                    usage.touched("write", key, units)
            case "dynamodb" if operation == "GetItem":
                context[_PARTITION] = params["Key"]["pk"]["S"]
            case "dynamodb" if operation == "Query":
                context[_PARTITION] = params["ExpressionAttributeValues"][":p"]["S"]

    def _after(self, parsed: Mapping[str, Any], context: Mapping[str, Any], **_: Any) -> None:
        if self._usage is None or _PARTITION not in context:
            return
        items = parsed.get("Items", [parsed.get("Item", {})])
        units = max(1, math.ceil(sum(item_bytes(item) for item in items) / 4096))
        self._usage.add(Unit.READ, units)
        self._usage.touched("read", context[_PARTITION], units)

    def _written(self, action: Mapping[str, Any]) -> tuple[str, int]:
        """The partition that an action of a transaction is of, and its units."""
        ((kind, asked),) = action.items()
        key = asked.get("Key") or {name: asked["Item"][name] for name in ("pk", "sk")}
        before = self._sizes.get_item(TableName=asked["TableName"], Key=key, ConsistentRead=True).get("Item", {})
        after = asked["Item"] if kind == "Put" else before
        # An Update's new values are at most what it brings.
        size = max(item_bytes(before), item_bytes(after)) + (
            item_bytes(asked.get("ExpressionAttributeValues", {})) if kind == "Update" else 0
        )
        kilobytes = max(1, math.ceil(size / 1024))
        entries = ("list_pk" in before) + ("list_pk" in after)
        if kind == "ConditionCheck":
            entries = 0
        elif kind == "Update" and entries and "list_" not in asked["UpdateExpression"]:
            # Its key stays: one entry is written. One that changes goes, and another comes.
            entries = 1
        return str(key["pk"]["S"]), 2 * kilobytes + entries * kilobytes


def item_bytes(item: Mapping[str, Any]) -> int:
    """Size of an item in DynamoDB's wire form (developer guide, "Item sizes and formats")."""
    return sum(len(name.encode()) + _value_bytes(value) for name, value in item.items())


def _value_bytes(value: Mapping[str, Any]) -> int:
    ((kind, content),) = value.items()
    match kind:
        case "S":
            return len(content.encode())
        case "N":
            return len(content) // 2 + 1
        case "B":
            return len(content)
        case "L":
            return 3 + sum(1 + _value_bytes(one) for one in content)
        case "M":
            return 3 + sum(1 + len(name.encode()) + _value_bytes(one) for name, one in content.items())
    return 1
