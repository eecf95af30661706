"""An approved write that changed more rows than its Preview counted: nothing of it is left, and its caller is told why.

    forward ─▶ CommandComplete kept back ─▶ as many rows or fewer: as ever
                                         └▶ more, or not told: rolled back, an error in its place

In a pipeline the client has the CommandComplete already; the error follows it, as that of a COMMIT would.
"""

from __future__ import annotations

from edge_agent.gate import Pass
from edge_agent.protocols.postgres import sqlstate
from edge_agent.protocols.postgres.core import Core, Step, refused
from edge_agent.protocols.postgres.events import Ending, Outcome
from edge_agent.protocols.postgres.transaction import Write


def exceeds(permission: Pass, done: Write) -> bool:
    """Whether a write counted more rows than its Pass says; not told is more."""
    most = permission.most_rows
    return most is not None and (done.rows is None or done.rows > most)


def roll_back_excess(core: Core, permission: Pass, done: Write) -> Step:
    """Undo the write with its transaction, or make the client's own transaction fail."""
    changed = "an unknown number of rows was" if done.rows is None else f"{_rows(done.rows)} would have been"
    reason = f"{changed} changed, and {_rows(permission.most_rows or 0)} approved"
    core.effects.append(Outcome(done.ticket, Ending.FAILED, None, sqlstate.LIMIT_EXCEEDED, reason, done.xid))
    core.link.drop_kept()
    yield from refused(
        core, sqlstate.LIMIT_EXCEEDED, f"twokeys: rolled back: {reason}", "The data changed after it was previewed.",
        "Nothing of it is left. Send it again: it is previewed anew, and people are asked about what it does now.",
    )  # fmt: skip


def _rows(count: int) -> str:
    return f"{count} row{'' if count == 1 else 's'}"
