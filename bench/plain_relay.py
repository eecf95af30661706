"""A relay that only copies bytes: the price of one hop, and the yardstick for the Edge.

Usage: python bench/plain_relay.py LISTEN_PORT UPSTREAM_PORT [CERT_FILE KEY_FILE]

With the files callers ask for TLS, as libpq does, and get it; what goes to the server is plain.
"""

from __future__ import annotations

import asyncio
import ssl
import struct
import sys
from typing import Final, cast

import uvloop

SSL_REQUEST: Final = struct.pack("!II", 8, 80877103)
"""https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-SSLREQUEST"""


class Leg(asyncio.Protocol):
    """One side; `other` is where its bytes go."""

    def __init__(self) -> None:
        self.other: Leg | None = None
        self.transport: asyncio.Transport | None = None
        self.early: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's transports are no subclass

    def data_received(self, data: bytes) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.write(data)
        else:
            self.early.append(data)

    def connection_lost(self, error: Exception | None) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.close()

    def pause_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.resume_reading()


class Client(Leg):
    """The accepted side; connects upstream."""

    def __init__(self, upstream_port: int) -> None:
        super().__init__()
        self.upstream_port = upstream_port

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.task = asyncio.get_running_loop().create_task(self.connect())

    async def connect(self) -> None:
        upstream = Leg()
        await asyncio.get_running_loop().create_connection(lambda: upstream, "127.0.0.1", self.upstream_port)
        self.other, upstream.other = upstream, self
        for data in self.early:
            assert upstream.transport is not None
            upstream.transport.write(data)


class Greeter(asyncio.Protocol):
    """Gives TLS to who asks for it, and the connection to a Client; nobody else is served."""

    def __init__(self, upstream_port: int, context: ssl.SSLContext) -> None:
        self.upstream_port, self.context = upstream_port, context

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if data != SSL_REQUEST:
            self.transport.close()
            return
        self.transport.pause_reading()
        self.transport.write(b"S")
        self.task = asyncio.get_running_loop().create_task(self.encrypt())

    async def encrypt(self) -> None:
        client = Client(self.upstream_port)
        encrypted = await asyncio.get_running_loop().start_tls(self.transport, client, self.context, server_side=True)
        if encrypted is not None:
            client.connection_made(encrypted)


async def serve(listen_port: int, upstream_port: int, *files: str) -> None:
    context = tls(*files) if files else None
    server = await asyncio.get_running_loop().create_server(
        lambda: Client(upstream_port) if context is None else Greeter(upstream_port, context), "127.0.0.1", listen_port
    )
    print("listening", flush=True)
    await server.serve_forever()


def tls(cert_file: str, key_file: str) -> ssl.SSLContext:
    """With this certificate."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert_file, key_file)
    return context


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:]))
