"""The compiled twins of hot loops and steps, where they were built; everything works without them.

    mask_rows     edge_agent.mask.rows
    mask_copied   edge_agent.mask.copied_rows, and mask_csv
    run_end       edge_agent.protocols.postgres.framing
    group         edge_agent.protocols.postgres.plain, and complete
    Chain         edge_agent.recorder.chain

Their pure twins are the oracles: tests give both any bytes and want the same. The environment variable `TWOKEYS_PURE`
does without them.
"""

from __future__ import annotations

from types import ModuleType
from typing import Final

_TWINS: Final = frozenset(("mask_rows", "mask_copied", "mask_csv", "run_end", "group", "complete", "Chain"))

compiled: ModuleType | None
"""The module, or None."""

try:
    from edge_agent import _native as compiled
except ImportError:
    compiled = None
if compiled is not None and _TWINS - set(dir(compiled)):
    # It was built in place, of an older source.
    compiled = None
