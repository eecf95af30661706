"""Memory of an Edge for each connection that is signed in and says nothing. Wanted: ≤ 30 kB, for 10,000 of them.

The server is a stub that signs everybody in and answers nothing else: a real one needs some MB for each connection, so
10,000 of them more than 30 GB. The sessions are real: signed in by SCRAM on both sides, recorded, and kept.

Each connection needs two open files of the Edge. Where this user may not open 20,500 (ulimit -Hn), the connections are
divided among as many Edge processes as it takes, each counted by itself.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import resource
import socket
import struct
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, cast

import uvloop

from bench.figures import resident_mib
from edge_agent.config import LimitsSection
from edge_agent.protocols.postgres import encode
from edge_agent.protocols.postgres.scram import PLAIN, ScramClient, ScramServer
from tests.edge_agent.net.edge_in_process import CALLER, PASSWORD, edge_in_process
from tests.support.postgres import RealPostgres
from twokeys.verifier import verifier_of

CONNECTIONS: Final = int(os.environ.get("BENCH_IDLE", "10000"))
AT_ONCE: Final = 32
WARM: Final = 10
"""Connections before memory is first looked at."""

SPARE: Final = 500
"""Open files of a process that are no connections."""

DATABASE: Final = "shop"
UPSTREAM_PASSWORD: Final = "sample-edge-password"
VERIFIER: Final = verifier_of(UPSTREAM_PASSWORD, bytes(16))
REPORTED: Final = {
    "server_version": "18.6",
    "server_encoding": "UTF8",
    "client_encoding": "UTF8",
    "standard_conforming_strings": "on",
    "default_transaction_read_only": "on",
    "integer_datetimes": "on",
    "DateStyle": "ISO, MDY",
    "TimeZone": "UTC",
    "IntervalStyle": "postgres",
    "is_superuser": "off",
    "in_hot_standby": "off",
    "application_name": "",
    "session_authorization": "twokeys_edge",
    "search_path": "shop, public",
}


def main() -> None:
    """Measure and print. BENCH_IDLE is how many."""
    print(measure(CONNECTIONS))


def measure(count: int) -> str:
    """Sign `count` callers in, and say what the Edge's processes grew by."""
    processes = permit(count)
    shares = [count // processes + (at < count % processes) for at in range(processes)]
    spawn = multiprocessing.get_context("spawn")
    answer, said = spawn.Pipe()
    stubs = [spawn.Process(target=serve_stub, args=(said, share), daemon=True) for share in shares]
    edges = []
    try:
        ports = []
        for stub, share in zip(stubs, shares, strict=True):
            stub.start()
            edge = spawn.Process(target=serve_edge, args=(said, int(answer.recv()), share), daemon=True)
            edge.start()
            edges.append(edge)
            ports.append(int(answer.recv()))
        kept = [sign_in(port) for port in ports for _ in range(WARM)]
        before, began = resident(edges), time.monotonic()
        wanted = [port for port, share in zip(ports, shares, strict=True) for _ in range(share - WARM)]
        # Several at once: each waits for the disk, and one flush serves all that wait.
        with ThreadPoolExecutor(AT_ONCE) as some:
            kept += some.map(sign_in, wanted)
        seconds, after = time.monotonic() - began, resident(edges)
        alive = sum(answers(line) for line in kept)
        for one in kept:
            one.close()
        return (
            f"{len(kept)} idle connections after {seconds:.0f} s, {processes} Edge process(es): {before:.0f} -> "
            f"{after:.0f} MiB, {(after - before) * 1048.576 / len(wanted):.1f} kB each; wanted: at most 30 kB; "
            f"{alive} answer when asked"
        )
    finally:
        for process in (*edges, *stubs):
            process.terminate()


def resident(edges: Sequence[SpawnProcess]) -> float:
    """Memory of all Edge processes, in MiB."""
    return sum(resident_mib(edge.pid or 0) for edge in edges)


def answers(line: socket.socket) -> bool:
    """Whether the session still works: what is asked reaches the stub, and its answer the caller."""
    line.sendall(encode.query(b"SELECT 1"))
    return b"a stub" in receive(line, b"E", failing=b"")


def permit(count: int) -> int:
    """Raise the limit of open files for this process and what it starts; returns how many Edge processes are needed."""
    wanted = 2 * count + SPARE
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard == resource.RLIM_INFINITY or hard >= wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return 1
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
    except (OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        return -(-2 * count // (hard - SPARE))
    return 1


def serve_edge(said: Connection, upstream: int, count: int) -> None:
    """Run an Edge before the stub, in this process, until it is ended."""
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    stub = SimpleNamespace(port=upstream, user="twokeys_edge", password=UPSTREAM_PASSWORD, database=DATABASE)
    limits = LimitsSection(max_connections=count + 100, max_starting=1000)
    with (
        tempfile.TemporaryDirectory() as folder,
        edge_in_process(Path(folder), cast(RealPostgres, stub), limits=limits, catalogue_seconds=0) as edge,
    ):
        said.send(edge.port)
        while True:
            time.sleep(60)


def serve_stub(said: Connection, count: int) -> None:
    """Run a server that signs everybody in and answers nothing else, until it is ended."""
    greeting = encode.authentication_ok() + b"".join(
        encode.parameter_status(name, value) for name, value in REPORTED.items()
    )
    greeting += encode.message(b"K", struct.pack("!II", 7, 7)) + encode.ready_for_query(ord("I"))

    class Stub(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = cast(asyncio.Transport, transport)
            self.proof = ScramServer(VERIFIER, genuine=True, nonce="server-nonce-0123456789", binding=None)
            self.step = 0

        def data_received(self, data: bytes) -> None:
            self.step += 1
            match self.step:
                case 1:
                    answer = encode.authentication_sasl([PLAIN])
                case 2:
                    first = data[5:].partition(b"\0")[2][4:]
                    answer = encode.authentication_sasl_continue(self.proof.start(PLAIN, first))
                case 3:
                    answer = encode.authentication_sasl_final(self.proof.finish(data[5:])) + greeting
                case _:
                    answer = encode.error_response("0A000", "a stub") + encode.ready_for_query(ord("I"))
            self.transport.write(answer)

    async def serve() -> None:
        server = await asyncio.get_running_loop().create_server(Stub, "127.0.0.1", 0, backlog=count)
        said.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(serve())


def sign_in(port: int) -> socket.socket:
    """Sign in by SCRAM, and leave the connection idle."""
    line = socket.create_connection(("127.0.0.1", port), 30)
    line.sendall(encode.startup_message({"user": CALLER.id, "database": DATABASE}))
    receive(line, b"R")
    side = ScramClient(PASSWORD, nonce="client-nonce-0123456789", offered=(PLAIN,), binding=None, encrypted=False)
    line.sendall(encode.sasl_initial_response(PLAIN, side.first()))
    line.sendall(encode.sasl_response(side.final(receive(line, b"R")[4:])))
    receive(line, b"Z")
    return line


def receive(line: socket.socket, last: bytes, failing: bytes = b"E") -> bytes:
    """Read messages up to one of this type; returns its body. Fails on an error, unless none is `failing`."""
    while True:
        kind, length = struct.unpack("!cI", exactly(line, 5))
        body = exactly(line, length - 4)
        assert kind != failing, body
        if kind == last:
            return body


def exactly(line: socket.socket, count: int) -> bytes:
    """So many bytes."""
    data: Any = b""
    while len(data) < count:
        more = line.recv(count - len(data))
        assert more, "the Edge closed the connection"
        data += more
    return bytes(data)
