"""What an Edge tells whoever runs it: one line of JSON for each thing that happened."""

from __future__ import annotations

import json
import sys

_same: dict[str, object] = {}


def say_always(**fields: object) -> None:
    """Fields that each line of this process has from here on: which worker it is."""
    _same.update(fields)


def log(event: str, **fields: object) -> None:
    """One line of JSON on standard error: what happened, never a command's text or a row."""
    print(json.dumps({"event": event, **_same, **fields}), file=sys.stderr, flush=True)
