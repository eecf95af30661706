"""HTTP as a client, against a server that says exactly what the test wants."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from edge_agent.net.http_wire import MAX_HEAD_BYTES, Answer, Body, HttpClient, HttpFailed

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine"


class Server:
    """Answers the n-th request with the n-th script; closes after a script that ends with `CLOSE`."""

    CLOSE = b"<close>"

    def __init__(self, *scripts: bytes, read_all: bool = True) -> None:
        self.scripts, self.read_all = list(scripts), read_all
        self.heard: list[bytes] = []
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while self.scripts:
                head = await reader.readuntil(b"\r\n\r\n")
                length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
                size = int(length[0].split(b":")[1]) if length and self.read_all else 0
                self.heard.append(head + await reader.readexactly(size))
                script = self.scripts.pop(0)
                writer.write(script.removesuffix(self.CLOSE))
                await writer.drain()
                if script.endswith(self.CLOSE):
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.transport.abort()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
            self.ended.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[tuple[HttpClient, str]]:
        """A client, and this server's address."""
        self.ended = asyncio.Event()
        listening = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        client = HttpClient(ssl.create_default_context, 2.0, 4)
        try:
            yield client, f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        finally:
            await client.close()
            listening.close()
            if self.connections:
                await self.ended.wait()


async def _ask(server: Server, *bodies: Body, method: str, path: str) -> list[Answer | HttpFailed]:
    got: list[Answer | HttpFailed] = []
    async with server.running() as (client, address):
        for body in bodies:
            headers = {} if isinstance(body, bytes) else {"Content-Length": "8000000"}
            try:
                async with asyncio.timeout(5):
                    got.append(await client.exchange(method, address + path, headers, body, 100))
            except HttpFailed as error:
                got.append(error)
    return got


def ask(server: Server, *bodies: Body, method: str = "POST", path: str = "/a?b=%2f") -> list[Answer | HttpFailed]:
    return asyncio.run(_ask(server, *(bodies or (b"x",)), method=method, path=path))


def test_a_connection_is_used_again_and_the_target_is_sent_as_it_stands() -> None:
    server = Server(OK, b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nbad\r\n0\r\n\r\n")
    first, second = ask(server, b"x", b"")
    assert first == Answer(200, {"content-length": "4"}, b"fine")
    assert isinstance(second, Answer)
    assert (second.status, second.body) == (404, b"bad")
    assert server.connections == 1
    assert [one.split(b"\r\n")[0] for one in server.heard] == [b"POST /a?b=%2f HTTP/1.1"] * 2
    assert b"Content-Length: 0\r\n" in server.heard[1]


@pytest.mark.parametrize(
    "script",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ncut" + Server.CLOSE,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ncut\r\n" + Server.CLOSE,
        b"HTTP/1.1 200 OK\r\n\r\nas long as it lasts" + Server.CLOSE,
        b"HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n" + b"x" * 101,
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nfine",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 3 * MAX_HEAD_BYTES + b"\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 102 Later\r\n\r\n" * 9,
        b"SSH-2.0-x\r\n\r\n",
        b"" + Server.CLOSE,
    ],
)
def test_whatever_is_no_whole_answer_fails_and_is_not_asked_again(script: bytes) -> None:
    server = Server(script, OK)
    (got,) = ask(server)
    assert isinstance(got, HttpFailed)
    assert len(server.heard) == 1


def test_a_connection_with_more_than_its_answer_is_not_used_again() -> None:
    server = Server(OK + OK, OK)
    first, second = ask(server, b"1", b"2")
    assert isinstance(first, Answer)
    assert isinstance(second, Answer)
    assert (server.connections, len(server.heard)) == (2, 2)


def test_a_connection_that_the_server_closed_is_not_used_again() -> None:
    server = Server(OK + Server.CLOSE, OK)

    async def play() -> list[Answer]:
        async with server.running() as (client, address):
            first = await client.exchange("GET", address, {}, b"", 9)
            await server.ended.wait()
            # The loop hears of the end after the server does.
            await asyncio.sleep(0.05)
            return [first, await client.exchange("GET", address, {}, b"", 9)]

    assert [one.status for one in asyncio.run(play())] == [200, 200]
    assert server.connections == 2


def test_an_answer_before_the_end_of_an_upload_is_heard() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(1000):
            yield b"x" * 8000

    (got,) = ask(Server(b"HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n" + Server.CLOSE, read_all=False), pieces())
    # Whether its answer still gets through when the server resets is up to TCP; what must not be is a success.
    assert isinstance(got, HttpFailed) or got.status == 413


@pytest.mark.parametrize("path", ["/a b", "/a\r\nX: y", "/ä"])
def test_what_can_not_be_a_target_is_not_sent(path: str) -> None:
    server = Server(OK)
    (got,) = ask(server, path=path)
    assert isinstance(got, HttpFailed)
    assert server.heard == []


@pytest.mark.parametrize("url", ["ftp://a/b", "http://", "http://u@127.0.0.1/", "http://127.0.0.1:99999/", "a"])
def test_what_is_no_address_of_http_is_not_asked(url: str) -> None:
    client = HttpClient(ssl.create_default_context, 2.0, 4)
    with pytest.raises(HttpFailed):
        asyncio.run(client.exchange("GET", url, {}, b"", 9))
