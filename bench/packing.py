"""What a session waits for while a thread packs a recording: an echo beside it, by the switch interval."""

from __future__ import annotations

import os
import socket
import statistics
import sys
import threading
import time
from typing import Final

from edge_agent.__main__ import SWITCH_SECONDS
from twokeys.record import chained

ROUNDS: Final = 3
ECHOES: Final = 300
PYTHONS_OWN: Final = 0.005
LINE: Final = b"x" * 640


def main() -> None:
    """Measure both in turns, print medians and their ratio."""
    waits: dict[float, list[float]] = {PYTHONS_OWN: [], SWITCH_SECONDS: []}
    before = sys.getswitchinterval()
    try:
        for _ in range(ROUNDS):
            for interval, found in waits.items():
                sys.setswitchinterval(interval)
                found.append(_echo())
    finally:
        sys.setswitchinterval(before)
    slow, quick = (statistics.median(found) for found in waits.values())
    for interval, median in ((PYTHONS_OWN, slow), (SWITCH_SECONDS, quick)):
        print(f"switch interval {interval * 1e3:4.1f} ms: an echo takes {median * 1e3:6.2f} ms while lines are hashed")
    print(f"ratio {slow / quick:.1f}")


def _echo() -> float:
    """Median seconds of one, while another thread chains lines as the packer does."""
    done = threading.Event()
    near, far = socket.socketpair()
    child = os.fork()
    if child == 0:
        near.close()
        while data := far.recv(16):
            far.send(data)
        os._exit(0)
    far.close()
    packer = threading.Thread(target=_chain, args=(done,))
    packer.start()
    took = []
    with near:
        for _ in range(ECHOES):
            begun = time.perf_counter()
            near.send(b"x")
            near.recv(16)
            took.append(time.perf_counter() - begun)
    done.set()
    packer.join()
    os.waitpid(child, 0)
    return statistics.median(took)


def _chain(done: threading.Event) -> None:
    hashed = b"0" * 64
    while not done.is_set():
        for _ in range(1000):
            hashed = chained(hashed, LINE)


if __name__ == "__main__":
    main()
