"""Finds recordings and pinned keys on disk, and hands them to `twokeys.verify_chain` in order.

<folder>/keys.json                              {"keys": [PublicKey, …]}
<folder>/seals/dt=YYYY-MM-DD/<segment>.json
<folder>/lines/dt=YYYY-MM-DD/<segment>.jsonl.gz
<folder>/bodies/dt=YYYY-MM-DD/<segment>.bodies
"""

from __future__ import annotations

import json
import mmap
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from twokeys.errors import InvalidInput, TwokeysError, Unavailable
from twokeys.signature import KeyRole, PublicKey
from twokeys.verify_chain import MAX_SEAL_FILE_BYTES, StoredSegment

MAX_KEYS_BYTES: Final = 1024 * 1024
"""Longest key list read."""

SUFFIXES: Final = {"seals": ".json", "lines": ".jsonl.gz", "bodies": ".bodies"}

_SEGMENT: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9._@+-]{0,127})-(\d{12,16})", re.ASCII)
_DAY: Final = re.compile(r"dt=(\d{4}-\d{2}-\d{2})", re.ASCII)


@dataclass(slots=True)
class Found:
    """What lies in a recordings folder.

    Args:
        sources: For each source, its segments' files by first sequence; each file by kind, with its day.
        strange: Files that are no part of a recording, or lie there twice.
    """

    sources: dict[str, dict[int, dict[str, tuple[str, Path]]]] = field(default_factory=dict)
    strange: list[Path] = field(default_factory=list)

    def unsealed(self, source: str) -> list[int]:
        """First sequences of segments at the end that have no seal yet."""
        segments = self.sources[source]
        last = max((first for first, files in segments.items() if "seals" in files), default=0)
        return sorted(first for first in segments if first > last)


def recordings_in(state: Path) -> Path:
    """The recordings folder of a State folder.

    Raises:
        Unavailable: when there is none.
    """
    for candidate in (state / "control" / "recordings", state / "recordings", state):
        if (candidate / "seals").is_dir():
            return candidate
    raise Unavailable(
        f"There are no recordings in {state}.",
        not_done="Nothing was read.",
        advice="Name the state folder with --state, or a copied recordings folder with --folder.",
    )


def scan(folder: Path) -> Found:
    """List a recordings folder by source and sequence; reads names only."""
    found = Found()
    for kind, suffix in SUFFIXES.items():
        if not (folder / kind).is_dir():
            continue
        for path in sorted((folder / kind).glob("*/*")):
            day, name = _DAY.fullmatch(path.parent.name), path.name.removesuffix(suffix)
            segment = _SEGMENT.fullmatch(name)
            # A pipe would keep us waiting for ever, a link would lead elsewhere.
            regular = path.is_file() and not path.is_symlink()
            if day is None or segment is None or not regular or not path.name.endswith(suffix):
                found.strange.append(path)
                continue
            files = found.sources.setdefault(segment[1], {}).setdefault(int(segment[2]), {})
            if kind in files:
                found.strange.append(path)
            files.setdefault(kind, (day[1], path))
    return found


def segments(found: Found, source: str) -> Iterator[StoredSegment]:
    """The segments of one source in order, up to its last seal; large files are mapped, not read."""
    waiting = set(found.unsealed(source))
    for first, files in sorted(found.sources[source].items()):
        if first in waiting:
            return
        days = {day for day, _ in files.values()}
        yield StoredSegment(
            f"{source}-{first:012d}",
            _read(files, "seals"),
            _map(files, "lines"),
            _map(files, "bodies"),
            # Files of one segment under several days are as wrong as one under the wrong day.
            days.pop() if len(days) == 1 else "several days",
        )


def _read(files: Mapping[str, tuple[str, Path]], kind: str) -> bytes | None:
    if kind not in files:
        return None
    with files[kind][1].open("rb") as file:
        return file.read(MAX_SEAL_FILE_BYTES + 1)


def _map(files: Mapping[str, tuple[str, Path]], kind: str) -> bytes | memoryview | None:
    if kind not in files:
        return None
    with files[kind][1].open("rb") as file:
        try:
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        except ValueError:
            return b""


def read_keys(path: Path) -> dict[str, PublicKey]:
    """Read a key list: seal keys by key id.

    Raises:
        Unavailable: when it can't be read.
        InvalidInput: when it is malformed or holds no seal key.
    """
    try:
        data = path.read_bytes()[: MAX_KEYS_BYTES + 1]
    except OSError as error:
        raise Unavailable(
            f"The key list {path} can't be read ({error.strerror}).",
            not_done="Nothing was verified.",
            advice="Name the list of the deployment's public keys with --keys.",
        ) from error
    try:
        value = json.loads(data) if len(data) <= MAX_KEYS_BYTES else None
        entries = value["keys"] if isinstance(value, dict) else value
        keys = [PublicKey.from_json(entry) for entry in entries or ()]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, TwokeysError) as error:
        raise InvalidInput(f"The key list {path} is malformed.", not_done="Nothing was verified.") from error
    seals = {key.key_id: key for key in keys if key.role is KeyRole.SEAL}
    if not seals:
        raise InvalidInput(f"The key list {path} holds no seal key.", not_done="Nothing was verified.")
    return seals
