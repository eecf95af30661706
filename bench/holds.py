"""Many holds at once in one control plane and one Edge: memory of each, and that all end. Wanted: ≤ 300 MB each."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import time

import psycopg

from bench.figures import deployed, resident_mib

LONGEST_SECONDS = 300.0
COUNT = int(os.environ.get("BENCH_HOLDS", "1000"))


def main() -> None:
    """Measure and print. Five thousand want a server with as many connections: BENCH_HOLDS=5000."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4 * COUNT + 1000)), hard))
    asyncio.run(measure())


async def measure() -> None:
    limits = f"max_open_requests = {COUNT + 10}\nmax_open_per_caller = {COUNT + 10}\nmax_starting = {COUNT + 10}"
    with deployed(limits=limits, connections=COUNT) as whole:
        before = resident_mib(whole.edge.pid), resident_mib(whole.control.pid)
        gate = asyncio.Semaphore(50)

        waiting = 0
        all_wait = asyncio.Event()

        def told(_: object) -> None:
            nonlocal waiting
            waiting += 1
            if waiting == COUNT:
                all_wait.set()

        async def hold() -> None:
            async with gate:
                caller = await psycopg.AsyncConnection.connect(whole.dsn, autocommit=True)
            caller.add_notice_handler(told)
            try:
                await caller.execute("UPDATE shop.orders SET status = 'open' WHERE id = 3")
            except psycopg.Error:
                return
            finally:
                await caller.close()

        begun = time.perf_counter()
        tasks = [asyncio.create_task(hold()) for _ in range(COUNT)]
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(all_wait.wait(), LONGEST_SECONDS)
        print(f"{waiting} of {COUNT} held after {time.perf_counter() - begun:.1f} s")
        edge, control = resident_mib(whole.edge.pid), resident_mib(whole.control.pid)
        print(f"memory: edge {before[0]:.0f} → {edge:.0f} MiB, control plane {before[1]:.0f} → {control:.0f} MiB")
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
