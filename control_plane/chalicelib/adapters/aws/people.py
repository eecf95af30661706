"""The registry of people, machines, groups, issuers and verifiers in DynamoDB.

    PEOPLE / PERSON#<id>, MACHINE#<id>     who there is          ACCOUNT#<subject>     whose a subject is: one holder

Each change is read, judged and written on the condition that what was read still stands; when it does not, all of it
is judged anew. So a refusal always comes from what is there, never from guessing which condition failed.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

from twokeys.bundle import Issuer, Verifier
from twokeys.caller import Caller, CallerKind, Person
from twokeys.errors import Conflict, InvalidInput, Unavailable

from ...ports.clock import Clock
from ...ports.people import Edit, MachineChange, PersonChange, PersonEntry
from ...ports.records import Note
from .records import outbox
from .table import TTL, Action, Check, ConditionFailed, Delete, Item, Key, Put, Table, Update

EDIT_KEPT_MILLISECONDS: Final = 48 * 3_600_000
"""After which DynamoDB may drop an edit; `MAX_EDIT_SECONDS` is less."""

MAX_ATTEMPTS: Final = 8
"""How often a change is judged anew that others overtook."""

MAX_ACCOUNTS: Final = 40
"""Most accounts of a person here: old and new ones must fit into one transaction."""

MAX_SUBJECT_BYTES: Final = 900
"""Longest id that is looked up: a sort key has at most 1,024 bytes. What is longer is nobody's."""

PEOPLE: Final = "PEOPLE"
ISSUERS: Final = "ISSUERS"
EDITS: Final = "EDITS"

_Answer = TypeVar("_Answer")


class DynamoPeople:
    """Implements `ports.people.People`."""

    def __init__(self, table: Table, clock: Clock) -> None:
        self._table, self._clock = table, clock

    def person(self, person_id: str) -> PersonEntry | None:
        item = self._table.get(person_key(person_id)) if _can_be_asked(person_id) else None
        return _entry(item) if item else None

    def person_of(self, subject: str) -> PersonEntry | None:
        holder = self._table.get(_account_key(subject)) if _can_be_asked(subject) else None
        if holder is None or holder["kind"] == CallerKind.MACHINE:
            return None
        found = self.person(holder["holder"])
        # Unlinked between the two reads: nobody's.
        return found if found and found.person.is_same_human(subject) else None

    def caller(self, caller_id: str) -> Caller | None:
        found = self.person(caller_id)
        if found is not None:
            return _as_caller(found)
        item = self._table.get(_machine_key(caller_id)) if _can_be_asked(caller_id) else None
        return _machine(item) if item else None

    def persons(self) -> list[PersonEntry]:
        return [_entry(item) for item in self._table.query(PEOPLE, "PERSON#")]

    def callers(self) -> list[Caller]:
        items = self._table.query(PEOPLE)
        found = [_as_caller(_entry(one)) if one["sk"].startswith("PERSON#") else _machine(one) for one in items]
        return sorted(found, key=lambda caller: caller.id)

    def put_person(self, change: PersonChange, editor: str, note: Note) -> PersonEntry:
        person = change.person
        subjects = {person.id, *person.accounts}
        if len(subjects) > MAX_ACCOUNTS:
            raise InvalidInput(f"A person has more than {MAX_ACCOUNTS} accounts.", not_done="Nothing was changed.",
                               code="bad_person")  # fmt: skip

        def attempt() -> PersonEntry:
            known = self.person(person.id)
            if (known.revision if known else 0) != change.revision:
                raise Conflict("The person was changed meanwhile.", not_done="Nothing was changed.",
                               advice="Look again.", code="revision_moved")  # fmt: skip
            for subject in sorted(subjects):
                holder = self._table.get(_account_key(subject))
                if holder is not None and (holder["holder"] != person.id or holder["kind"] == CallerKind.MACHINE):
                    raise Conflict(f"The subject {subject} is somebody else's already.",
                                   not_done="Nothing was changed.", code="id_taken")  # fmt: skip
            gone = set(known.person.accounts if known else ()) - subjects
            own_edit = bool(change.edits) and editor == person.id
            entry = PersonEntry(person=person, revision=change.revision + (2 if own_edit else 1))
            now = self._clock.now()
            self._table.write(
                _put_entry(entry, change.revision),
                *(_hold(one, person.id, CallerKind.PERSON) for one in sorted(subjects)),
                *(_release(one, person.id) for one in sorted(gone)),
                *edit_actions(self._table, "" if own_edit else editor, editor, change.edits, now),
                raised_bundle(),
                outbox(note, now),
            )
            return entry

        return judged_anew(attempt)

    def put_machine(self, change: MachineChange, editor: str, note: Note) -> None:
        machine = change.machine

        def attempt() -> None:
            holder = self._table.get(_account_key(machine.id))
            taken = holder is not None and holder["kind"] != CallerKind.MACHINE
            if taken or machine.kind is not CallerKind.MACHINE:
                raise Conflict("The id is a person's.", not_done="Nothing was changed.", code="id_taken")
            key, now = _machine_key(machine.id), self._clock.now()
            self._table.write(
                Put({"pk": key.pk, "sk": key.sk, "entry": msgspec.json.encode(machine)}),
                _hold(machine.id, machine.id, CallerKind.MACHINE),
                *edit_actions(self._table, editor, editor, change.edits, now),
                raised_bundle(),
                outbox(note, now),
            )

        judged_anew(attempt)

    def edits_since(self, at: int) -> list[Edit]:
        items = self._table.query(EDITS, between=(f"{max(at, 0):015d}", "~"))
        return [
            Edit(editor=item["editor"], subject=subject, at=item["at"])
            for item in items
            for subject in item["subjects"]
        ]

    def issuers(self) -> list[Issuer]:
        return [msgspec.json.decode(item["entry"], type=Issuer) for item in self._table.query(ISSUERS)]

    def put_issuer(self, issuer: Issuer, editor: str, edits: list[str], note: Note) -> None:
        def attempt() -> None:
            now = self._clock.now()
            self._table.write(
                Put({"pk": ISSUERS, "sk": issuer.issuer, "entry": msgspec.json.encode(issuer)}),
                *edit_actions(self._table, editor, editor, edits, now),
                raised_bundle(),
                outbox(note, now),
            )

        judged_anew(attempt)

    def remove_issuer(self, issuer: str, editor: str, edits: list[str], note: Note) -> bool:
        key = Key(ISSUERS, issuer)

        def attempt() -> bool:
            if not _can_be_asked(issuer) or self._table.get(key) is None:
                return False
            now = self._clock.now()
            self._table.write(
                Delete(key, "attribute_exists(pk)"),
                *edit_actions(self._table, editor, editor, edits, now),
                raised_bundle(),
                outbox(note, now),
            )
            return True

        return judged_anew(attempt)

    def put_verifier(self, verifier: Verifier, note: Note) -> None:
        item = {"pk": f"TARGET#{verifier.target}", "sk": f"VERIFIER#{verifier.caller}", "verifier": verifier.verifier}
        self._table.write(Put(item), raised_bundle(), outbox(note, self._clock.now()))

    def verifiers(self, targets: list[str]) -> list[Verifier]:
        found = [
            Verifier(caller=item["sk"].removeprefix("VERIFIER#"), target=target, verifier=item["verifier"])
            for target in sorted(set(targets))
            for item in self._table.query(f"TARGET#{target}", "VERIFIER#")
        ]
        return sorted(found, key=lambda one: (one.caller, one.target))


