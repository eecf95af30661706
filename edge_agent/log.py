"""What an Edge tells whoever runs it: one line of JSON for each thing that happened."""

from __future__ import annotations

import json
import sys


def log(event: str, **fields: object) -> None:
    """One line of JSON on standard error: what happened, never a command's text or a row."""
    print(json.dumps({"event": event, **fields}), file=sys.stderr, flush=True)
