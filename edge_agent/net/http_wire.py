"""HTTP/1.1 as a client: connections that are kept for a while, one exchange at a time on each, framing by h11.

An exchange is never sent twice by itself: a call that may have been heard must not be heard again with its nonce.
Whoever calls decides what is tried again. Source: RFC 9112.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeAlias
from urllib.parse import urlsplit

import h11

MAX_HEAD_BYTES: Final = 16 * 1024
"""Longest head of an answer that is waited for; with what one read brings, at most twice that is taken."""

MAX_INTERIM_ANSWERS: Final = 4
"""Most 1xx answers before the answer."""

MAX_IDLE_SECONDS: Final = 15.0
"""How long a connection is kept without use; servers close theirs later than that."""

CLOSE_SECONDS: Final = 1.0
"""How long a connection's orderly end is waited for."""

_READ_BYTES: Final = MAX_HEAD_BYTES

Body: TypeAlias = bytes | AsyncIterator[bytes]


class HttpFailed(Exception):
    """No whole answer came. What was asked may have been done, or not."""


class Origin(NamedTuple):
    """Where a connection leads."""

    secure: bool
    host: str
    port: int


class Answer(NamedTuple):
    """A whole answer; names of headers in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True)
class _Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    http: h11.Connection = field(
        default_factory=lambda: h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD_BYTES)
    )
    idle_since: float = 0.0

    @property
    def usable(self) -> bool:
        fresh = time.monotonic() - self.idle_since < MAX_IDLE_SECONDS
        return fresh and not self.writer.is_closing() and not self.reader.at_eof()


class HttpClient:
    """Exchanges with any origin; `most` at once, further ones wait."""

    def __init__(self, context: Callable[[], ssl.SSLContext], connect_seconds: float, most: int) -> None:
        """Prepare; nothing is connected yet.

        Args:
            context: Makes what TLS needs, asked when it is first needed: the system's authorities take megabytes.
            connect_seconds: Longest wait for a connection, TLS included.
            most: Connections at once.
        """
        self._context, self._connect_seconds = context, connect_seconds
        self._free = asyncio.Semaphore(most)
        self._kept: dict[Origin, list[_Connection]] = {}
        self._used: set[asyncio.StreamWriter] = set()
        self._closed = False

    async def exchange(self, method: str, url: str, headers: Mapping[str, str], body: Body, limit: int) -> Answer:
        """Make one exchange. The caller sets the deadline.

        Args:
            method: Upper case.
            url: Absolute; path and query are sent exactly as they stand.
            headers: Without Host; a body in pieces needs its Content-Length here.
            body: The bytes, or pieces of them.
            limit: Longest body of an answer.

        Raises:
            HttpFailed: for anything but a whole answer within the limit.
        """
        origin, host, target = _parts(url)
        head = [("Host", host), *headers.items()]
        if isinstance(body, bytes) and (body or method not in ("GET", "HEAD")):
            head.append(("Content-Length", str(len(body))))
        try:
            request = h11.Request(method=method, target=target, headers=head)
        except (h11.LocalProtocolError, UnicodeError) as error:
            raise HttpFailed(f"the call can't be sent: {error}") from error
        async with self._free:
            if self._closed:
                raise HttpFailed("the client was closed")
            connection = self._reused(origin) or await self._connected(origin)
            self._used.add(connection.writer)
            kept = False
            try:
                answer = await _spoken(connection, request, body, limit)
                kept = self._keep(origin, connection)
                return answer
            except (h11.ProtocolError, OSError, EOFError) as error:
                raise HttpFailed(str(error) or type(error).__name__) from error
            finally:
                self._used.discard(connection.writer)
                if not kept:
                    connection.writer.transport.abort()

    async def close(self) -> None:
        """End every connection, those in use too; what is asked from now on fails."""
        self._closed = True
        writers = [connection.writer for connections in self._kept.values() for connection in connections]
        writers.extend(self._used)
        self._kept.clear()
        for writer in writers:
            writer.close()
        for writer in writers:
            try:
                async with asyncio.timeout(CLOSE_SECONDS):
                    await writer.wait_closed()
            except (OSError, TimeoutError):
                writer.transport.abort()

    def _reused(self, origin: Origin) -> _Connection | None:
        kept = self._kept.get(origin, [])
        while kept:
            connection = kept.pop()
            if connection.usable:
                return connection
            connection.writer.transport.abort()
        return None

    async def _connected(self, origin: Origin) -> _Connection:
        context = self._context() if origin.secure else None
        try:
            async with asyncio.timeout(self._connect_seconds):
                return _Connection(*await asyncio.open_connection(origin.host, origin.port, ssl=context))
        except TimeoutError as error:
            raise HttpFailed("no connection in time") from error
        except (OSError, ValueError) as error:
            raise HttpFailed(str(error) or type(error).__name__) from error

    def _keep(self, origin: Origin, connection: _Connection) -> bool:
        http = connection.http
        if self._closed or http.our_state is not h11.DONE or http.their_state is not h11.DONE or http.trailing_data[0]:
            return False
        http.start_next_cycle()
        connection.idle_since = time.monotonic()
        self._kept.setdefault(origin, []).append(connection)
        return True


async def _spoken(connection: _Connection, request: h11.Request, body: Body, limit: int) -> Answer:
    try:
        await _send(connection, request, body)
    except ConnectionError:
        # A server may answer before it has read everything, and close: its answer says why.
        answer = await _receive(connection, request, limit)
        if answer.status < 400:
            raise
        return answer
    return await _receive(connection, request, limit)


async def _send(connection: _Connection, request: h11.Request, body: Body) -> None:
    writer, http = connection.writer, connection.http
    writer.write(http.send(request) or b"")
    if isinstance(body, bytes):
        if body:
            writer.write(http.send(h11.Data(data=body)) or b"")
    else:
        async for piece in body:
            writer.write(http.send(h11.Data(data=piece)) or b"")
            await writer.drain()
    writer.write(http.send(h11.EndOfMessage()) or b"")
    await writer.drain()


async def _receive(connection: _Connection, request: h11.Request, limit: int) -> Answer:
    interim = 0
    head: h11.Response | None = None
    data = bytearray()
    while True:
        match await _event(connection):
            case h11.InformationalResponse():
                interim += 1
                if interim > MAX_INTERIM_ANSWERS:
                    raise HttpFailed("too many interim answers")
            case h11.Response() as head:
                _refuse_unframed(request, head)
            case h11.Data(data=piece):
                data += piece
                if len(data) > limit:
                    raise HttpFailed(f"the answer is over {limit} bytes")
            case h11.EndOfMessage() if head is not None:
                headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers}
                return Answer(head.status_code, headers, bytes(data))
            case _:
                raise HttpFailed("the connection ended before the answer")


async def _event(connection: _Connection) -> object:
    while (event := connection.http.next_event()) is h11.NEED_DATA:
        connection.http.receive_data(await connection.reader.read(_READ_BYTES))
    return event


def _refuse_unframed(request: h11.Request, head: h11.Response) -> None:
    """An answer that ends with its connection can't be told from one that was cut off."""
    framed = any(name in (b"content-length", b"transfer-encoding") for name, _ in head.headers)
    if not framed and head.status_code not in (204, 304) and request.method != b"HEAD":
        raise HttpFailed("the answer doesn't say where it ends")


def _parts(url: str) -> tuple[Origin, str, str]:
    """Origin, value of Host, and target of a request."""
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError as error:
        raise HttpFailed("the address has no port that could be one") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        raise HttpFailed("the address is not one of HTTP")
    secure = parts.scheme == "https"
    target = url[len(parts.scheme) + 3 + len(parts.netloc) :].partition("#")[0]
    return Origin(secure, parts.hostname, port or (443 if secure else 80)), parts.netloc, _absolute(target)


def _absolute(target: str) -> str:
    return target if target.startswith("/") else "/" + target
