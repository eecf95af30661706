"""What one session appends to the journal: who and where in every header, and its own data key for bodies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edge_agent.recorder.bodies import SessionKey
from edge_agent.recorder.journal import Journal
from twokeys.caller import Caller
from twokeys.record import RecordType


@dataclass(frozen=True, slots=True)
class SessionFacts:
    """One signed-in session.

    Args:
        id: Session id.
        target: Target id.
        database: Database name.
        caller: Who.
        client: What the client calls itself, unverified.
    """

    id: str
    target: str
    database: str
    caller: Caller
    client: str


class SessionRecords:
    """Appends Records of one session."""

    def __init__(self, journal: Journal, key: SessionKey, facts: SessionFacts) -> None:
        self._journal, self._key = journal, key
        self._who: dict[str, object] = {
            "session": facts.id,
            "target": facts.target,
            "database": facts.database,
            "caller": facts.caller.id,
            "caller_kind": facts.caller.kind.value,
        }
        for name, value in (("sponsor", facts.caller.sponsor), ("client", facts.client[:256])):
            if value:
                self._who[name] = value

    def append(self, kind: RecordType, fields: Mapping[str, object], body: bytes | None = None) -> int:
        """Append; the Record survives the death of this process. Returns its sequence. Raises Unavailable."""
        header = {**self._who, **fields, "type": kind.value}
        return self._journal.append(header, body, self._key if body is not None else None).sequence

    async def append_durable(self, kind: RecordType, fields: Mapping[str, object], body: bytes | None = None) -> None:
        """Append; the Record survives a power cut when this returns. Raises Unavailable."""
        await self._journal.synced(self.append(kind, fields, body))
