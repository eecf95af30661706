"""The Edge's own password at one server: as it was read, and read anew when the server takes it no more.

Passwords are rotated while an Edge runs: the file is replaced, or AWS Secrets Manager holds another value. A refused
sign-in is what tells; it is tried once more, with a newer password only.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from edge_agent.secret import Secret
from twokeys.errors import TwokeysError, Unavailable

RENEW_SECONDS: Final = 5.0
"""Least time between two readings: a server that refuses everybody must not make us ask for ever."""


class Credential:
    """One password.

    Args:
        read: Reads it where it is kept. Raises TwokeysError.
        known: As read at the start; empty when it was not.
        tell: Told, for whoever runs the Edge, why it can't be read; callers are not.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        read: Callable[[], Awaitable[Secret]],
        known: Secret,
        tell: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._from, self._known, self._tell, self._clock = read, known, tell, clock
        self._next = 0.0
        self._lock = asyncio.Lock()

    async def current(self) -> Secret:
        """The password; read at its first use where it is not known. Raises Unavailable."""
        if not self._known:
            async with self._lock:
                if not self._known:
                    self._known = await self._read()
        return self._known

    async def newer(self, refused: Secret) -> Secret | None:
        """Another password than the one the server refused; None when there is none, yet. Raises Unavailable."""
        async with self._lock:
            if self._known == refused and self._clock() >= self._next:
                self._next = self._clock() + RENEW_SECONDS
                self._known = await self._read()
            return self._known if self._known != refused else None

    async def _read(self) -> Secret:
        try:
            return await self._from()
        except TwokeysError as error:
            self._tell(str(error))
            raise Unavailable(
                "The edge's own credential at the database server can't be read.",
                not_done="No session was begun.",
                advice="Ask whoever runs this edge: its log says why.",
                code="no_credential",
            ) from error
