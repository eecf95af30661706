"""What one session appends to the journal: who and where in every header, and its own data key for bodies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from edge_agent.door import facts_alike
from edge_agent.protocols.postgres.door import Judgement
from edge_agent.protocols.postgres.events import Forwarded, Written
from edge_agent.protocols.postgres.passage import Passage
from edge_agent.recorder.bodies import SessionKey
from edge_agent.recorder.header import Form, Line, ResultForm
from edge_agent.recorder.journal import Journal
from twokeys.caller import Caller
from twokeys.command import QueryProtocol
from twokeys.digest import MAX_INTEGER, sha256
from twokeys.record import RecordType

MAX_FORMS: Final = 512
"""Headers that one session keeps spelled."""

DONE: Final = "done"
"""The outcome of a write that was committed."""

_COUNTED: Final = {"rows", "xid"}

_SEEN: Final = object()
"""Of a Passage that was recorded once."""

_encode = msgspec.json.Encoder().encode


class Filled:
    """What of a Passage's Record is the same each time: its line, and its body as far as the Bind."""

    __slots__ = ("line", "text")

    def __init__(self, line: Line, text: bytes) -> None:
        self.line, self.text = line, text


@dataclass(frozen=True, slots=True)
class Begun:
    """A write that was recorded: what its result has in common with it.

    Args:
        judgement: Of its text.
        header: Columns of its record, which are its result's too, but for the type.
        text_digest: Of its text.
        forward_seq: Sequence of its record.
    """

    judgement: Judgement
    header: Mapping[str, object]
    text_digest: str
    forward_seq: int


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
        self._forms: dict[tuple[int, RecordType], tuple[Judgement, Mapping[str, object], Form | None]] = {}
        self._results: dict[int, tuple[Judgement, ResultForm | None]] = {}
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

    def passage(self, passage: Passage, bind: bytes | None) -> None:
        """Append that a read goes by the lane. Raises Unavailable: then it must not.

        Args:
            passage: What it runs.
            bind: Its Bind message; None for a simple Query.
        """
        filled = passage.filled
        if filled.__class__ is Filled:
            self._journal.append_line(filled.line, filled.text, bind, self._key)
            return
        self.command(Forwarded(passage.judgement, passage.protocol, passage.text, bind))
        # Most texts of a Query never come again: only for those that do is anything kept.
        passage.filled = self._filled(passage) if filled is _SEEN else _SEEN

    def _filled(self, passage: Passage) -> Filled | None:
        form = self._form(passage.judgement)
        if form is None:
            return None
        text = _encode({"protocol": passage.protocol.value, "text": passage.text})
        if passage.protocol is QueryProtocol.EXTENDED:
            text = text[:-1] + b',"bind":"'
        return Filled(form.of(sha256(passage.text)), text)

    def command(self, forwarded: Forwarded) -> None:
        """Append that a read or transaction control is forwarded. Raises Unavailable: then it must not be."""
        judgement, protocol, text, bind, xid = forwarded
        body: dict[str, object] = {"protocol": protocol.value, "text": text}
        if bind is not None:
            body["bind"] = bind
        form, digest = None if xid else self._form(judgement), sha256(text)
        if form is not None:
            self._journal.append_line(form.of(digest), _encode(body), None, self._key)
            return
        header = self._header(judgement, RecordType.COMMAND) | {"text_digest": digest}
        self._journal.append(header | {"xid": xid} if xid else header, _encode(body), self._key)

    def written(self, write: Written) -> Begun:
        """Append that a write is forwarded, and say what `ended` needs. Raises Unavailable: then it must not be."""
        header, form = self._spelled(write.judgement, RecordType.FORWARD)
        body, digest = _encode(write.command.to_json()), sha256(write.command.text)
        if form is not None:
            self._journal.append_line(form.of(digest), body, None, self._key)
        else:
            self._journal.append({**header, "text_digest": digest}, body, self._key)
        return Begun(write.judgement, header, digest, self._journal.sequence)

    def ended(self, begun: Begun, outcome: str, told: Mapping[str, object]) -> None:
        """Append how such a write ended. Raises Unavailable.

        Args:
            begun: What `written` said.
            outcome: In a word.
            told: Rows, xid, SQLSTATE and reason, where they are known.
        """
        rows, xid = told.get("rows"), told.get("xid")
        if outcome == DONE and told.keys() == _COUNTED and type(rows) is int and rows <= MAX_INTEGER:
            form = self._result_form(begun)
            if form is not None and type(xid) is str and xid.isascii() and xid.isdecimal():
                self._journal.append_result(form, begun.forward_seq, rows, begun.text_digest, xid)
                return
        same = {"text_digest": begun.text_digest, "forward_seq": begun.forward_seq, "outcome": outcome}
        self.append(RecordType.RESULT, {**begun.header, **same, **told})

    def _result_form(self, begun: Begun) -> ResultForm | None:
        """When it comes for the second time."""
        known = self._results.get(id(begun.judgement))
        again = known is not None and known[0] is begun.judgement
        if known is not None and again and known[1] is not None:
            return known[1]
        header = {**begun.header, "type": RecordType.RESULT.value, "outcome": DONE}
        form = self._journal.result_form(header) if again else None
        if len(self._results) >= MAX_FORMS:
            self._results.clear()
        self._results[id(begun.judgement)] = (begun.judgement, form)
        return form

    async def on_disk(self) -> None:
        """Return when all that was appended so far survives a power cut. Raises Unavailable."""
        await self._journal.synced(self._journal.head.sequence)

    def _header(self, judgement: Judgement, kind: RecordType) -> dict[str, object]:
        header = {**self._who, **facts_alike(judgement), "type": kind.value}
        return header | {"in_transaction": True} if kind is RecordType.FORWARD else header

    def _form(self, judgement: Judgement) -> Form | None:
        """Of a read or of transaction control."""
        return self._spelled(judgement, RecordType.COMMAND)[1]

    def _spelled(self, judgement: Judgement, kind: RecordType) -> tuple[Mapping[str, object], Form | None]:
        """A Judgement's header, and, when it comes for the second time, that header spelled: both are kept."""
        key = id(judgement), kind
        known = self._forms.get(key)
        # An id comes again for another Judgement once this one is gone.
        again = known is not None and known[0] is judgement
        if known is not None and again and known[2] is not None:
            return known[1], known[2]
        header = known[1] if known is not None and again else self._header(judgement, kind)
        form = self._journal.form(header) if again else None
        if len(self._forms) >= MAX_FORMS:
            self._forms.clear()
        self._forms[key] = (judgement, header, form)
        return header, form

    async def append_durable(self, kind: RecordType, fields: Mapping[str, object], body: bytes | None = None) -> int:
        """Append; the Record survives a power cut when this returns. Returns its sequence. Raises Unavailable."""
        sequence = self.append(kind, fields, body)
        await self._journal.synced(sequence)
        return sequence
