"""How late an unanswered hold ends, as its caller sees it. Wanted: p99 ≤ 0.2 s past its deadline."""

from __future__ import annotations

import os
import threading
import time

import psycopg

from bench.figures import deployed, summary

COUNT = int(os.environ.get("BENCH_EXPIRIES", "100"))
HOLD_SECONDS = 3


def main() -> None:
    """Measure and print."""
    late: list[float] = []
    with deployed(hold_seconds=HOLD_SECONDS) as whole:

        def wait() -> None:
            with psycopg.connect(whole.dsn, autocommit=True) as caller:
                begun = time.perf_counter()
                try:
                    caller.execute("UPDATE shop.orders SET status = 'open' WHERE id = 2")
                except psycopg.Error:
                    late.append((time.perf_counter() - begun - HOLD_SECONDS) * 1000)

        threads = [threading.Thread(target=wait) for _ in range(COUNT)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    print(f"{COUNT} at once, from statement sent to denial, less {HOLD_SECONDS} s: " + summary(late))
