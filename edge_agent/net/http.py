"""HTTP to the control plane, and to where it says that uploads go: TLS verified, no redirects, proxies or cookies.

Every exchange has one deadline, and a limit on what is read. Bodies are never decompressed: a small answer can't grow.
"""

from __future__ import annotations

import asyncio
import functools
import os
import ssl
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from edge_agent.control.exchange import MAX_ERROR_BYTES, HttpAnswer, HttpCall, raise_for
from edge_agent.net.http_wire import Body, HttpClient, HttpFailed
from twokeys.errors import InvalidInput, Refused, Unavailable

MAX_CONNECTIONS: Final = 64
"""Connections at once; further calls wait for one within their own deadline."""

UPLOAD_CHUNK_BYTES: Final = 256 * 1024

_LOOPBACK: Final = frozenset(("127.0.0.1", "::1"))

_FRAMING: Final = frozenset(("connection", "content-length", "host", "transfer-encoding"))
"""Headers that are ours to set, whatever a ticket says."""


class ControlHttp:
    """Implements `edge_agent.control.exchange.Transport`, and uploads. Built on a running loop."""

    def __init__(self, url: str, ca_file: Path | None, connect_seconds: float) -> None:
        """Prepare; nothing is connected yet.

        Args:
            url: The control plane's address, perhaps with a path before `/v1`.
            ca_file: The only authorities trusted, None for the system's.
            connect_seconds: Longest wait for a connection, TLS included.

        Raises:
            InvalidInput: when the authorities can't be read.
        """
        self._base = url.rstrip("/")
        context = functools.cache(lambda: _context(ca_file))
        if ca_file is not None:
            context()
        self._client = HttpClient(context, connect_seconds, MAX_CONNECTIONS)

    async def exchange(self, call: HttpCall) -> HttpAnswer:
        """See `Transport`."""
        return await self._send(call.method, self._base + call.path, call.headers, call.body, call.seconds, call.limit)

    async def put_file(self, url: str, headers: Mapping[str, str], path: Path, seconds: float) -> bool:
        """Upload a file, once.

        Returns:
            True when it was taken, False when something is stored there already (412 or 409).

        Raises:
            Refused: when the address is not one that uploads may go to, or the store says no.
            Unavailable: when it can't be reached, or the file can't be read.
        """
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise Unavailable(
                f"The file {path.name} can't be read ({error}).", not_done="It was not uploaded.", code="journal_failed"
            ) from error
        try:
            size = os.fstat(descriptor).st_size
            answer = await self._send(
                "PUT",
                self._named_url(url),
                {**_foreign(headers), "Content-Length": str(size)},
                _chunks(descriptor, size),
                seconds,
                MAX_ERROR_BYTES,
            )
        finally:
            os.close(descriptor)
        return _taken(answer)

    async def put_bytes(self, url: str, headers: Mapping[str, str], data: bytes, seconds: float) -> bool:
        """Upload bytes, once. As `put_file`."""
        return _taken(await self._send("PUT", self._named_url(url), _foreign(headers), data, seconds, MAX_ERROR_BYTES))

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, seconds: float, limit: int) -> HttpAnswer:
        """POST somewhere that the control plane named; where that may be is as for uploads.

        Raises:
            Refused: when it may not be there.
            Unavailable: for anything but a whole answer.
        """
        return await self._send("POST", self._named_url(url), _foreign(headers), body, seconds, limit)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    def _named_url(self, url: str) -> str:
        """Where the control plane says something is: by https, or at itself; a relative address is below it.

        Only a control plane on this very machine without TLS, for trial, may name others here without TLS.
        """
        if url.startswith("/"):
            return self._base + url
        there, here = urlsplit(url), urlsplit(self._base)
        at_home = there.scheme == here.scheme == "http" and {there.hostname, here.hostname} <= _LOOPBACK
        if there.scheme != "https" and not at_home and (there.scheme, there.netloc) != (here.scheme, here.netloc):
            raise Refused(
                "The control plane named an address without TLS.", not_done="Nothing was sent.", code="bad_upload_url"
            )
        return url

    async def _send(
        self, method: str, url: str, headers: Mapping[str, str], body: Body, seconds: float, limit: int
    ) -> HttpAnswer:
        plain = {"Accept-Encoding": "identity", "User-Agent": "twokeys-edge", **headers}
        try:
            async with asyncio.timeout(seconds):
                return HttpAnswer(*await self._client.exchange(method, url, plain, body, limit))
        except TimeoutError as error:
            raise _away("it did not answer in time") from error
        except HttpFailed as error:
            raise _away(str(error)) from error


def _context(ca_file: Path | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    except (OSError, ssl.SSLError) as error:
        raise InvalidInput(
            f"The authorities in {ca_file or 'the system'} can't be read ({error}).",
            not_done="The edge was not started.",
            code="bad_ca_file",
        ) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


async def _chunks(descriptor: int, size: int) -> AsyncIterator[bytes]:
    """At most `size` bytes of a file, read off the loop."""
    at = 0
    while at < size:
        chunk = await asyncio.to_thread(os.pread, descriptor, min(UPLOAD_CHUNK_BYTES, size - at), at)
        if not chunk:
            return
        at += len(chunk)
        yield chunk


def _foreign(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in _FRAMING}


def _taken(answer: HttpAnswer) -> bool:
    if answer.status in (409, 412):
        return False
    raise_for(answer)
    if answer.status == 304:
        raise _away("its answer to an upload makes no sense (304)")
    return True


def _away(why: str) -> Unavailable:
    return Unavailable(
        f"The control plane can't be reached ({why}).",
        not_done="Nothing was done.",
        advice="Try again; look after the network and the control plane.",
        code="control_plane_away",
    )
