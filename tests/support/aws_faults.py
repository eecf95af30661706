"""Faults of AWS on demand: calls of one operation fail before they are sent, or after they took effect."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import ClientError, ReadTimeoutError


@contextmanager
def refusing(client: Any, operation: str, code: str) -> Iterator[list[str]]:
    """Each call of an operation (``PutObject``) is answered with an error code; yields the calls."""
    asked: list[str] = []

    def refuse(**_more: object) -> None:
        asked.append(operation)
        raise ClientError({"Error": {"Code": code, "Message": "as the test wants"}}, operation)

    with _hooked(client, f"before-call.{_service(client)}.{operation}", refuse):
        yield asked


@contextmanager
def losing_the_answer(client: Any, operation: str) -> Iterator[None]:
    """Each call of an operation takes effect, and its answer is lost."""

    def lose(**_more: object) -> None:
        raise ReadTimeoutError(endpoint_url="https://aws.example.com")

    with _hooked(client, f"after-call.{_service(client)}.{operation}", lose):
        yield


@contextmanager
def _hooked(client: Any, event: str, handler: Any) -> Iterator[None]:
    client.meta.events.register(event, handler)
    try:
        yield
    finally:
        client.meta.events.unregister(event, handler)


def _service(client: Any) -> str:
    return str(client.meta.service_model.service_id.hyphenize())
