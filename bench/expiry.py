"""How late an unanswered hold ends, as its caller sees it. Wanted: p99 ≤ 0.2 s past its deadline."""

from __future__ import annotations

import os
import threading
import time

import psycopg

from bench.figures import deployed, summary

COUNT = int(os.environ.get("BENCH_EXPIRIES", "50"))
HOLD_SECONDS = 3


def main() -> None:
    """Measure and print."""
    late: list[float] = []
    with deployed(hold_seconds=HOLD_SECONDS, connections=COUNT) as whole:
        callers = [psycopg.connect(whole.dsn, autocommit=True) for _ in range(COUNT)]

        def wait(caller: psycopg.Connection) -> None:
            told: list[float] = []
            caller.add_notice_handler(lambda _: told.append(time.perf_counter()))
            try:
                caller.execute("UPDATE shop.orders SET status = 'open' WHERE id = 2")
            except psycopg.Error:
                late.append((time.perf_counter() - told[0] - HOLD_SECONDS) * 1000)

        threads = [threading.Thread(target=wait, args=(caller,)) for caller in callers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for caller in callers:
            caller.close()
    print(f"{COUNT} at once, from the notice of the hold to the denial, less {HOLD_SECONDS} s: " + summary(late))
