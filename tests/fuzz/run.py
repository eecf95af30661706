"""Fuzz one target by coverage (atheris).

python -m tests.fuzz.run <target> [options of libFuzzer, such as -max_total_time=60]
"""

from __future__ import annotations

import random
import sys

import atheris

with atheris.instrument_imports(include=["edge_agent.protocols", "edge_agent.classify"]):
    from tests.fuzz.targets import SEEDS, TARGETS


def main() -> None:
    """Run until libFuzzer is content, or fail with what it found."""
    name = sys.argv[1]
    target, seeds = TARGETS[name], SEEDS[name]

    def mutate(data: bytes, max_size: int, seed: int) -> bytes:
        chosen = random.Random(seed)
        if not data or chosen.random() < 0.05:
            data = chosen.choice(seeds)
        return bytes(atheris.Mutate(data, max_size))

    atheris.Setup([sys.argv[0], *sys.argv[2:]], target, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
