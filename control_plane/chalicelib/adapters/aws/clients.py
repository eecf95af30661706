"""Clients of AWS, made when first used: one per service and process, with deadlines that fit inside a Lambda's."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final

import boto3
from botocore.config import Config

CONNECT_SECONDS: Final = 2
READ_SECONDS: Final = 8
QUEUE_READ_SECONDS: Final = 25
"""A receive waits up to 20 s by itself."""

QUICK_READ_SECONDS: Final = 2
QUICK_ATTEMPTS: Final = 2
"""For what a caller should not wait for, and that can be done without."""

MAX_ATTEMPTS: Final = 3
MAX_CONNECTIONS: Final = 32


class Clients:
    """Hands out clients. Typed Any: boto3 publishes no types."""

    def __init__(self, make: Callable[..., Any] = boto3.client) -> None:
        """Args: make: as `boto3.client`; tests give their own."""
        self._make = make
        self._lock = threading.Lock()
        self._made: dict[tuple[str, bool], Any] = {}

    def of(self, service: str, *, quick: bool = False) -> Any:
        """The client of a service by boto3's name (``dynamodb``, ``s3``, ``sqs``, ``kms``, ``stepfunctions`` …).

        Args:
            service: Its name.
            quick: Give up early.
        """
        with self._lock:
            key = (service, quick)
            if key not in self._made:
                self._made[key] = self._make(service, config=_config(service, quick))
            return self._made[key]


def _config(service: str, quick: bool) -> Config:
    settings: dict[str, Any] = {
        "connect_timeout": CONNECT_SECONDS,
        "read_timeout": QUEUE_READ_SECONDS if service == "sqs" else READ_SECONDS,
        "retries": {"mode": "standard", "total_max_attempts": MAX_ATTEMPTS},
        "max_pool_connections": MAX_CONNECTIONS,
    }
    if quick:
        settings |= {
            "read_timeout": QUICK_READ_SECONDS,
            "retries": {"mode": "standard", "total_max_attempts": QUICK_ATTEMPTS},
        }
    if service == "s3":
        # Presigned addresses name the bucket's own region and version 4 signatures.
        settings |= {"signature_version": "s3v4", "s3": {"addressing_style": "virtual"}}
    return Config(**settings)