def person_key(person_id: str) -> Key:
    """Where a person is; `revision` is what a decision checks."""
    return Key(PEOPLE, f"PERSON#{person_id}")


def raised_bundle() -> Action:
    """What a Bundle holds has changed; part of the transaction that changes it. The first revision is 1."""
    return Update(
        Key("META", "BUNDLE"), "SET revision = if_not_exists(revision, :one) + :one", values={":one": 1}
    )  # fmt: skip


def edit_actions(table: Table, person_id: str, editor: str, subjects: list[str], now: int) -> list[Action]:
    """Log edits, as one item, and raise the editor's revision: a vote they cast that was judged before is void.

    Args:
        table: Where to look whether the editor is a person.
        person_id: Whose revision rises; empty for nobody's (the transaction raises it already).
        editor: Who edited, as logged.
        subjects: What was edited; nothing is logged for nothing.
        now: The table's clock.
    """
    if not subjects:
        return []
    actions: list[Action] = [
        Put(
            {
                "pk": EDITS, "sk": f"{now:015d}#{secrets.token_hex(10)}", "editor": editor, "subjects": subjects,
                "at": now, TTL: (now + EDIT_KEPT_MILLISECONDS) // 1000,
            }
        )
    ]  # fmt: skip
    if person_id:
        key = person_key(person_id)
        if table.get(key) is None:
            # The bootstrap edits before anybody is registered; whoever registers meanwhile makes this fail.
            actions.append(Check(key, "attribute_not_exists(pk)"))
        else:
            actions.append(Update(key, "ADD revision :one", "attribute_exists(pk)", {":one": 1}))
    return actions


def judged_anew(attempt: Callable[[], _Answer]) -> _Answer:
    """Read, judge and write, again when others changed what was read.

    Raises:
        Unavailable: ``busy`` when they did `MAX_ATTEMPTS` times.
    """
    for _ in range(MAX_ATTEMPTS):
        try:
            return attempt()
        except ConditionFailed:
            continue
    raise Unavailable("Too many changes of the same thing at once.", not_done="Nothing was changed.",
                      advice="Try again shortly.", code="busy")  # fmt: skip


def _put_entry(entry: PersonEntry, seen: int) -> Put:
    key = person_key(entry.person.id)
    item = {"pk": key.pk, "sk": key.sk, "entry": msgspec.json.encode(entry.person), "revision": entry.revision}
    if seen == 0:
        return Put(item, "attribute_not_exists(pk)")
    return Put(item, "revision = :seen", {":seen": seen})


def _hold(subject: str, holder: str, kind: CallerKind) -> Put:
    """Make a subject somebody's, unless it is somebody else's."""
    key = _account_key(subject)
    return Put(
        {"pk": key.pk, "sk": key.sk, "holder": holder, "kind": kind.value},
        "attribute_not_exists(pk) OR (holder = :holder AND kind = :kind)",
        {":holder": holder, ":kind": kind.value},
    )


def _release(subject: str, holder: str) -> Delete:
    return Delete(_account_key(subject), "attribute_not_exists(pk) OR holder = :holder", {":holder": holder})


def _account_key(subject: str) -> Key:
    return Key(f"ACCOUNT#{subject}", "ACCOUNT")


def _machine_key(caller_id: str) -> Key:
    return Key(PEOPLE, f"MACHINE#{caller_id}")


def _can_be_asked(subject: str) -> bool:
    """Whether it can be a key: subjects come from tokens, and DynamoDB refuses some texts."""
    return subject.isprintable() and 0 < len(subject.encode()) <= MAX_SUBJECT_BYTES


def _entry(item: Item) -> PersonEntry:
    return PersonEntry(person=msgspec.json.decode(item["entry"], type=Person), revision=item["revision"])


def _machine(item: Item) -> Caller:
    return msgspec.json.decode(item["entry"], type=Caller)


def _as_caller(entry: PersonEntry) -> Caller:
    return Caller(entry.person.id, CallerKind.PERSON, groups=entry.person.groups)
