"""The one DynamoDB table: items by `pk` and `sk`, and every change one transaction of conditional writes.

Values are plain Python (str, int, bool, bytes, list, dict); access patterns are in docs/adr/0010.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from boto3.dynamodb.types import Binary, TypeDeserializer, TypeSerializer
from botocore.exceptions import ClientError

from twokeys.errors import InvalidInput, Unavailable

from .clients import Clients
from .errors import code_of, told

LISTS: Final = "lists"
"""The one index: `list_pk`, `list_sk`; all attributes; read eventually."""

TTL: Final = "ttl"
"""Seconds since the epoch after which DynamoDB may drop an item. Readers check it themselves: dropping is late."""

MAX_ACTIONS: Final = 100
"""Most actions of one transaction."""

MAX_COLLISIONS: Final = 12
"""How often a transaction is tried that met another one on the same item."""

MAX_PAGES: Final = 1000
"""Most pages of one query."""

Item = dict[str, Any]
Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Key:
    """Names an item."""

    pk: str
    sk: str


@dataclass(frozen=True, slots=True)
class Put:
    """Write a whole item. `condition` with `values` (``:name``) and `names` (``#name``) of its expression."""

    item: Item
    condition: str = ""
    values: Values = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Update:
    """Change attributes: `expression` is DynamoDB's (``SET … REMOVE … ADD …``)."""

    key: Key
    expression: str
    condition: str = ""
    values: Values = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove an item."""

    key: Key
    condition: str = ""
    values: Values = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Check:
    """Change nothing, but hold: the transaction fails unless `condition` is true of this item."""

    key: Key
    condition: str
    values: Values = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)


Action = Put | Update | Delete | Check


class ConditionFailed(Exception):
    """A transaction changed nothing: `failed` are the positions of the actions whose condition was false."""

    def __init__(self, failed: frozenset[int]) -> None:
        super().__init__(f"conditions {sorted(failed)} were false")
        self.failed = failed


class Table:
    """Reads and writes. Reads are consistent unless they use the index."""

    def __init__(self, clients: Clients, name: str, pause: Callable[[float], None] = time.sleep) -> None:
        """Args: clients: of AWS; name: the table's; pause: waits so many seconds."""
        self._clients, self.name, self._pause = clients, name, pause

    def get(self, key: Key) -> Item | None:
        """An item, None when there is none. Raises Unavailable."""
        with told("DynamoDB", "Nothing was changed."):
            answer = self._client.get_item(TableName=self.name, Key=_key(key), ConsistentRead=True)
        return _plain_item(answer["Item"]) if "Item" in answer else None

    def query(
        self,
        pk: str,
        sk_begins: str = "",
        *,
        between: tuple[str, str] | None = None,
        newest_first: bool = False,
        most: int | None = None,
        index: bool = False,
    ) -> Iterator[Item]:
        """Items of one partition in order of `sk` (of the index: `list_pk`, `list_sk`), read page by page.

        Args:
            pk: The partition.
            sk_begins: Only sort keys that begin so.
            between: Only sort keys from the first to the second, both included; instead of `sk_begins`.
            newest_first: Descending.
            most: At most so many.
            index: Ask the index; what was just written may be missing.

        Raises:
            Unavailable: when DynamoDB does not answer.
        """  # fmt: skip
        hash_name, range_name = ("list_pk", "list_sk") if index else ("pk", "sk")
        condition, values = "#p = :p", {":p": {"S": pk}}
        names = {"#p": hash_name}
        if between is not None:
            condition += " AND #s BETWEEN :a AND :b"
            values |= {":a": {"S": between[0]}, ":b": {"S": between[1]}}
        elif sk_begins:
            condition += " AND begins_with(#s, :s)"
            values |= {":s": {"S": sk_begins}}
        if len(values) > 1:
            names["#s"] = range_name
        asked: dict[str, Any] = {
            "TableName": self.name, "KeyConditionExpression": condition, "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": values, "ScanIndexForward": not newest_first,
        }  # fmt: skip
        asked |= {"IndexName": LISTS} if index else {"ConsistentRead": True}
        left = most
        for _ in range(MAX_PAGES):
            if left is not None:
                asked["Limit"] = left
            with told("DynamoDB", "Nothing was changed."):
                answer = self._client.query(**asked)
            items = answer.get("Items", [])
            yield from (_plain_item(item) for item in items)
            left = None if left is None else left - len(items)
            if "LastEvaluatedKey" not in answer or left == 0:
                return
            asked["ExclusiveStartKey"] = answer["LastEvaluatedKey"]
        raise Unavailable("A listing is too long.", not_done="It was not read to its end.", code="too_long")

    def write(self, *actions: Action) -> None:
        """Do all of it or nothing. Transactions that meet on an item are tried again.

        Raises:
            ConditionFailed: when a condition was false.
            InvalidInput: ``too_large`` when an item is over DynamoDB's 400 KB.
            Unavailable: when DynamoDB is busy or does not answer. The outcome may be unknown: read before retrying.
        """
        if not 0 < len(actions) <= MAX_ACTIONS:
            raise ValueError(f"a transaction has 1 to {MAX_ACTIONS} actions")
        items = [_action(self.name, action) for action in actions]
        for attempt in range(MAX_COLLISIONS):
            if attempt:
                self._pause(random.uniform(0, min(0.4, 0.01 * 2**attempt)))  # noqa: S311 - spreads, no secret
            if self._tried(items):
                return
        raise Unavailable("Too many changes of the same thing at once.", not_done="Nothing was changed.",
                          advice="Try again shortly.", code="busy")  # fmt: skip

    def _tried(self, items: Sequence[dict[str, Any]]) -> bool:
        """Try once; False when it met another transaction."""
        with told("DynamoDB", "Nothing was changed, or its outcome is unknown."):
            try:
                self._client.transact_write_items(TransactItems=items)
                return True
            except ClientError as error:
                code = code_of(error)
                if code == "TransactionCanceledException":
                    return _cancelled(error)
                if code == "TransactionConflictException":
                    return False
                if code == "ValidationException" and "size" in str(error).lower():
                    raise _too_large() from error
                raise

    @property
    def _client(self) -> Any:
        return self._clients.of("dynamodb")


def _cancelled(error: ClientError) -> bool:
    """False when only collisions cancelled it; raises for anything else."""
    codes = [str(reason.get("Code", "None")) for reason in error.response.get("CancellationReasons", [])]
    failed = frozenset(place for place, code in enumerate(codes) if code == "ConditionalCheckFailed")
    if failed:
        raise ConditionFailed(failed) from error
    others = {code for code in codes if code != "None"}
    if others == {"TransactionConflict"}:
        return False
    if "ItemCollectionSizeLimitExceeded" in others or "ValidationError" in others:
        raise _too_large() from error
    raise Unavailable(
        f"DynamoDB cancelled a change ({', '.join(sorted(others)) or 'no reason given'}).",
        not_done="Nothing was changed.", advice="Try again shortly.", code="busy",
    ) from error  # fmt: skip


def _too_large() -> InvalidInput:
    return InvalidInput("An item is over 400 KB.", not_done="Nothing was changed.", advice="Send less.",
                        code="too_large")  # fmt: skip


def _action(table: str, action: Action) -> dict[str, Any]:
    shape: dict[str, Any] = {"TableName": table}
    match action:
        case Put(item=item):
            kind, shape["Item"] = "Put", {name: _SERIALIZER.serialize(value) for name, value in item.items()}
        case Update(key=key, expression=expression):
            kind, shape["Key"], shape["UpdateExpression"] = "Update", _key(key), expression
        case Delete(key=key):
            kind, shape["Key"] = "Delete", _key(key)
        case Check(key=key):
            kind, shape["Key"] = "ConditionCheck", _key(key)
    if action.condition:
        shape["ConditionExpression"] = action.condition
    if action.values:
        shape["ExpressionAttributeValues"] = {
            name: _SERIALIZER.serialize(value) for name, value in action.values.items()
        }
    if action.names:
        shape["ExpressionAttributeNames"] = dict(action.names)
    return {kind: shape}


def _key(key: Key) -> dict[str, Any]:
    return {"pk": {"S": key.pk}, "sk": {"S": key.sk}}


def _plain_item(item: Mapping[str, Any]) -> Item:
    return {name: _plain(_DESERIALIZER.deserialize(value)) for name, value in item.items()}


def _plain(value: Any) -> Any:
    match value:
        case Decimal():
            return int(value)
        case Binary():
            return bytes(value.value)
        case list():
            return [_plain(one) for one in value]
        case dict():
            return {name: _plain(one) for name, one in value.items()}
    return value


_SERIALIZER: Final = TypeSerializer()
_DESERIALIZER: Final = TypeDeserializer()
