"""Who there is: persons with linked accounts, machine callers with sponsors, groups; and who edited them when."""

from __future__ import annotations

from typing import Protocol

import msgspec

from twokeys.bundle import Issuer, Verifier
from twokeys.caller import Caller, Person

from .records import Note


class PersonEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A person, and the revision that each change of them, and each edit by them, raises."""

    person: Person
    revision: int


class Edit(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody changed something that matters to who may approve.

    Args:
        editor: Person id.
        subject: ``group:<name>``, ``person:<id>``, ``policy:<id>``, ``policy:*``, ``issuer:<prefix>`` or
            ``passphrase:<id>``.
        at: Milliseconds since the epoch.
    """

    editor: str
    subject: str
    at: int


class PersonChange(msgspec.Struct, frozen=True, kw_only=True):
    """The whole new state of a person; `revision` is the one seen, 0 for a new one."""

    person: Person
    revision: int
    edits: list[str]


class MachineChange(msgspec.Struct, frozen=True, kw_only=True):
    """The whole new state of a machine caller."""

    machine: Caller
    edits: list[str]


class People(Protocol):
    """The registry. Every change raises the Bundle's revision (`Edges.bundle_revision`)."""

    def person(self, person_id: str) -> PersonEntry | None:
        """A person by id."""

    def person_of(self, subject: str) -> PersonEntry | None:
        """The person whose id or linked account this is."""

    def caller(self, caller_id: str) -> Caller | None:
        """A registered caller, person or machine."""

    def persons(self) -> list[PersonEntry]:
        """Everybody, by id."""

    def callers(self) -> list[Caller]:
        """Every registered caller, persons too, by id."""

    def put_person(self, change: PersonChange, editor: str, note: Note) -> PersonEntry:
        """Add or change a person, and log the edits; the editor's own revision rises too.

        Raises:
            Conflict: when the revision moved, or the id or an account belongs to somebody else.
        """

    def put_machine(self, change: MachineChange, editor: str, note: Note) -> None:
        """Add or change a machine caller. Raises Conflict when its id is a person's or an account's."""

    def edits_since(self, at: int) -> list[Edit]:
        """Edits at or after this time, of people and of policies."""

    def issuers(self) -> list[Issuer]:
        """Issuers whose tokens callers may use at Edges, by name."""

    def put_issuer(self, issuer: Issuer, editor: str, edits: list[str], note: Note) -> None:
        """Trust an issuer, or change how; log the edits (as `put_person`) and raise the editor's own revision."""

    def remove_issuer(self, issuer: str, editor: str, edits: list[str], note: Note) -> bool:
        """Trust an issuer no more; whether it was trusted."""

    def put_verifier(self, verifier: Verifier, note: Note) -> None:
        """Keep a caller's verifier at a target; an older one is replaced."""

    def verifiers(self, targets: list[str]) -> list[Verifier]:
        """The verifiers of these targets."""
