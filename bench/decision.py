"""From a POSTed approval to the changed row, as another connection sees it; spend included. Wanted: p50 ≤ 50 ms."""

from __future__ import annotations

import os
import threading
import time

import psycopg

from bench.figures import deployed, summary
from tests.support.deployment import Deployment

COUNT = int(os.environ.get("BENCH_DECISIONS", "30"))


def main() -> None:
    """Measure and print."""
    with deployed() as whole, psycopg.connect(whole.postgres.admin_dsn, autocommit=True) as watcher:
        times = [one(whole, watcher, at) for at in range(COUNT)]
        print("decision posted → row changed: " + summary(times))


def one(whole: Deployment, watcher: psycopg.Connection, at: int) -> float:
    """One held UPDATE, in milliseconds."""
    status = f"{at}.25"

    def write() -> None:
        with psycopg.connect(whole.dsn, autocommit=True) as caller:
            caller.execute(f"UPDATE shop.orders SET total = {status} WHERE id = 1")

    writer = threading.Thread(target=write)
    writer.start()
    request = whole.one_pending()
    begun = time.perf_counter()
    answer = whole.vote("rob", request, approve=True)
    assert answer.status == 200, answer
    while True:
        row = watcher.execute("SELECT total::text FROM shop.orders WHERE id = 1").fetchone()
        if row is not None and row[0] == status:
            break
    elapsed = (time.perf_counter() - begun) * 1000
    writer.join()
    return elapsed
