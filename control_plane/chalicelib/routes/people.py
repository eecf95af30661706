"""Routes of people, machine callers and credentials."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from chalice.app import Blueprint, Response

from twokeys.caller import CallerKind, Person
from twokeys.messages import Count, Id, IdOrEmpty, Message, Short

from ..ports.people import PersonEntry
from ..services.credentials import Credentials
from ..services.people import MAX_ACCOUNTS, MAX_GROUPS, MachineFacts, Registry
from ..services.people_auth import PeopleAuth
from .answers import answer, answers, body_of, person_of


class CallerBody(Message, frozen=True, kw_only=True):
    """The whole new state of a person or a machine. `revision` is the person's that was seen, 0 for a new one."""

    id: Id
    kind: CallerKind
    email: Short = ""
    accounts: Annotated[list[Id], msgspec.Meta(max_length=MAX_ACCOUNTS)] = []
    groups: Annotated[list[Id], msgspec.Meta(max_length=MAX_GROUPS)] = []
    sponsor: IdOrEmpty = ""
    revision: Count = 0


class CredentialBody(Message, frozen=True, kw_only=True):
    """Whose credential, and where."""

    caller: Id
    target: Id


def blueprint(people: PeopleAuth, registry: Registry, credentials: Credentials) -> Blueprint:
    """The routes."""
    routes = Blueprint(__name__)

    @routes.route("/v1/people", methods=["GET"])
    @answers
    def listed() -> Response:
        person_of(routes.current_request, people)
        machines = [
            {"id": one.id, "kind": one.kind.value, "sponsor": one.sponsor, "groups": list(one.groups)}
            for one in registry.callers()
            if one.kind is CallerKind.MACHINE
        ]
        return answer({"people": [*(_shown(one) for one in registry.persons()), *machines]})

    @routes.route("/v1/people", methods=["POST"])
    @answers
    def put() -> Response:
        owner = person_of(routes.current_request, people)
        asked = body_of(routes.current_request, CallerBody)
        match asked.kind:
            case CallerKind.MACHINE:
                machine = registry.put_machine(owner, MachineFacts(asked.id, asked.sponsor, asked.groups))
                return answer({"id": machine.id, "kind": "machine", "sponsor": machine.sponsor})
            case CallerKind.PERSON:
                person = Person(
                    asked.id, asked.email, tuple(sorted(set(asked.accounts))), tuple(sorted(set(asked.groups)))
                )
                return answer(_shown(registry.put_person(owner, person, asked.revision)))

    @routes.route("/v1/credentials", methods=["POST"])
    @answers
    def mint() -> Response:
        person = person_of(routes.current_request, people)
        asked = body_of(routes.current_request, CredentialBody)
        secret = credentials.mint(person, asked.caller, asked.target)
        return answer({"caller": asked.caller, "target": asked.target, "password": secret}, 201)

    return routes


def _shown(entry: PersonEntry) -> dict[str, Any]:
    person = entry.person
    return {
        "id": person.id, "kind": "person", "email": person.email, "accounts": list(person.accounts),
        "groups": list(person.groups), "revision": entry.revision,
    }  # fmt: skip
