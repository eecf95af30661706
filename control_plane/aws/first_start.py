"""The recorded bootstrap on AWS: the first people, then the starter policy, which puts the deployment in force.

Run once by the owner, with AWS credentials of their own: nobody has a sign-in yet. Cut off half-way it can be run
again with the same people; with a policy in force it refuses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from control_plane.chalicelib.bootstrap import Ports
from control_plane.chalicelib.ports.people import PersonChange
from control_plane.chalicelib.services.notes import note
from twokeys.caller import Person, checked_id
from twokeys.errors import Conflict, InvalidInput, Refused, Unavailable
from twokeys.policy import STARTER_TEXT
from twokeys.record import RecordType
from twokeys.signature import PublicKey

BY: Final = "bootstrap"
"""Who the records name: nobody had a credential yet."""

OWNER_GROUPS: Final = ("auditors", "owners", "reviewers")
REVIEWER_GROUPS: Final = ("reviewers",)


@dataclass(frozen=True, slots=True)
class FirstPerson:
    """A person as the owner names them.

    Args:
        id: Their id here, seen on pages and in records.
        subject: Their `sub` at the issuer.
        email: Where they are told of Requests.
    """

    id: str
    subject: str
    email: str

    def __post_init__(self) -> None:
        checked_id(self.id, "person")
        checked_id(self.subject, "subject")
        local, _, host = self.email.partition("@")
        if not (local and host and self.email.isprintable() and len(self.email) <= 254 and " " not in self.email):
            raise InvalidInput(f"{self.email!r} is no address.", not_done="Nobody was added.", code="bad_person")

    def person(self, groups: tuple[str, ...]) -> Person:
        """As the registry has them."""
        return Person(self.id, self.email, () if self.subject == self.id else (self.subject,), groups)


def read_person(text: str) -> FirstPerson:
    """A person from ``id=subject,email``.

    Raises:
        InvalidInput: otherwise.
    """
    name, _, rest = text.partition("=")
    subject, _, email = rest.partition(",")
    return FirstPerson(name, subject, email)


def bootstrap(
    ports: Ports,
    owner: FirstPerson,
    reviewers: list[FirstPerson],
    publish_keys: Callable[[list[PublicKey]], object] = lambda keys: None,
) -> dict[str, Any]:
    """Put a deployment in force.

    Args:
        ports: Of the deployment.
        owner: Who administers it; may review as well.
        reviewers: Who else may approve.
        publish_keys: Puts the public keys beside the recordings, once; else auditors are told them otherwise.

    Returns:
        What was set up, for the terminal.

    Raises:
        Refused: when it is in force, or holds other people than these.
        InvalidInput: when two of them are one.
        Unavailable: when AWS can't be reached; it can be run again.
    """
    people = [owner.person(OWNER_GROUPS), *(one.person(REVIEWER_GROUPS) for one in reviewers)]
    subjects = [name for person in people for name in (person.id, *person.accounts)]
    if len(set(subjects)) != len(subjects):
        raise InvalidInput("Two of the people have an id or a subject in common.", not_done="Nothing was changed.",
                           advice="Each person is named once.", code="same_person")  # fmt: skip
    _refuse_a_second_time(ports, people)
    for person in people:
        _add(ports, person)
    publish_keys(ports.signer.public_keys())
    record = note(RecordType.BOOTSTRAP, person=BY, outcome="policy", reason="The starter policy.")
    # Last of all: without a policy the deployment opens nothing to anybody.
    try:
        policy = ports.policies.install(STARTER_TEXT, BY, record)
    except Conflict as error:
        raise _in_force() from error
    return {
        "people": [{"id": one.id, "email": one.email, "groups": list(one.groups)} for one in people],
        "policy_revision": policy.revision,
    }


def _refuse_a_second_time(ports: Ports, people: list[Person]) -> None:
    if _is_in_force(ports):
        raise _in_force()
    strangers = [one.person.id for one in ports.people.persons() if one.person not in people]
    if strangers:
        raise Refused(f"There are people already: {', '.join(strangers[:10])}.", not_done="Nothing was changed.",
                      advice="One that was cut off goes on with the same people.", code="other_people")  # fmt: skip


def _is_in_force(ports: Ports) -> bool:
    try:
        ports.policies.current()
    except Unavailable as error:
        if error.code != "no_policy":
            raise
        return False
    return True


def _add(ports: Ports, person: Person) -> None:
    if ports.people.person(person.id) is not None:
        return
    groups = [f"group:{group}" for group in person.groups]
    record = note(
        RecordType.BOOTSTRAP, person=BY, caller=person.id, caller_kind="person", outcome="added", objects=groups
    )
    # What is set up here is nobody's edit: there is nobody yet who could have gained by it.
    ports.people.put_person(PersonChange(person=person, revision=0, edits=[]), BY, record)


def _in_force() -> Refused:
    return Refused("The deployment is in force already.", not_done="Nothing was changed.",
                   advice="Owners add people and propose policies: twokeys people, twokeys policy.",
                   code="bootstrapped")  # fmt: skip
