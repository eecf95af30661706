"""What one session appends to the journal: who and where in every header, and its own data key for bodies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from edge_agent.door import facts_alike
from edge_agent.protocols.postgres.door import Judgement
from edge_agent.protocols.postgres.events import Forwarded
from edge_agent.recorder.bodies import SessionKey
from edge_agent.recorder.header import Form
from edge_agent.recorder.journal import Journal
from twokeys.caller import Caller
from twokeys.digest import sha256
from twokeys.record import RecordType

MAX_FORMS: Final = 512
"""Headers that one session keeps spelled."""

_encode = msgspec.json.Encoder().encode


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
        self._forms: dict[int, tuple[Judgement, Form | None]] = {}
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

    def command(self, forwarded: Forwarded) -> None:
        """Append that a read or transaction control is forwarded. Raises Unavailable: then it must not be."""
        judgement, protocol, text, bind = forwarded
        body: dict[str, object] = {"protocol": protocol.value, "text": text}
        if bind is not None:
            body["bind"] = bind
        form, digest = self._form(judgement), sha256(text)
        if form is not None:
            self._journal.append_form(form, digest, _encode(body), self._key)
            return
        header = {**self._who, **facts_alike(judgement), "text_digest": digest, "type": RecordType.COMMAND.value}
        self._journal.append(header, _encode(body), self._key)

    def _form(self, judgement: Judgement) -> Form | None:
        """Its header, spelled and kept when it comes for the second time."""
        known = self._forms.get(id(judgement))
        # An id comes again for another Judgement once this one is gone.
        again = known is not None and known[0] is judgement
        if known is not None and again and known[1] is not None:
            return known[1]
        header = {**self._who, **facts_alike(judgement), "type": RecordType.COMMAND.value}
        form = self._journal.form(header) if again else None
        if len(self._forms) >= MAX_FORMS:
            self._forms.clear()
        self._forms[id(judgement)] = (judgement, form)
        return form

    async def append_durable(self, kind: RecordType, fields: Mapping[str, object], body: bytes | None = None) -> None:
        """Append; the Record survives a power cut when this returns. Raises Unavailable."""
        await self._journal.synced(self.append(kind, fields, body))
