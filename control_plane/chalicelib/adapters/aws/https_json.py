"""Small JSON over HTTPS, for the issuer: one deadline for the whole answer, a size limit, no redirects, no proxies.

An issuer that hangs, drips or floods must not hold a function until its own time is over.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from twokeys.errors import InvalidInput, Unavailable

ANSWER_SECONDS: Final = 6.0
"""Longest time for connecting, sending and reading together; a sign-in makes at most three calls in 29 s."""

MAX_ANSWER_BYTES: Final = 256 * 1024
"""Longest answer: metadata and keys are a few KB."""

MAX_URL_CHARACTERS: Final = 2048
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Answer:
    """A status and the JSON object that came with it; empty when what came was none."""

    status: int
    body: Mapping[str, Any]


def checked_address(url: str, near: str = "") -> str:
    """An address that may be called: HTTPS, or plain HTTP to this machine when `near` is such an address too.

    Args:
        url: The address.
        near: The issuer that named it, or the address itself when a deployment names it.

    Raises:
        InvalidInput: for every other address.
    """
    parts = urlsplit(url) if len(url) <= MAX_URL_CHARACTERS and url.isascii() and url.isprintable() else urlsplit("")
    usable = bool(parts.hostname) and not parts.fragment and parts.username is None and parts.password is None
    local = _is_local(url) and _is_local(near)
    if not usable or not (parts.scheme == "https" or local):
        raise InvalidInput(f"{url[:200]!r} is no address of an issuer.", not_done="It was not called.",
                           advice="An issuer's addresses begin with https://.", code="bad_issuer")  # fmt: skip
    return url


class HttpsJson:
    """Asks. One connection for each call: calls are rare."""

    def __init__(self, tls: ssl.SSLContext | None = None, seconds: float = ANSWER_SECONDS) -> None:
        """Args: tls: as the default, which verifies by the system's roots; seconds: longest time for one call."""
        self._tls, self._seconds = tls, seconds

    def get(self, url: str) -> Answer:
        """GET an object. Raises Unavailable without a whole answer in time."""
        return self._call("GET", url, None, {})

    def post_form(self, url: str, form: bytes, headers: Mapping[str, str]) -> Answer:
        """POST a form and read an object. Raises Unavailable without a whole answer in time."""
        return self._call("POST", url, form, {"Content-Type": "application/x-www-form-urlencoded", **headers})

    def _call(self, method: str, url: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        parts = urlsplit(url)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        try:
            connection = self._connection(parts.scheme, parts.hostname or "", parts.port)
            with contextlib.closing(connection), _Deadline(connection, self._seconds) as deadline:
                connection.request(method, path, body, {"Accept": "application/json", "Connection": "close", **headers})
                with connection.getresponse() as response:
                    data = response.read(MAX_ANSWER_BYTES + 1)
                deadline.check()
            if len(data) > MAX_ANSWER_BYTES:
                raise ValueError(f"over {MAX_ANSWER_BYTES} bytes")
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise _unavailable(parts.hostname or "", type(error).__name__) from error
        try:
            value = json.loads(data)
        except (ValueError, RecursionError):
            value = {}
        return Answer(response.status, value if isinstance(value, dict) else {})

    def _connection(self, scheme: str, host: str, port: int | None) -> http.client.HTTPConnection:
        if scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=self._seconds)
        if self._tls is None:
            self._tls = ssl.create_default_context()
        return http.client.HTTPSConnection(host, port, timeout=self._seconds, context=self._tls)


class _Deadline:
    """Connects, and ends the connection when its time is over: a socket's own timeout starts anew with each byte."""

    def __init__(self, connection: http.client.HTTPConnection, seconds: float) -> None:
        self._connection = connection
        self._over = threading.Event()
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True
        self._socket: socket.socket | None = None

    def __enter__(self) -> _Deadline:
        self._timer.start()
        try:
            self._connection.connect()
        except BaseException:
            self._timer.cancel()
            raise
        self._socket = self._connection.sock
        self.check()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def check(self) -> None:
        """Raise TimeoutError when the time was over: what was read may be a part."""
        if self._over.is_set():
            raise TimeoutError

    def _end(self) -> None:
        self._over.set()
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)


def _is_local(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "http" and parts.hostname in _LOOPBACK


def _unavailable(host: str, problem: str) -> Unavailable:
    return Unavailable(f"The issuer at {host} does not answer ({problem}).", not_done="Nobody was signed in.",
                       advice="Try again shortly.", code="issuer_unreachable")  # fmt: skip
