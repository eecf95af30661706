"""Many holds at once in one control plane and one Edge: memory of each, and that all end. Wanted: ≤ 300 MB each."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import socket
import time
from typing import Any

import psycopg

from bench.figures import deployed, resident_mib

LONGEST_SECONDS = 900.0
COUNT = int(os.environ.get("BENCH_HOLDS", "5000"))


def main() -> None:
    """Measure and print. BENCH_HOLDS is how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4 * COUNT + 1000)), hard))
    asyncio.run(measure())


async def measure() -> None:
    limits = f"max_open_requests = {COUNT + 10}\nmax_open_per_caller = {COUNT + 10}\nmax_starting = {COUNT + 10}"
    limits += f"\nmax_starting_per_address = {COUNT + 10}"
    with deployed(hold_seconds=3600, heartbeat_seconds=20, limits=limits, connections=COUNT) as whole:
        before = resident_mib(whole.edge.pid), resident_mib(whole.control.pid)
        gate = asyncio.Semaphore(50)
        waiting: set[int] = set()
        callers: list[psycopg.AsyncConnection[Any]] = []

        async def hold(number: int) -> None:
            # A crowd grows; five thousand first sentences in the same second would measure a queue.
            async with gate:
                caller = await psycopg.AsyncConnection.connect(whole.dsn, autocommit=True)
                callers.append(caller)
                await _held(caller)
            waiting.add(number)

        begun = time.perf_counter()
        opening = asyncio.gather(*(hold(number) for number in range(COUNT)))
        told = 0
        while len(waiting) < COUNT and time.perf_counter() - begun < LONGEST_SECONDS:
            await asyncio.sleep(1)
            if len(waiting) - told >= 500:
                told = len(waiting)
                print(f"  {told} held after {time.perf_counter() - begun:.0f} s", flush=True)
        await opening
        print(f"{len(waiting)} of {COUNT} held after {time.perf_counter() - begun:.1f} s")
        edge, control = resident_mib(whole.edge.pid), resident_mib(whole.control.pid)
        print(f"memory: edge {before[0]:.0f} → {edge:.0f} MiB, control plane {before[1]:.0f} → {control:.0f} MiB")
        print(f"edge {edge * 1.048576:.0f} MB, control plane {control * 1.048576:.0f} MB; wanted: at most 300 MB each")
        for caller in callers:
            asyncio.get_running_loop().remove_reader(caller.fileno())
            with contextlib.suppress(OSError), socket.socket(fileno=os.dup(caller.fileno())) as line:
                line.shutdown(socket.SHUT_RDWR)
            await caller.close()


async def _held(caller: psycopg.AsyncConnection[Any]) -> None:
    """Send a write until it is held: a control plane that is out of breath denies one now and then."""
    connection, moved = caller.pgconn, asyncio.Event()
    held: list[object] = []

    def told(notice: object) -> None:
        held.append(notice)
        moved.set()

    def read() -> None:
        # Not `execute`: it wakes ten times a second for each connection, and the bench would measure that.
        connection.consume_input()
        if not connection.is_busy():
            moved.set()

    caller.add_notice_handler(told)
    asyncio.get_running_loop().add_reader(caller.fileno(), read)
    while not held:
        moved.clear()
        connection.send_query(b"UPDATE shop.orders SET status = 'open' WHERE id = 3")
        await asyncio.wait_for(moved.wait(), LONGEST_SECONDS)
        while not held and connection.get_result() is not None:
            continue
