"""Run the benches that are named, or all."""

from __future__ import annotations

import importlib
import sys
from typing import Final

ALL: Final = (
    "throughput", "workers", "rows", "decision", "expiry", "holds", "idle", "idle_connections", "startup", "requests",
    "packing", "cost",
)  # fmt: skip


def main(names: list[str]) -> int:
    """Run them in turn; an unknown name is said."""
    unknown = sorted(set(names) - set(ALL))
    if unknown:
        print(f"There is no bench named {unknown[0]!r}. There are: {', '.join(ALL)}.")
        return 2
    for name in names or ALL:
        print(f"\n== {name}", flush=True)
        importlib.import_module(f"bench.{name}").main()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
