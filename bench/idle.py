"""Memory of an Edge that does nothing. Wanted: ≤ 60 MB."""

from __future__ import annotations

from bench.figures import deployed, resident_mib


def main() -> None:
    """Measure and print."""
    with deployed() as whole:
        print(
            f"idle: edge {resident_mib(whole.edge.pid):.0f} MiB, control plane "
            f"{resident_mib(whole.control.pid):.0f} MiB"
        )
