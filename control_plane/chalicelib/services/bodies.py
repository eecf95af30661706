"""Reading a session's Records with their bodies, for auditors. That it is read is recorded first."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from twokeys.body import KEY_BYTES, decrypt
from twokeys.digest import from_base64, to_base64
from twokeys.errors import Conflict, InvalidInput, Refused, TwokeysError
from twokeys.messages import SessionKey
from twokeys.record import RecordType
from twokeys.segment_files import split_bodies, split_lines, unpack_lines

from ..ports.edges import Edge
from ..ports.people import PersonEntry
from ..ports.recordings import Recordings, Sealed
from ..ports.records import Records
from ..ports.session_keys import KeptKey, SessionKeys
from ..ports.wrapping import Wrapping
from .notes import note

AUDITORS: Final = "auditors"
"""Who may read bodies."""

MAX_PAGE_RECORDS: Final = 200
MAX_PAGE_BYTES: Final = 4 * 1024 * 1024
"""Where a page ends; one longer body still comes whole, alone on its page."""

MAX_SHOWN_BYTES: Final = 8 * 1024 * 1024
"""Longest body in an answer; of a longer one its beginning."""

_AFTER = re.compile(r"([A-Za-z0-9._-]{1,80}):([0-9]{1,16})")


class Bodies:
    """Keeps sessions' keys, and reads."""

    def __init__(self, recordings: Recordings, keys: SessionKeys, wrapping: Wrapping, records: Records) -> None:
        self._recordings, self._keys, self._wrapping, self._records = recordings, keys, wrapping, records

    def keep_key(self, edge: Edge, session: str, message: SessionKey) -> None:
        """Keep a session's wrapped key; one that was erased is taken from its Edge again, and not kept.

        Raises:
            Conflict: when the session has another, or is another Edge's.
        """
        wrapped = from_base64(message.wrapped)
        key = KeptKey(edge_id=edge.edge_id, session=session, wrapping_key_id=message.wrapping_key_id, wrapped=wrapped)
        try:
            self._keys.put(key)
        except Conflict:
            # An Edge that tells it twice must not stop at it: all its later Segments wait for this answer.
            erasure = self._keys.erased(session)
            if erasure is None or erasure.edge_id != edge.edge_id:
                raise

    def page(self, person: PersonEntry, session: str, after: str) -> dict[str, Any]:
        """One page of a session: ``{"records": […], "next": …}``; `next` is empty on the last.

        Raises:
            Refused: for whoever is no auditor.
            InvalidInput: for a cursor that is none of ours.
        """
        if AUDITORS not in person.person.groups:
            raise Refused(f"Only people in {AUDITORS} read recordings.", not_done="Nothing was shown.",
                          code="not_permitted")  # fmt: skip
        cursor = _AFTER.fullmatch(after)
        if after and cursor is None:
            raise InvalidInput("The cursor is none.", not_done="Nothing was shown.", code="bad_cursor")
        start = (cursor[1], int(cursor[2])) if cursor else ("", 0)
        self._records.append(
            note(RecordType.BODY_READ, session=session, person=person.person.id, reason=f"Read after {after or '0'}.")
        )
        records: list[dict[str, Any]] = []
        size, place = 0, ""
        for source, record in self._after(session, start):
            if len(records) >= MAX_PAGE_RECORDS or size >= MAX_PAGE_BYTES:
                return {"records": records, "next": place}
            records.append(record)
            size += len(json.dumps(record))
            place = f"{source}:{record['seq']}"
        return {"records": records, "next": ""}

    def _after(self, session: str, start: tuple[str, int]) -> Iterator[tuple[str, dict[str, Any]]]:
        """Records after a place, with their bodies, Segment by Segment."""
        segments = self._recordings.segments_of(session)
        reached = not start[0]
        reader = self._reader(session)
        for sealed in segments:
            if not reached and sealed.source != start[0]:
                continue
            reached = True
            first = start[1] + 1 if sealed.source == start[0] else 0
            if sealed.last_seq >= first:
                yield from self._segment(sealed, session, first, reader)

    def _segment(
        self, sealed: Sealed, session: str, first: int, reader: AESGCM | dict[str, str]
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        lines = self._recordings.part("lines", sealed.segment)
        bodies = self._recordings.part("bodies", sealed.segment) if sealed.seal.get("bodies_sha256") else None
        frames = split_bodies(bodies) if bodies is not None else iter(())
        for _, line in split_lines(unpack_lines(lines or b"")):
            record = json.loads(line)
            if record.get("session") != session or record["seq"] < first:
                continue
            if "body_sha256" in record:
                # Both files are in the order of the records, so one pass finds each body.
                found = next((frame for frame in frames if frame.sequence >= record["seq"]), None)
                data = found.ciphertext if found is not None and found.sequence == record["seq"] else b""
                record["body"] = _shown(reader, session, record["seq"], data)
            yield sealed.source, record

    def _reader(self, session: str) -> AESGCM | dict[str, str]:
        """The session's cipher, or why there is none."""
        kept = self._keys.get(session)
        if kept is None:
            erasure = self._keys.erased(session)
            if erasure is None:
                return {"unreadable": "The session's key never came."}
            return {"erased": f"The session's key was erased by {erasure.by}."}
        key = self._wrapping.unwrap(kept.wrapping_key_id, kept.wrapped)
        return AESGCM(key) if len(key) == KEY_BYTES else {"unreadable": "The session's key is malformed."}


def _shown(reader: AESGCM | dict[str, str], session: str, sequence: int, data: bytes) -> Any:
    """A body as JSON; what can't be decrypted says so instead of ending the page."""
    if isinstance(reader, dict):
        return reader
    try:
        plain = decrypt(reader, session, sequence, data)
        return json.loads(plain) if len(plain) <= MAX_SHOWN_BYTES else {"beginning": to_base64(plain[:MAX_PAGE_BYTES])}
    except TwokeysError as error:
        return {"unreadable": error.happened}
    except (ValueError, RecursionError):
        return {"bytes": to_base64(plain)}
