"""What is old is forgotten, what is needed is not: by state, by age, and by who else has the same Command."""

from __future__ import annotations

import os
from pathlib import Path

from control_plane.chalicelib.adapters.embedded.pruning import BLOB_DAYS, REQUEST_DAYS, TOKEN_DAYS
from control_plane.chalicelib.ports.requests import Outcome
from tests.control_plane.ports.backend import NOTE
from tests.control_plane.services.test_requests import previewed
from tests.control_plane.world import World
from twokeys.request import FINAL, Event, State

DAY_SECONDS = 24 * 3600


def blob(world: World, request_id: str) -> Path:
    name = world.stored(request_id).asked.opened.command_sha256
    return world.folder / "blobs" / name[:2] / name


def aged(world: World, path: Path, days: float) -> None:
    at = world.clock.now() / 1000 - days * DAY_SECONDS
    os.utime(path, (at, at))


def test_requests_that_are_over_are_forgotten_after_their_time_and_no_others(a_world: World) -> None:
    requests = {state: a_world.in_state(state) for state in State}
    a_world.clock.pass_seconds(REQUEST_DAYS * DAY_SECONDS - 3600)
    assert a_world.deployment.pruning.run() == 0
    a_world.clock.pass_seconds(2 * 3600)
    before = len(a_world.records("decision"))
    assert a_world.deployment.pruning.run() == len(FINAL)
    for state, request_id in requests.items():
        assert (a_world.ports.requests.find(request_id) is None) == (state in FINAL), state
    assert len(a_world.records("decision")) == before, "records stay"


def test_a_command_goes_with_the_last_request_that_has_it_unless_it_was_stored_lately(a_world: World) -> None:
    old = a_world.in_state(State.DONE)
    path = blob(a_world, old)
    data = path.read_bytes()
    a_world.clock.pass_seconds((REQUEST_DAYS + 1) * DAY_SECONDS)
    younger = a_world.in_state(State.PENDING)
    assert blob(a_world, younger) == path
    aged(a_world, path, BLOB_DAYS + 1)
    assert a_world.deployment.pruning.run() == 1
    assert path.read_bytes() == data, "another request has the same"
    a_world.ports.requests.end(younger, Event.WITHDRAW, Outcome(), NOTE)
    a_world.clock.pass_seconds((REQUEST_DAYS + 1) * DAY_SECONDS)
    os.utime(path, (0, 0))
    a_world.ports.blobs.put(data)
    assert path.stat().st_mtime > 0, "storing it again touches it"
    aged(a_world, path, 0)
    a_world.deployment.pruning.run()
    assert path.exists(), "stored just now: a request with it may be on its way"
    assert list(path.parent.glob("*.gone")) == []


def test_a_command_that_nobody_has_any_more_is_removed(a_world: World) -> None:
    path = blob(a_world, a_world.in_state(State.DONE))
    a_world.clock.pass_seconds((REQUEST_DAYS + 1) * DAY_SECONDS)
    aged(a_world, path, BLOB_DAYS + 1)
    a_world.deployment.pruning.run()
    assert not path.exists()
    assert a_world.deployment.pruning.run() == 0


def test_a_preview_is_forgotten_with_its_request(a_world: World) -> None:
    request_id = a_world.open(**previewed()).id
    name = a_world.stored(request_id).asked.opened.preview_digest
    path = a_world.folder / "blobs" / name[:2] / name
    a_world.vote("rob", request_id, approve=False)
    a_world.clock.pass_seconds((REQUEST_DAYS + 1) * DAY_SECONDS)
    aged(a_world, path, BLOB_DAYS + 1)
    assert path.exists()
    assert a_world.deployment.pruning.run() == 1
    assert not path.exists()


def test_tokens_and_edits_go_when_they_count_no_more(a_world: World) -> None:
    text = a_world.services.enrolment.make_token("edge-2", ["db"], "ann")
    a_world.services.registry.put_person(a_world.person("ann"), a_world.person("rob").person, 1)
    a_world.deployment.pruning.run()
    count = "SELECT (SELECT count(*) FROM tokens WHERE used_by IS NULL), (SELECT count(*) FROM edits)"
    tokens, _ = a_world.deployment.store.database.read().execute(count).fetchone()
    assert (tokens, bool(text)) == (1, True)
    a_world.clock.pass_seconds((TOKEN_DAYS + 32) * DAY_SECONDS)
    a_world.deployment.pruning.run()
    assert a_world.deployment.store.database.read().execute(count).fetchone() == (0, 0)
