"""Credentials of callers: random, shown once; only the SCRAM verifier is kept, and travels in the Bundle."""

from __future__ import annotations

import secrets

from twokeys.bundle import Verifier
from twokeys.caller import Caller, checked_id
from twokeys.errors import InvalidInput, Refused
from twokeys.record import RecordType
from twokeys.verifier import SALT_BYTES, mint_verifier

from ..ports.people import People, PersonEntry
from .notes import note
from .people import OWNERS


class Credentials:
    """Mints."""

    def __init__(self, people: People) -> None:
        self._people = people

    def mint(self, person: PersonEntry, caller_id: str, target: str) -> str:
        """Mint a credential for a caller at a target; an older one stops working.

        Raises:
            InvalidInput: when there is no such caller.
            Refused: for whoever is no owner, is not the caller, and does not answer for it.
        """
        checked_id(target, "target")
        caller = self._people.caller(caller_id)
        mine = caller is not None and person.person.is_same_human(caller.sponsor or caller.id)
        if not mine and OWNERS not in person.person.groups:
            raise Refused("You are neither the caller, nor its sponsor, nor an owner.",
                          not_done="No credential was made.", code="not_permitted")  # fmt: skip
        if caller is None:
            raise InvalidInput(f"The caller {caller_id} is not registered.", not_done="No credential was made.",
                               advice="Register it first.", code="unknown_caller")  # fmt: skip
        return self.make(caller, target, person.person.id)

    def make(self, caller: Caller, target: str, by: str) -> str:
        """Mint without asking who may: for the bootstrap."""
        secret = secrets.token_urlsafe(32)
        verifier = mint_verifier(secret, secrets.token_bytes(SALT_BYTES)).to_text()
        record = note(RecordType.CREDENTIAL, person=by, caller=caller.id, caller_kind=caller.kind.value,
                      sponsor=caller.sponsor, target=target, outcome="minted")  # fmt: skip
        self._people.put_verifier(Verifier(caller=caller.id, target=target, verifier=verifier), record)
        return secret
