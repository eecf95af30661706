"""The application behind a real socket: waitress, and Chalice's local gateway in between.

    PUT /uploads/…     streamed to a file by `Uploads`, as long as its ticket says
    everything else    at most MAX_BODY_BYTES, to the Chalice application

The trap: `app.current_request` is one attribute of the application. Without the thread-local class that `chalice
local` uses, a request served by one thread is seen by all: another caller's body, another person's token.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import waitress.server
from aws_lambda_powertools import Logger
from chalice.app import Chalice
from chalice.config import Config
from chalice.local import LocalChalice, LocalGateway, LocalGatewayException
from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser

from twokeys.edge_call import TIME_HEADER
from twokeys.messages import MAX_BODY_BYTES

from ...ports.clock import Clock
from .tickets import PREFIX
from .uploads import Uploads

MAX_HEADER_BYTES: Final = 32 * 1024
"""Longest header of a request: a Bearer token and a signed call fit several times."""

LAMBDA_SECONDS: Final = 60
"""What the application believes it has; the longest poll takes 20."""

_FORBIDDEN: Final = frozenset({"content-length", "connection", "transfer-encoding"})

StartResponse = Callable[[str, list[tuple[str, str]]], object]
Environ = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Server:
    """Where and how it listens."""

    host: str = "127.0.0.1"
    port: int = 0
    threads: int = 64


def make_thread_safe(app: Chalice) -> None:
    """Keep `current_request` for each thread."""
    if not isinstance(app, LocalChalice):
        app.__class__ = type("ThreadSafeChalice", (LocalChalice, type(app)), {})


class Gateway:
    """The WSGI application (PEP 3333)."""

    def __init__(self, app: Chalice, uploads: Uploads, clock: Clock, logger: Logger) -> None:
        make_thread_safe(app)
        self._gateway = LocalGateway(app, Config.create(chalice_app=app, lambda_timeout=LAMBDA_SECONDS))
        self._uploads, self._clock, self._logger = uploads, clock, logger

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        uri, method = str(environ["REQUEST_URI"]), str(environ["REQUEST_METHOD"])
        if method == "PUT" and uri.startswith(PREFIX):
            status, headers, body = self._uploads.receive(uri, environ["wsgi.input"])
        else:
            status, headers, body = self._answer(method, uri, environ)
        if TIME_HEADER.lower() not in {name.lower() for name, _ in headers}:
            headers.append((TIME_HEADER, str(self._clock.now())))
        # What is logged names no person, no text and no token: method, path and status.
        self._logger.debug("answered", method=method, path=uri.partition("?")[0][:256], status=status)
        headers.append(("Content-Length", str(len(body))))
        start_response(f"{status} {_phrase(status)}", headers)
        return [body]

    def _answer(self, method: str, uri: str, environ: Environ) -> tuple[int, list[tuple[str, str]], bytes]:
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(length) if length else b""
        try:
            answer = self._gateway.handle_request(method, uri, _headers(environ), body)
        except LocalGatewayException as error:
            return _refused(int(error.CODE))
        except (ValueError, KeyError, UnicodeError):
            return _refused(HTTPStatus.BAD_REQUEST)
        several = answer.get("multiValueHeaders") or {}
        names = {name.lower() for name in several} | _FORBIDDEN
        headers = [(name, str(value)) for name, value in answer["headers"].items() if name.lower() not in names]
        headers += [
            (name, str(value)) for name, values in several.items() for value in values if name.lower() not in _FORBIDDEN
        ]
        data = answer["body"]
        return int(answer["statusCode"]), headers, data.encode() if isinstance(data, str) else bytes(data or b"")


def make_server(gateway: Gateway, uploads: Uploads, where: Server) -> waitress.server.TcpWSGIServer:
    """A server that listens; `run` serves, and `effective_port` says where."""
    server = waitress.server.create_server(
        gateway,
        host=where.host,
        port=where.port,
        threads=where.threads,
        connection_limit=max(200, 4 * where.threads),
        backlog=512,
        ident="",
        max_request_header_size=MAX_HEADER_BYTES,
        max_request_body_size=MAX_BODY_BYTES + 1,
        channel_timeout=60,
        asyncore_use_poll=True,
    )
    server.channel_class = _channel_class(uploads)
    return server


def _channel_class(uploads: Uploads) -> type[HTTPChannel]:
    class Parser(HTTPRequestParser):  # type: ignore[misc]
        """Knows before the first byte of a body how long it may be."""

        adj: Adjustments

        def parse_header(self, header_plus: bytes) -> None:
            super().parse_header(header_plus)
            if self.command == "PUT" and self.request_uri.startswith(PREFIX):
                longer = Adjustments()
                vars(longer).update(vars(self.adj))
                longer.max_request_body_size = uploads.length(self.request_uri) + 1
                self.adj = longer

    class Channel(HTTPChannel):  # type: ignore[misc]
        """A connection with that parser."""

        parser_class = Parser

    return Channel


def _headers(environ: Environ) -> dict[str, str]:
    headers = {key[5:].replace("_", "-").lower(): str(value) for key, value in environ.items() if key[:5] == "HTTP_"}
    if environ.get("CONTENT_TYPE"):
        headers["content-type"] = str(environ["CONTENT_TYPE"])
    headers.setdefault("accept", "*/*")
    return headers


def _refused(status: int) -> tuple[int, list[tuple[str, str]], bytes]:
    """The gateway's own refusals in our words: it says 403 for a path that does not exist, as API Gateway does."""
    found = {403: (404, "not_found", "There is no such page."), 405: (405, "bad_method", "That can't be done there.")}
    code, word, happened = found.get(status, (400, "bad_request", "The request can't be read."))
    body = {"code": word, "happened": happened, "not_done": "Nothing was done."}
    return code, [("Content-Type", "application/json"), ("Cache-Control", "no-store")], json.dumps(body).encode()


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Other"
