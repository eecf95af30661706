"""The Edges' queues in SQS: one each, made when first needed, gone with its Edge.

A message in it is `PollReply`'s body, and only a nudge: what moved is kept in the table (`waker`).
"""

from __future__ import annotations

import hashlib
import re
import threading
from typing import Any, Final

from botocore.exceptions import ClientError

from .clients import Clients
from .errors import code_of, told

RETENTION_SECONDS: Final = 3600
"""How long a nudge stays. Nobody needs an old one: whoever comes later looks by itself."""

MAX_NAME: Final = 80
"""Longest name of a queue, and the characters that it may have."""

HASHED_CHARACTERS: Final = 41
"""Of an id that is hashed: an underscore and 160 bits."""

_NAME = re.compile(r"[A-Za-z0-9_-]+")

_GONE: Final = frozenset({"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"})
_OTHERWISE_THERE: Final = frozenset({"QueueAlreadyExists", "QueueNameExists"})


class WakeQueues:
    """Names, makes and removes them."""

    def __init__(self, clients: Clients, prefix: str) -> None:
        """Args: clients: of AWS; prefix: names begin with it. ValueError when it leaves no room for a hash."""
        if not _NAME.fullmatch(prefix) or len(prefix) > MAX_NAME - HASHED_CHARACTERS:
            raise ValueError(f"a prefix has 1 to {MAX_NAME - HASHED_CHARACTERS} letters, digits, - and _")
        self._clients, self._prefix = clients, prefix
        self._lock = threading.Lock()
        self._urls: dict[str, str] = {}

    def name(self, edge_id: str) -> str:
        """The queue of an Edge: no two have the same. What SQS can't spell is hashed: no id begins so."""
        name = self._prefix + edge_id
        if len(name) <= MAX_NAME and _NAME.fullmatch(name) and not edge_id.startswith("_"):
            return name
        return f"{self._prefix}_{hashlib.sha256(edge_id.encode()).hexdigest()}"[: len(self._prefix) + HASHED_CHARACTERS]

    def ensure(self, edge_id: str) -> str:
        """Its address; the queue is made when there is none. Raises Unavailable."""
        return self.find(edge_id) or self._make(edge_id)

    def find(self, edge_id: str) -> str | None:
        """Its address, None when there is no queue. Raises Unavailable."""
        with self._lock:
            known = self._urls.get(edge_id)
        if known is not None:
            return known
        with told("SQS", "The edge was not woken."):
            try:
                answer = self.client.get_queue_url(QueueName=self.name(edge_id))
            except ClientError as error:
                if code_of(error) in _GONE:
                    return None
                raise
        return self._know(edge_id, answer)

    def remove(self, edge_id: str) -> None:
        """Its Edge was revoked: what polls it gets no more. Idempotent. Raises Unavailable."""
        self.forget(edge_id)
        url = self.find(edge_id)
        if url is None:
            return
        self.forget(edge_id)
        with told("SQS", "The edge's queue was not removed."):
            try:
                self.client.delete_queue(QueueUrl=url)
            except ClientError as error:
                if code_of(error) not in _GONE:
                    raise

    def forget(self, edge_id: str) -> None:
        """Look again next time: the queue was found gone."""
        with self._lock:
            self._urls.pop(edge_id, None)

    @property
    def client(self) -> Any:
        """boto3's client."""
        return self._clients.of("sqs")

    def _make(self, edge_id: str) -> str:
        name = self.name(edge_id)
        attributes = {"MessageRetentionPeriod": str(RETENTION_SECONDS), "SqsManagedSseEnabled": "true"}
        with told("SQS", "The edge's queue was not made."):
            try:
                answer = self.client.create_queue(QueueName=name, Attributes=attributes)
            except ClientError as error:
                if code_of(error) not in _OTHERWISE_THERE:
                    raise
                # Made meanwhile, by a version that set it up otherwise: it carries nudges all the same.
                answer = self.client.get_queue_url(QueueName=name)
        return self._know(edge_id, answer)

    def _know(self, edge_id: str, answer: dict[str, Any]) -> str:
        url = str(answer["QueueUrl"])
        with self._lock:
            self._urls[edge_id] = url
        return url


def is_gone(error: ClientError) -> bool:
    """Whether this says that there is no such queue."""
    return code_of(error) in _GONE
