"""The registry of people, machines, groups and verifiers in SQLite."""

from __future__ import annotations

import sqlite3

import msgspec

from twokeys.bundle import Issuer, Verifier
from twokeys.caller import Caller, CallerKind, Person
from twokeys.errors import Conflict

from ...ports.people import Edit, MachineChange, PersonChange, PersonEntry
from ...ports.records import Note
from .database import Database, raise_bundle_revision
from .records import append


class SqlitePeople:
    """Implements `ports.people.People`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def person(self, person_id: str) -> PersonEntry | None:
        return _person(self._database.read(), person_id)

    def person_of(self, subject: str) -> PersonEntry | None:
        connection = self._database.read()
        row = connection.execute("SELECT person_id FROM accounts WHERE subject = ?", (subject,)).fetchone()
        return _person(connection, row[0] if row else subject)

    def caller(self, caller_id: str) -> Caller | None:
        connection = self._database.read()
        found = _person(connection, caller_id)
        if found is not None:
            return _as_caller(found)
        row = connection.execute("SELECT entry FROM machines WHERE id = ?", (caller_id,)).fetchone()
        return msgspec.json.decode(row[0], type=Caller) if row else None

    def persons(self) -> list[PersonEntry]:
        rows = self._database.read().execute("SELECT entry, revision FROM persons ORDER BY id")
        return [_entry(*row) for row in rows]

    def callers(self) -> list[Caller]:
        machines = self._database.read().execute("SELECT entry FROM machines")
        found = [msgspec.json.decode(entry, type=Caller) for (entry,) in machines]
        return sorted([*found, *(_as_caller(one) for one in self.persons())], key=lambda caller: caller.id)

    def put_person(self, change: PersonChange, editor: str, note: Note) -> PersonEntry:
        person = change.person
        with self._database.write() as connection:
            known = _person(connection, person.id)
            if (known.revision if known else 0) != change.revision:
                raise Conflict("The person was changed meanwhile.", not_done="Nothing was changed.",
                               advice="Look again.", code="revision_moved")  # fmt: skip
            for subject in (person.id, *person.accounts):
                _refuse_taken(connection, subject, person.id)
            revision = change.revision + 1
            connection.execute(
                "INSERT INTO persons VALUES (?, ?, ?) ON CONFLICT (id)"
                " DO UPDATE SET entry = excluded.entry, revision = excluded.revision",
                (person.id, msgspec.json.encode(person), revision),
            )
            connection.execute("DELETE FROM accounts WHERE person_id = ?", (person.id,))
            connection.executemany("INSERT INTO accounts VALUES (?, ?)", [(one, person.id) for one in person.accounts])
            self._edited(connection, editor, change.edits, note)
            found = _person(connection, person.id)
            assert found is not None  # noqa: S101 - it was written just now
            return found

    def put_machine(self, change: MachineChange, editor: str, note: Note) -> None:
        machine = change.machine
        with self._database.write() as connection:
            taken = connection.execute(
                "SELECT 1 FROM persons WHERE id = ?1 UNION SELECT 1 FROM accounts WHERE subject = ?1", (machine.id,)
            ).fetchone()
            if taken or machine.kind is not CallerKind.MACHINE:
                raise Conflict("The id is a person's.", not_done="Nothing was changed.", code="id_taken")
            connection.execute(
                "INSERT INTO machines VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET entry = excluded.entry",
                (machine.id, msgspec.json.encode(machine)),
            )
            self._edited(connection, editor, change.edits, note)

    def edits_since(self, at: int) -> list[Edit]:
        rows = self._database.read().execute("SELECT editor, subject, at FROM edits WHERE at >= ?", (at,))
        return [Edit(editor=editor, subject=subject, at=when) for editor, subject, when in rows]

    def issuers(self) -> list[Issuer]:
        rows = self._database.read().execute("SELECT entry FROM issuers ORDER BY issuer")
        return [msgspec.json.decode(entry, type=Issuer) for (entry,) in rows]

    def put_issuer(self, issuer: Issuer, editor: str, edits: list[str], note: Note) -> None:
        with self._database.write() as connection:
            connection.execute(
                "INSERT INTO issuers VALUES (?, ?) ON CONFLICT (issuer) DO UPDATE SET entry = excluded.entry",
                (issuer.issuer, msgspec.json.encode(issuer)),
            )
            self._edited(connection, editor, edits, note)

    def remove_issuer(self, issuer: str, editor: str, edits: list[str], note: Note) -> bool:
        with self._database.write() as connection:
            if not connection.execute("DELETE FROM issuers WHERE issuer = ?", (issuer,)).rowcount:
                return False
            self._edited(connection, editor, edits, note)
            return True

    def _edited(self, connection: sqlite3.Connection, editor: str, edits: list[str], note: Note) -> None:
        now = self._database.clock.now()
        log_edits(connection, editor, edits, now)
        raise_bundle_revision(connection)
        append(connection, note, now)

    def put_verifier(self, verifier: Verifier, note: Note) -> None:
        with self._database.write() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO verifiers VALUES (?, ?, ?)",
                (verifier.caller, verifier.target, verifier.verifier),
            )
            raise_bundle_revision(connection)
            append(connection, note, self._database.clock.now())

    def verifiers(self, targets: list[str]) -> list[Verifier]:
        wanted = set(targets)
        rows = self._database.read().execute("SELECT caller, target, verifier FROM verifiers ORDER BY caller, target")
        return [Verifier(caller=one, target=target, verifier=text) for one, target, text in rows if target in wanted]


def log_edits(connection: sqlite3.Connection, editor: str, subjects: list[str], now: int) -> None:
    """Log edits, and raise the editor's revision: a vote of theirs that was judged before does not count any more."""
    if not subjects:
        return
    connection.executemany("INSERT INTO edits VALUES (?, ?, ?)", [(editor, subject, now) for subject in subjects])
    connection.execute("UPDATE persons SET revision = revision + 1 WHERE id = ?", (editor,))


def _person(connection: sqlite3.Connection, person_id: str) -> PersonEntry | None:
    row = connection.execute("SELECT entry, revision FROM persons WHERE id = ?", (person_id,)).fetchone()
    return _entry(*row) if row else None


def _entry(data: bytes, revision: int) -> PersonEntry:
    return PersonEntry(person=msgspec.json.decode(data, type=Person), revision=revision)


def _as_caller(entry: PersonEntry) -> Caller:
    return Caller(entry.person.id, CallerKind.PERSON, groups=entry.person.groups)


def _refuse_taken(connection: sqlite3.Connection, subject: str, person_id: str) -> None:
    taken = connection.execute(
        "SELECT 1 FROM accounts WHERE subject = ?1 AND person_id != ?2 UNION SELECT 1 FROM persons"
        " WHERE id = ?1 AND id != ?2 UNION SELECT 1 FROM machines WHERE id = ?1",
        (subject, person_id),
    ).fetchone()
    if taken:
        raise Conflict(f"The subject {subject} is somebody else's already.", not_done="Nothing was changed.",
                       code="id_taken")  # fmt: skip
