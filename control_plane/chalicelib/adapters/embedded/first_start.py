"""The recorded bootstrap: keys, starter policy, sample people and caller, a token for the first Edge. Runs once."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
from aws_lambda_powertools import Logger

from twokeys.caller import Caller, CallerKind, Person, checked_id
from twokeys.errors import Refused
from twokeys.policy import STARTER_TEXT
from twokeys.record import RecordType

from ...bootstrap import Ports, services
from ...ports.people import MachineChange, PersonChange
from ...services.limits import Limits
from ...services.notes import note
from . import people_site
from .clock import SystemClock
from .deployment import DEPLOYMENT_FILE, Fixed, open_store, read_fixed
from .files import create
from .issuer import set_passphrase
from .keys import make_keys

OWNER: Final = "ann"
EDGE_ID: Final = "edge-1"
MACHINE: Final = "agent-7"
BY: Final = "bootstrap"
"""Who the records name: nobody had a credential yet."""

PEOPLE: Final = (
    Person(OWNER, "ann@example.com", groups=("owners", "reviewers")),
    Person("rob", "rob@example.com", groups=("auditors", "reviewers")),
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a first start is told."""

    public_url: str
    target: str = "sample-db"


def bootstrap(folder: Path, wanted: Wanted) -> dict[str, Any]:
    """Make a deployment.

    Returns:
        What a person needs to go on; its secrets are shown this once.

    Raises:
        Refused: when the folder holds a deployment, or a part of one.
        InvalidInput: for a target that can't be one.
    """
    checked_id(wanted.target, "target")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if read_fixed(folder) is not None or (folder / "store.sqlite").exists():
        raise Refused(f"{folder} holds a deployment already.", not_done="Nothing was changed.",
                      advice="Use an empty folder.", code="bootstrapped")  # fmt: skip
    make_keys(folder / "keys")
    store = open_store(folder, SystemClock(), Logger(service="twokeys-control"), 1)
    try:
        ports = store.ports
        _public_keys(folder, ports)
        ports.policies.install(
            STARTER_TEXT, BY, note(RecordType.BOOTSTRAP, person=BY, outcome="policy", reason="The starter policy.")
        )
        people = _people(folder, ports)
        wired = services(ports, Limits(), lambda stored: None)
        agent = Caller(MACHINE, CallerKind.MACHINE, OWNER)
        password = wired.credentials.make(agent, wanted.target, BY)
        token = wired.enrolment.make_token(EDGE_ID, [wanted.target], BY)
        wired.own_segments.export()
    finally:
        store.close()
    # Last of all: without this file the folder is no deployment.
    create(folder / DEPLOYMENT_FILE, [msgspec.json.encode(Fixed(wanted.public_url))])
    return {
        "public_url": wanted.public_url,
        "people": people,
        "edge": {"edge_id": EDGE_ID, "token": token},
        "credential": {"caller": MACHINE, "target": wanted.target, "password": password},
    }


def _people(folder: Path, ports: Ports) -> list[dict[str, str]]:
    """The sample people and their machine. What is set up here is nobody's edit."""
    passphrases = people_site.issuer_store(folder / "people")
    shown = []
    try:
        for person in PEOPLE:
            ports.people.put_person(
                PersonChange(person=person, revision=0, edits=[]), BY,
                note(RecordType.BOOTSTRAP, person=BY, caller=person.id, caller_kind="person", outcome="added",
                     objects=[f"group:{group}" for group in person.groups]),
            )  # fmt: skip
            shown.append({"id": person.id, "passphrase": set_passphrase(passphrases, person.id)})
    finally:
        passphrases.close()
    ports.people.put_machine(
        MachineChange(machine=Caller(MACHINE, CallerKind.MACHINE, OWNER), edits=[]), BY,
        note(RecordType.BOOTSTRAP, person=BY, caller=MACHINE, caller_kind="machine", sponsor=OWNER, outcome="added"),
    )  # fmt: skip
    return shown


def _public_keys(folder: Path, ports: Ports) -> None:
    """The list that auditors pin."""
    keys = [dict(key.to_json()) for key in ports.signer.public_keys()]
    create(folder / "recordings" / "keys.json", [json.dumps({"keys": keys}, indent=1).encode()])
