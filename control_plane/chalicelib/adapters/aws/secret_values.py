"""Secrets from Secrets Manager, kept in memory for minutes: a secret that is changed counts soon, without a deploy."""

from __future__ import annotations

import hashlib
from typing import Final

from twokeys.errors import Unavailable

from ...ports.clock import Clock
from .clients import Clients
from .errors import told

KEPT_SECONDS: Final = 300
"""How long a secret is kept."""

MIN_COOKIE_CHARACTERS: Final = 32
"""Of at least 62 kinds: more than the 128 bits that a forger would have to guess."""


class SecretValues:
    """Fetches secrets by name."""

    def __init__(self, clients: Clients, clock: Clock) -> None:
        """Args: clients: of AWS; clock: for the age of what is kept."""
        self._clients, self._clock = clients, clock
        self._kept: dict[str, tuple[int, str]] = {}

    def __repr__(self) -> str:
        return f"SecretValues({sorted(self._kept)})"

    def text(self, name: str) -> str:
        """A secret's text; empty for no name.

        Raises:
            Unavailable: when it can't be had, or has no text.
        """
        if not name:
            return ""
        at, value = self._kept.get(name, (0, ""))
        if not value or self._clock.now() - at >= KEPT_SECONDS * 1000:
            with told("Secrets Manager", "Nothing was done."):
                answer = self._clients.of("secretsmanager").get_secret_value(SecretId=name)
            value = str(answer.get("SecretString", ""))
            if not value:
                raise Unavailable(f"The secret {name} is empty.", not_done="Nothing was done.",
                                  advice="Put a value into it.", code="empty_secret")  # fmt: skip
            self._kept[name] = (self._clock.now(), value)
        return value

    def cookie_key(self, name: str) -> bytes:
        """32 bytes derived from a generated secret. Raises Unavailable, also for one that is too short."""
        value = self.text(name)
        if len(value) < MIN_COOKIE_CHARACTERS:
            raise Unavailable(f"The secret {name} is too short.", not_done="Nobody was signed in.",
                              advice=f"Let it be generated, {MIN_COOKIE_CHARACTERS} characters or more.",
                              code="weak_secret")  # fmt: skip
        return hashlib.sha256(b"twokeys/cookie-key/v1\n" + value.encode()).digest()
