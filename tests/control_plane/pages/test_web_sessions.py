"""What every store of web sessions promises, and the rules on top of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from control_plane.chalicelib.adapters.embedded.web_sessions import SqliteWebSessions
from control_plane.chalicelib.ports.web_sessions import WebSession, WebSessions
from control_plane.chalicelib.services.sessions import MAX_SESSIONS_PER_PERSON, Sessions
from twokeys.errors import Refused

NOW = 1_795_379_462.0


@pytest.fixture(params=[SqliteWebSessions])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[WebSessions]:
    made = request.param(tmp_path / "sessions.sqlite")
    yield made
    made.close()


def kept(number: int, person: str = "rob") -> WebSession:
    return WebSession(f"{number:064x}", person, int(NOW), NOW + number, NOW + number)


def test_a_session_is_found_touched_and_removed(store: WebSessions) -> None:
    store.add(kept(1), 10)
    assert store.find(kept(1).id_hash) == kept(1)
    store.touch(kept(1).id_hash, NOW + 500)
    store.touch(kept(1).id_hash, NOW)
    found = store.find(kept(1).id_hash)
    assert found is not None and found.seen_at == NOW + 500
    store.remove(kept(1).id_hash)
    store.remove(kept(1).id_hash)
    store.touch(kept(1).id_hash, NOW + 600)
    assert store.find(kept(1).id_hash) is None


def test_the_oldest_of_a_persons_sessions_go(store: WebSessions) -> None:
    store.add(kept(0, "ann"), 3)
    for number in range(1, 6):
        store.add(kept(number), 3)
    assert [number for number in range(6) if store.find(kept(number).id_hash)] == [0, 3, 4, 5]
    store.remove_created_before(NOW + 4)
    assert [number for number in range(6) if store.find(kept(number).id_hash)] == [4, 5]


def test_what_was_shown_goes_with_its_session(store: WebSessions) -> None:
    store.mark_shown(kept(1).id_hash, "req_x", "d", 0)
    assert store.shown(kept(1).id_hash, "req_x", "d") == frozenset()
    store.add(kept(1), 10)
    for part in (0, 2, 2):
        store.mark_shown(kept(1).id_hash, "req_x", "d", part)
    assert store.shown(kept(1).id_hash, "req_x", "d") == {0, 2}
    assert store.shown(kept(1).id_hash, "req_x", "other") == frozenset()
    assert store.shown(kept(2).id_hash, "req_x", "d") == frozenset()
    store.remove(kept(1).id_hash)
    store.add(kept(1), 10)
    assert store.shown(kept(1).id_hash, "req_x", "d") == frozenset()


def test_a_person_has_a_limited_number_of_sessions(store: WebSessions) -> None:
    sessions = Sessions(store, lambda: NOW)
    made = [sessions.begin("rob", 0) for _ in range(MAX_SESSIONS_PER_PERSON + 1)]
    assert [sessions.current(one.secret) is not None for one in made] == [False] + [True] * MAX_SESSIONS_PER_PERSON


def test_the_stored_hash_is_no_key(store: WebSessions, tmp_path: Path) -> None:
    session = Sessions(store, lambda: NOW).begin("rob", 0)
    for file in tmp_path.iterdir():
        assert session.secret.encode() not in file.read_bytes()


def test_a_token_fits_one_purpose_of_one_session(store: WebSessions) -> None:
    sessions = Sessions(store, lambda: NOW)
    mine, theirs = sessions.begin("rob", 0), sessions.begin("rob", 0)
    mine.check_token("decision:a", mine.token("decision:a"))
    for token in (mine.token("decision:b"), theirs.token("decision:a"), "", "\u00e9"):
        with pytest.raises(Refused):
            mine.check_token("decision:a", token)
