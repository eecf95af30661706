"""Reads the committed golden vectors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def vectors(name: str) -> Any:
    """The content of one file in `vectors/`."""
    return json.loads((Path(__file__).parent / "vectors" / f"{name}.json").read_text("utf-8"))
