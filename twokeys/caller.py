"""Who asks and who answers: Callers, Persons and the accounts linked to them.

A subject that is not registered as a person is a machine. A machine has a sponsor, the registered person who
answers for it; without a sponsor it gets no write. The sponsor comes from a verified claim or from our registry,
never from the client.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

from twokeys.errors import InvalidInput

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}")


def checked_id(text: str, noun: str) -> str:
    """Return the id when it is a legal one (1 to 128 of letters, digits and ``._@+-``).

    Raises:
        InvalidInput: otherwise.
    """
    if not _ID.fullmatch(text):
        raise InvalidInput(
            f"The {noun} id is malformed.",
            not_done="It was not used.",
            advice="An id has 1 to 128 letters, digits and . _ @ + -.",
        )
    return text


class CallerKind(enum.StrEnum):
    """A person at a keyboard, or a machine (an AI agent loop, a CI job, a script)."""

    PERSON = "person"
    MACHINE = "machine"


@dataclass(frozen=True, slots=True)
class Caller:
    """An identity on the wire.

    Args:
        id: Stable id, our registry's or the issuer's subject.
        kind: Person or machine.
        sponsor: Id of the person who answers for a machine; empty for a person, and for a machine without one.
        groups: Group names, sorted.
    """

    id: str
    kind: CallerKind
    sponsor: str = ""
    groups: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        checked_id(self.id, "caller")
        if self.sponsor:
            checked_id(self.sponsor, "sponsor")
        if self.kind is CallerKind.PERSON and self.sponsor:
            raise InvalidInput("A person has no sponsor.", not_done="The caller was not built.")
        if list(self.groups) != sorted(set(self.groups)):
            raise InvalidInput("Groups must be sorted and distinct.", not_done="The caller was not built.")

    @property
    def may_request(self) -> bool:
        """Whether anybody answers for a write of this caller."""
        return self.kind is CallerKind.PERSON or bool(self.sponsor)


@dataclass(frozen=True, slots=True)
class Person:
    """A registered human.

    Args:
        id: Stable id.
        email: Where mail about requests goes.
        accounts: Other subjects that are the same human (an issuer's subject, a Slack user, a second login).
        groups: Our groups, sorted.
    """

    id: str
    email: str
    accounts: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()

    def is_same_human(self, subject: str) -> bool:
        """Whether the subject is this person or an account linked to them."""
        return subject == self.id or subject in self.accounts
