"""Accepts connections, and looks at the first byte of each before anybody reads it: 0x16 begins TLS at once.

Direct TLS (PostgreSQL 17): the client sends its ClientHello without an SSLRequest, and names the protocol by ALPN.
The byte is peeked at, so that the handshake finds all bytes where it expects them.
https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-SSL
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable
from typing import Final

from edge_agent.net.wire import SHUTDOWN_SECONDS, Wire, WireLost

ALPN: Final = "postgresql"
"""What a client that begins with TLS must ask for; without it the bytes could be meant for another service."""

TLS_HANDSHAKE: Final = 0x16
"""The first byte of a TLS record with a ClientHello (RFC 8446 section 5.1)."""

BACKLOG: Final = 1024
AT_ONCE: Final = 64
"""Connections taken before others have their turn."""

OUT_OF_ROOM: Final = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))
RETRY_SECONDS: Final = 1.0

Adopt = Callable[[socket.socket], None]


class Acceptor:
    """Listening sockets; each connection is handed to `adopt`, non-blocking."""

    def __init__(self, adopt: Adopt) -> None:
        self._adopt = adopt
        self._listening: list[socket.socket] = []

    async def open(self, host: str, port: int) -> int:
        """Begin to accept at every address of the host; returns the port. Raises OSError."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        try:
            for family, _, _, _, address in dict.fromkeys(found):
                listening = socket.create_server(address[:2], family=family, backlog=BACKLOG)
                listening.setblocking(False)
                self._listening.append(listening)
        except OSError:
            self.close()
            raise
        for listening in self._listening:
            loop.add_reader(listening.fileno(), self._accept, listening)
        return int(self._listening[0].getsockname()[1])

    def close(self) -> None:
        """Accept nobody any more."""
        loop = asyncio.get_running_loop()
        for listening in self._listening:
            loop.remove_reader(listening.fileno())
            listening.close()
        self._listening.clear()

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(AT_ONCE):
            try:
                connection, _ = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno in OUT_OF_ROOM:
                    self._pause(listening)
                    return
                raise
            connection.setblocking(False)
            self._adopt(connection)

    def _pause(self, listening: socket.socket) -> None:
        """The machine has no room for a connection: look again soon, not at once and for ever."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(listening.fileno())
        loop.call_later(RETRY_SECONDS, self._resume, listening)

    def _resume(self, listening: socket.socket) -> None:
        if listening in self._listening:
            asyncio.get_running_loop().add_reader(listening.fileno(), self._accept, listening)


async def wire_of(connection: socket.socket, direct: ssl.SSLContext | None, seconds: float) -> Wire:
    """Make a Wire of an accepted connection; encrypted where the client began with TLS, and we can.

    Args:
        connection: Non-blocking; closed when this fails.
        direct: For clients that begin with TLS; None when there is no certificate.
        seconds: Longest time until the first byte came and TLS stands.

    Raises:
        WireLost: The client went away, took too long, or its TLS is not for PostgreSQL.
    """
    loop = asyncio.get_running_loop()
    wire = Wire()
    try:
        async with asyncio.timeout(seconds):
            begins_with_tls = direct is not None and await _first_byte(connection) == TLS_HANDSHAKE
            if begins_with_tls:
                await loop.connect_accepted_socket(
                    lambda: wire, connection, ssl=direct, ssl_handshake_timeout=seconds,
                    ssl_shutdown_timeout=SHUTDOWN_SECONDS,
                )  # fmt: skip
            else:
                await loop.connect_accepted_socket(lambda: wire, connection)
    except (OSError, TimeoutError) as error:
        connection.close()
        raise WireLost from error
    except BaseException:
        connection.close()
        raise
    if begins_with_tls and wire.protocol != ALPN:
        wire.abort()
        raise WireLost
    return wire


async def _first_byte(connection: socket.socket) -> int:
    """The first byte, left where it is. Raises OSError when none comes."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            data = connection.recv(1, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            ready = loop.create_future()
            loop.add_reader(connection.fileno(), _wake, ready)
            try:
                await ready
            finally:
                loop.remove_reader(connection.fileno())
            continue
        if not data:
            raise ConnectionResetError(errno.ECONNRESET, "the client sent nothing")
        return data[0]


def _wake(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
