"""The chains of an Edge: its own, one of each worker, and those of workers that it has no more.

<state_dir>/journal        source ``<edge id>``: of the Edge itself
<state_dir>/journal.w2     source ``<edge id>.w2``: of its second worker
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge_agent.config import EdgeConfig
from edge_agent.control.client import ControlClient, Deadlines
from edge_agent.control.clock import ControlClock
from edge_agent.control.identity import Identity
from edge_agent.net.http import ControlHttp
from edge_agent.recorder.journal import Journal, open_journal
from edge_agent.recorder.uploader import Uploader
from twokeys.edge_call import MAX_WORKERS, source_of
from twokeys.signature import PublicKey

FOLDER: Final = "journal"
_OF_A_WORKER: Final = re.compile(rf"{FOLDER}\.w([1-9][0-9]?)")


@dataclass(frozen=True, slots=True)
class Chain:
    """One chain: where it is written, who speaks for it, and who hands it over."""

    journal: Journal
    client: ControlClient
    uploader: Uploader


@dataclass(frozen=True, slots=True)
class ChainParts:
    """What all chains of an Edge share."""

    config: EdgeConfig
    identity: Identity
    clock: ControlClock
    http: ControlHttp
    keys: Callable[[], Mapping[str, PublicKey]]
    alarm: Callable[[str], None]


def open_chain(parts: ChainParts, worker: int, kind: type[ControlClient] = ControlClient) -> Chain:
    """Open a chain: the Edge's own, or with a number that of a worker. Raises as `open_journal`."""
    config = parts.config
    name = f"{FOLDER}.w{worker}" if worker else FOLDER
    journal = open_journal(
        config.edge.state_dir / name, source_of(parts.identity.edge_id, worker), config.recorder, parts.clock.now,
        parts.keys(),
    )  # fmt: skip
    client = kind(
        parts.identity, parts.http, parts.clock, lambda: journal.durable_head,
        Deadlines(call=config.control.call_seconds), worker,
    )  # fmt: skip
    uploader = Uploader(
        journal, client, parts.http, parts.keys, config.recorder, config.control.upload_seconds, parts.clock.now,
        parts.alarm,
    )  # fmt: skip
    return Chain(journal, client, uploader)


def left_behind(folder: Path, workers: int) -> list[int]:
    """Workers that the Edge has no more and whose chain has Segments that are nowhere else.

    Args:
        folder: The Edge's state folder.
        workers: How many it has.
    """
    used = workers if workers > 1 else 0
    found = (_OF_A_WORKER.fullmatch(path.name) for path in folder.iterdir())
    numbers = sorted(int(match[1]) for match in found if match)
    return [
        number for number in numbers
        if used < number <= MAX_WORKERS and any((folder / f"{FOLDER}.w{number}").glob("*.journal*"))
    ]  # fmt: skip
