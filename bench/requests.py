"""Requests per second that the control plane answers, by 8 callers at once: health, and a signed-in list."""

from __future__ import annotations

import http.client
import threading
import time

from bench.figures import deployed

SECONDS = 4.0
CALLERS = 8


def main() -> None:
    """Measure and print."""
    with deployed() as whole:
        token = whole.token("rob")
        for name, path, headers in (
            ("health", "/healthz", {}),
            ("list of requests", "/v1/requests", {"Authorization": f"Bearer {token}"}),
        ):
            print(f"{name}: {rate(whole.control_port, path, headers):.0f} requests/s")


def rate(port: int, path: str, headers: dict[str, str]) -> float:
    """Answers per second."""
    counts = [0] * CALLERS
    end = time.perf_counter() + SECONDS

    def ask(at: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        while time.perf_counter() < end:
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200, answer.status
            counts[at] += 1
        connection.close()

    threads = [threading.Thread(target=ask, args=(at,)) for at in range(CALLERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / SECONDS
