"""HTTP to the control plane, and to where it says that uploads go: TLS verified, no redirects, proxies or cookies.

Every exchange has one deadline, and a limit on what is read. Bodies are never decompressed: a small answer can't grow.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from edge_agent.control.exchange import MAX_ERROR_BYTES, HttpAnswer, HttpCall, raise_for
from twokeys.errors import InvalidInput, Refused, Unavailable

MAX_CONNECTIONS: Final = 64
"""Connections at once; further calls wait for one within their own deadline."""

MAX_HEADER_BYTES: Final = 16 * 1024
"""Longest header line of an answer."""

UPLOAD_CHUNK_BYTES: Final = 256 * 1024


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
        try:
            context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
        except (OSError, ssl.SSLError) as error:
            raise InvalidInput(
                f"The authorities in {ca_file} can't be read ({error}).",
                not_done="The edge was not started.",
                code="bad_ca_file",
            ) from error
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=MAX_CONNECTIONS, ssl=context),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect_seconds),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            max_line_size=MAX_HEADER_BYTES,
            max_field_size=MAX_HEADER_BYTES,
            headers={"Accept-Encoding": "identity", "User-Agent": "twokeys-edge"},
        )
        # aiohttp sends a GET or PUT again by itself when a kept connection breaks. The control plane would see the
        # same nonce twice, which is an attack; who calls decides what is tried again. There is no public switch.
        self._session._retry_connection = False

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
                self._upload_url(url),
                {**headers, "Content-Length": str(size)},
                _chunks(descriptor, size),
                seconds,
                MAX_ERROR_BYTES,
            )
        finally:
            os.close(descriptor)
        return _taken(answer)

    async def put_bytes(self, url: str, headers: Mapping[str, str], data: bytes, seconds: float) -> bool:
        """Upload bytes, once. As `put_file`."""
        return _taken(await self._send("PUT", self._upload_url(url), headers, data, seconds, MAX_ERROR_BYTES))

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    def _upload_url(self, url: str) -> str:
        """Uploads go to https, or back to the control plane itself; a relative address is below it."""
        if url.startswith("/"):
            return self._base + url
        there, here = urlsplit(url), urlsplit(self._base)
        if there.scheme != "https" and (there.scheme, there.netloc) != (here.scheme, here.netloc):
            raise Refused(
                "An upload was sent to an address without TLS.", not_done="Nothing was uploaded.", code="bad_upload_url"
            )
        return url

    async def _send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | AsyncIterator[bytes],
        seconds: float,
        limit: int,
    ) -> HttpAnswer:
        try:
            async with (
                asyncio.timeout(seconds),
                self._session.request(
                    method,
                    URL(url, encoded=True),
                    headers=dict(headers),
                    data=body or None,
                    allow_redirects=False,
                    skip_auto_headers=("Content-Type",),
                ) as answer,
            ):
                return HttpAnswer(
                    answer.status,
                    {name.lower(): value for name, value in answer.headers.items()},
                    await _read(answer.content, limit),
                )
        except TimeoutError as error:
            raise _away("it did not answer in time") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _away(str(error) or type(error).__name__) from error


async def _read(content: aiohttp.StreamReader, limit: int) -> bytes:
    data = bytearray()
    while chunk := await content.readany():
        data += chunk
        if len(data) > limit:
            raise Unavailable(
                f"The control plane's answer is over {limit} bytes.", not_done="It was not used.", code="bad_answer"
            )
    return bytes(data)


async def _chunks(descriptor: int, size: int) -> AsyncIterator[bytes]:
    """At most `size` bytes of a file, read off the loop."""
    at = 0
    while at < size:
        chunk = await asyncio.to_thread(os.pread, descriptor, min(UPLOAD_CHUNK_BYTES, size - at), at)
        if not chunk:
            return
        at += len(chunk)
        yield chunk


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
