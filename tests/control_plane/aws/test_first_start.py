"""The bootstrap on AWS puts a deployment in force once, records it, and can be cut off anywhere."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from aws_lambda_powertools import Logger

from control_plane.aws.first_start import FirstPerson, bootstrap, read_person
from control_plane.chalicelib.adapters.embedded.deployment import open_store
from control_plane.chalicelib.adapters.embedded.keys import make_keys
from control_plane.chalicelib.adapters.embedded.policies import SqlitePolicies
from control_plane.chalicelib.bootstrap import Ports
from tests.control_plane.ports.aws_backend import AwsBackend, backend
from tests.control_plane.world import ManualClock
from twokeys.errors import InvalidInput, Refused, Unavailable
from twokeys.policy import STARTER_TEXT
from twokeys.signature import PublicKey

__all__ = ["backend"]

ANN = FirstPerson("ann", "5d1c7e2a-ann", "ann@example.com")
ROB = FirstPerson("rob", "77aa01bc-rob", "rob@example.com")


@pytest.fixture
def ports(tmp_path: Path) -> Any:
    """A store that nothing was done to: what the bootstrap does is the same on every backend."""
    make_keys(tmp_path / "keys")
    store = open_store(tmp_path, ManualClock(1_795_379_462_000), Logger(service="test"), 1)
    yield store.ports
    store.close()


def lines(ports: Ports) -> bytes:
    return b"\n".join(ports.records.after(0, 1000).lines)


def test_people_and_policy_are_in_force_and_recorded(ports: Ports) -> None:
    done = bootstrap(ports, ANN, [ROB])
    assert [one["id"] for one in done["people"]] == ["ann", "rob"]
    assert ports.policies.current().text == STARTER_TEXT
    ann, rob = ports.people.person_of(ANN.subject), ports.people.person_of(ROB.subject)
    assert ann is not None and rob is not None
    assert (ann.person.groups, rob.person.groups) == (("auditors", "owners", "reviewers"), ("reviewers",))
    assert ports.people.edits_since(0) == [], "what is set up here is nobody's edit"
    written = lines(ports)
    for word in (b"bootstrap", b"ann", b"rob", b"starter", b"group:owners"):
        assert word in written


def test_public_keys_are_published_before_anything_is_in_force(ports: Ports) -> None:
    def fails(keys: list[PublicKey]) -> None:
        raise Unavailable("S3 is away.")

    with pytest.raises(Unavailable):
        bootstrap(ports, ANN, [ROB], fails)
    with pytest.raises(Unavailable):
        ports.policies.current()
    published: list[list[PublicKey]] = []
    bootstrap(ports, ANN, [ROB], published.append)
    assert published == [ports.signer.public_keys()]


def test_it_refuses_a_second_time_and_for_other_people(ports: Ports) -> None:
    bootstrap(ports, ANN, [])
    before = lines(ports)
    for owner in (ANN, ROB):
        with pytest.raises(Refused, match="in force already"):
            bootstrap(ports, owner, [])
    assert lines(ports) == before
    assert ports.people.person("rob") is None


class CutOff(SqlitePolicies):
    """Policies that can't be reached when they are installed."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def current(self) -> Any:
        return self._real.current()

    def install(self, *_: Any) -> Any:
        raise Unavailable("DynamoDB is busy.")


def test_cut_off_it_goes_on_with_the_same_people_and_no_others(ports: Ports) -> None:
    with pytest.raises(Unavailable):
        bootstrap(dataclasses.replace(ports, policies=CutOff(ports.policies)), ANN, [ROB])
    with pytest.raises(Unavailable, match="no policy"):
        ports.policies.current()
    with pytest.raises(Refused, match="people already: ann, rob"):
        bootstrap(ports, FirstPerson("max", "x-max", "max@example.com"), [])
    with pytest.raises(Refused, match="people already"):
        bootstrap(ports, dataclasses.replace(ANN, subject="another"), [ROB])
    bootstrap(ports, ANN, [ROB])
    assert lines(ports).count(b'"caller":"ann"') == 1


@pytest.mark.parametrize(
    "reviewer", [ANN, dataclasses.replace(ROB, subject=ANN.subject), dataclasses.replace(ROB, subject="ann")]
)
def test_two_names_for_one_human_are_refused(ports: Ports, reviewer: FirstPerson) -> None:
    with pytest.raises(InvalidInput, match="in common"):
        bootstrap(ports, ANN, [reviewer])
    assert ports.people.persons() == []


@pytest.mark.parametrize("text", ["", "rob", "rob=", "rob=x", "rob=x,", "rob=x,a@", "rob=a b,r@e.example", "=x,r@e.x"])
def test_a_person_is_named_whole(text: str) -> None:
    assert read_person("rob=77aa,rob@example.com") == FirstPerson("rob", "77aa", "rob@example.com")
    with pytest.raises(InvalidInput):
        read_person(text)


def test_on_aws_too_a_deployment_in_force_refuses(backend: AwsBackend) -> None:
    """The backend of the suites installs a policy when it is made."""
    before = backend.ports.people.persons()
    with pytest.raises(Refused, match="in force already"):
        bootstrap(backend.ports, ANN, [ROB])
    assert backend.ports.people.persons() == before
