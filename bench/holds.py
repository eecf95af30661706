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
    with deployed(limits=limits, connections=COUNT) as whole:
        before = resident_mib(whole.edge.pid), resident_mib(whole.control.pid)
        gate = asyncio.Semaphore(50)

        waiting: set[int] = set()
        all_wait = asyncio.Event()
        callers: list[psycopg.AsyncConnection[Any]] = []

        async def hold(number: int) -> None:
            def told(_: object) -> None:
                waiting.add(number)
                if len(waiting) == COUNT:
                    all_wait.set()

            async with gate:
                caller = await psycopg.AsyncConnection.connect(whole.dsn, autocommit=True)
            callers.append(caller)
            caller.add_notice_handler(told)
            try:
                await caller.execute("UPDATE shop.orders SET status = 'open' WHERE id = 3")
            except psycopg.Error:
                return
            finally:
                await caller.close()

        begun = time.perf_counter()
        tasks = [asyncio.create_task(hold(number)) for number in range(COUNT)]
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(all_wait.wait(), LONGEST_SECONDS)
        print(f"{len(waiting)} of {COUNT} held after {time.perf_counter() - begun:.1f} s")
        edge, control = resident_mib(whole.edge.pid), resident_mib(whole.control.pid)
        print(f"memory: edge {before[0]:.0f} → {edge:.0f} MiB, control plane {before[1]:.0f} → {control:.0f} MiB")
        for caller in callers:
            # Hang up: to cancel the task would ask for as many cancels at once.
            with contextlib.suppress(OSError), socket.socket(fileno=os.dup(caller.fileno())) as line:
                line.shutdown(socket.SHUT_RDWR)
        await asyncio.gather(*tasks, return_exceptions=True)
