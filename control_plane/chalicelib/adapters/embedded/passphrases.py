"""Passphrases of people who are added later, at the embedded issuer alone.

an owner ──hand──▶ one-time code ──(given to the person)──▶ the issuer's page ──take──▶ a new passphrase, shown once

Rules:
  1. No passphrase is made without two Records: who handed a code, and that it was used. The Record comes first.
  2. Whoever uses a code could be its owner: that person approves nothing for the time of an edit.
  3. A code is used once, and a newer one replaces it. A passphrase is random, never chosen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from chalice.app import Blueprint, Response

from twokeys.errors import Conflict, InvalidInput, Unavailable
from twokeys.record import RecordType

from ...pages import render
from ...pages.responses import as_pages, form_fields, page, refuse_foreign_origin
from ...pages.views import PassphraseView
from ...ports.people import People, PersonChange, PersonEntry
from ...routes.answers import answer, answers, person_of
from ...services.notes import note
from ...services.people import refuse_unless_owner
from ...services.people_auth import PeopleAuth
from .issuer_store import IssuerStore

MAX_TRIES: Final = 3
"""How often a change of a person that meets another one is tried."""

_FORM: Final = ["application/x-www-form-urlencoded"]


class Passphrases:
    """Hands codes, and takes them."""

    def __init__(self, store: IssuerStore, people: People, clock: Callable[[], float]) -> None:
        """Args: store: the issuer's. people: the registry, which logs edits. clock: seconds since the epoch."""
        self._store, self._people, self._clock = store, people, clock

    def hand(self, owner: PersonEntry, person_id: str) -> str:
        """A one-time code for a person; the only time it is seen.

        Raises:
            Refused: for whoever is no owner.
            InvalidInput: when there is no such person.
        """
        refuse_unless_owner(owner)
        self._edit(person_id, owner.person.id, f"person:{person_id}", "passphrase code handed")
        return self._store.hand_code(person_id, self._clock())

    def take(self, code: str) -> tuple[str, str]:
        """A code's person and their new passphrase; the only time it is seen.

        Raises:
            InvalidInput: for a code that is none, used, replaced or late, or whose person is gone.
            Unavailable: when it could not be recorded; the code is used up then.
        """
        person_id = self._store.take_handed(code, self._clock())
        if person_id is None:
            raise InvalidInput("This is no code, or it was used, replaced, or is over a day old.",
                               not_done="No passphrase was made.",
                               advice="If you did not use it yourself, tell an auditor. Ask an owner for another.",
                               code="bad_code")  # fmt: skip
        self._edit(person_id, person_id, f"passphrase:{person_id}", "passphrase set")
        return person_id, self._store.set_passphrase(person_id)

    def _edit(self, person_id: str, editor: str, subject: str, outcome: str) -> None:
        """Log an edit with its Record, in one write."""
        record = note(RecordType.CREDENTIAL, person=editor, caller=person_id, caller_kind="person", outcome=outcome)
        for _ in range(MAX_TRIES):
            entry = self._people.person(person_id)
            if entry is None:
                raise InvalidInput("There is no such person.", not_done="Nothing was changed.", code="not_found")
            try:
                change = PersonChange(person=entry.person, revision=entry.revision, edits=[subject])
                self._people.put_person(change, editor, record)
            except Conflict:
                continue
            return
        raise Unavailable("The person is being changed by others.", not_done="Nothing was changed.",
                          advice="Ask for another code.", code="busy")  # fmt: skip


def blueprint(passphrases: Passphrases, people: PeopleAuth, public_url: str) -> Blueprint:
    """The routes: owners ask by the API, people use a page."""
    routes = Blueprint(__name__)

    @routes.route("/v1/people/{person_id}/passphrase", methods=["POST"])
    @answers
    def hand(person_id: str) -> Response:
        owner = person_of(routes.current_request, people)
        code = passphrases.hand(owner, person_id)
        return answer({"id": person_id, "code": code, "page": f"{public_url}/issuer/passphrase"}, 201)

    @routes.route("/issuer/passphrase", methods=["GET"])
    @as_pages
    def form() -> Response:
        return page(render.passphrase(PassphraseView()), 200)

    @routes.route("/issuer/passphrase", methods=["POST"], content_types=_FORM)
    @as_pages
    def take() -> Response:
        request = routes.current_request
        refuse_foreign_origin(request.headers, public_url)
        name, made = passphrases.take(form_fields(request).get("code", "")[:256])
        return page(render.passphrase(PassphraseView(name, made)), 200)

    return routes
