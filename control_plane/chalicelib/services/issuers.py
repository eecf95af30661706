"""Issuers whose tokens callers may use at Edges, for owners.

Whoever sets an issuer's keys can make tokens for every caller behind its prefix: it counts as an edit, so that they
can't approve for a day what such a caller asks for.
"""

from __future__ import annotations

import msgspec

from twokeys.bundle import Issuer
from twokeys.digest import sha256
from twokeys.errors import InvalidInput
from twokeys.issuer import checked_issuer
from twokeys.record import RecordType

from ..ports.people import People, PersonEntry
from ..ports.records import Note
from .notes import note
from .people import refuse_unless_owner


class Issuers:
    """Shows and changes them."""

    def __init__(self, people: People) -> None:
        self._people = people

    def listed(self) -> list[Issuer]:
        """All, by name."""
        return self._people.issuers()

    def put(self, owner: PersonEntry, asked: Issuer) -> Issuer:
        """Trust an issuer, or change how; as it is kept.

        Raises:
            Refused: for whoever is no owner.
            InvalidInput: for what can't be used.
            Conflict: when its subjects could be taken for another issuer's.
        """
        refuse_unless_owner(owner)
        known = self._people.issuers()
        before = [one for one in known if one.issuer == asked.issuer]
        issuer = checked_issuer(asked, known)
        edits = sorted({f"issuer:{one.subject_prefix}" for one in (*before, issuer)})
        record = _record(owner, issuer, edits, "issuer_changed" if before else "issuer_added")
        self._people.put_issuer(issuer, owner.person.id, edits, record)
        return issuer

    def remove(self, owner: PersonEntry, name: str) -> None:
        """Trust it no more: new sign-ins end with each Edge's next Bundle. Raises Refused, InvalidInput."""
        refuse_unless_owner(owner)
        known = next((one for one in self._people.issuers() if one.issuer == name), None)
        edits = [] if known is None else [f"issuer:{known.subject_prefix}"]
        if known is None or not self._people.remove_issuer(
            name, owner.person.id, edits, _record(owner, known, edits, "issuer_removed")
        ):
            raise InvalidInput("There is no such issuer.", not_done="Nothing was changed.",
                               advice="See: twokeys issuer list", code="not_found")  # fmt: skip


def _record(owner: PersonEntry, issuer: Issuer, edits: list[str], outcome: str) -> Note:
    said = [
        issuer.issuer,
        f"subjects behind {issuer.subject_prefix}" if issuer.subject_prefix else "bare subjects",
        f"sponsor from {issuer.sponsor_claim}" if issuer.sponsor_claim else "",
        f"groups from {issuer.groups_claim}" if issuer.groups_claim else "",
        "" if issuer.require_nbf else "without nbf",
        f"only {', '.join(issuer.subjects)}" if issuer.subjects else "",
    ]
    return note(
        RecordType.PEOPLE, person=owner.person.id, objects=list(edits), outcome=outcome,
        reason=", ".join(text for text in said if text),
        text_digest=sha256(msgspec.json.encode(issuer, order="deterministic")),
    )  # fmt: skip
