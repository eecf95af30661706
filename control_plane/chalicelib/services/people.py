"""The registry, for owners. Every edit is logged: whoever changes a reviewer group can't use that for a day."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from twokeys.caller import Caller, CallerKind, Person, checked_id
from twokeys.errors import InvalidInput, Refused
from twokeys.record import RecordType

from ..ports.people import MachineChange, People, PersonChange, PersonEntry
from .notes import note

OWNERS: Final = "owners"
"""Who administers."""

MAX_GROUPS: Final = 64
MAX_ACCOUNTS: Final = 16
MAX_EMAIL: Final = 254


@dataclass(frozen=True, slots=True)
class MachineFacts:
    """A machine caller as an owner describes it."""

    id: str
    sponsor: str
    groups: list[str]


class Registry:
    """Shows and changes who there is."""

    def __init__(self, people: People) -> None:
        self._people = people

    def callers(self) -> list[Caller]:
        """Every registered caller."""
        return self._people.callers()

    def persons(self) -> list[PersonEntry]:
        """Every person."""
        return self._people.persons()

    def put_person(self, owner: PersonEntry, person: Person, revision: int) -> PersonEntry:
        """Add or change a person.

        Raises:
            Refused: for whoever is no owner.
            InvalidInput: for what can't be an id, group or address.
            Conflict: when the person changed meanwhile, or an id or account is taken.
        """
        refuse_unless_owner(owner)
        checked_id(person.id, "person")
        for account in person.accounts:
            checked_id(account, "account")
        _check_groups(person.groups)
        if len(person.accounts) > MAX_ACCOUNTS or len(person.email) > MAX_EMAIL or not person.email.isprintable():
            raise InvalidInput("The person has too many accounts, or an address that can't be one.",
                               not_done="Nothing was changed.", code="bad_person")  # fmt: skip
        known = self._people.person(person.id)
        before = known.person if known else Person(person.id, "")
        if OWNERS in before.groups and OWNERS not in person.groups and self._owners() == [person.id]:
            raise Refused("Nobody would be left in owners.", not_done="Nothing was changed.",
                          advice="Make somebody else an owner first.", code="last_owner")  # fmt: skip
        edits = [f"group:{group}" for group in sorted(set(before.groups) ^ set(person.groups))]
        if known is None or before.accounts != person.accounts:
            edits.append(f"person:{person.id}")
        change = PersonChange(person=person, revision=revision, edits=edits)
        by = owner.person.id
        record = note(RecordType.PEOPLE, person=by, caller=person.id, caller_kind="person", objects=edits,
                      outcome="changed" if known else "added")  # fmt: skip
        return self._people.put_person(change, by, record)

    def put_machine(self, owner: PersonEntry, facts: MachineFacts) -> Caller:
        """Add or change a machine caller; its sponsor must be a registered person. Raises as `put_person`."""
        refuse_unless_owner(owner)
        checked_id(facts.id, "caller")
        _check_groups(facts.groups)
        sponsor = self._people.person_of(facts.sponsor) if facts.sponsor else None
        if sponsor is None:
            raise InvalidInput("A machine's sponsor is a registered person.", not_done="Nothing was changed.",
                               advice="Register the person first.", code="no_sponsor")  # fmt: skip
        machine = Caller(facts.id, CallerKind.MACHINE, sponsor.person.id, tuple(sorted(set(facts.groups))))
        before = self._people.caller(facts.id)
        groups = set(before.groups if before else ()) ^ set(machine.groups)
        edits = [f"group:{group}" for group in sorted(groups)]
        if before is None or before.sponsor != machine.sponsor:
            edits.append(f"person:{machine.id}")
        by = owner.person.id
        record = note(RecordType.PEOPLE, person=by, caller=machine.id, caller_kind="machine",
                      sponsor=machine.sponsor, objects=edits, outcome="changed" if before else "added")  # fmt: skip
        self._people.put_machine(MachineChange(machine=machine, edits=edits), by, record)
        return machine

    def _owners(self) -> list[str]:
        return [entry.person.id for entry in self._people.persons() if OWNERS in entry.person.groups]


def refuse_unless_owner(person: PersonEntry) -> None:
    """Raise Refused for whoever is not in `owners`."""
    if OWNERS not in person.person.groups:
        raise Refused("Only owners do that.", not_done="Nothing was changed.",
                      advice=f"Ask somebody in {OWNERS}.", code="not_permitted")  # fmt: skip


def _check_groups(groups: Iterable[str]) -> None:
    names = list(groups)
    for name in names:
        checked_id(name, "group")
    if len(names) > MAX_GROUPS:
        raise InvalidInput(f"More than {MAX_GROUPS} groups.", not_done="Nothing was changed.", code="bad_groups")
