"""An erased session: nobody reads what it said, everybody sees that it was, by whom, and the chain is whole."""

from __future__ import annotations

import os

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from control_plane.chalicelib.ports.edges import Edge
from tests.control_plane.services.test_seals import Writer, session_key, verified
from tests.control_plane.world import World
from twokeys.body import encrypt
from twokeys.errors import Conflict, InvalidInput, Refused
from twokeys.messages import SessionKey


def recorded(world: World, session: str = "ses_1", **who: str) -> SessionKey:
    """One sealed Record with a body, and the session's key."""
    key, message = session_key(world)
    world.services.bodies.keep_key(world.edge, session, message)
    body = encrypt(AESGCM(key), os.urandom(12), session, 1, b'{"text": "secret"}')
    writer = Writer(world)
    writer.seal(writer.segment({"type": "session_start", "session": session, **who}, bodies={0: body}))
    return message


def body_of(world: World, session: str = "ses_1") -> object:
    return world.services.bodies.page(world.person("rob"), session, "")["records"][0]["body"]


def test_an_erased_session_is_unreadable_says_by_whom_and_still_verifies(a_world: World) -> None:
    recorded(a_world, caller="agent-7", sponsor="rob")
    assert body_of(a_world) == {"text": "secret"}
    a_world.services.erasing.erase(a_world.person("ann"), "ses_1", "asked for by its subject")
    assert body_of(a_world) == {"erased": "The session's key was erased by ann."}
    assert verified(a_world, "edge-1").whole
    (record,) = a_world.records("key_erased")
    assert (record["person"], record["session"], record["reason"]) == ("ann", "ses_1", "asked for by its subject")


def test_erasing_again_changes_and_records_nothing(a_world: World) -> None:
    recorded(a_world, caller="agent-7", sponsor="rob")
    first = a_world.services.erasing.erase(a_world.person("ann"), "ses_1", "asked for")
    a_world.clock.pass_seconds(5)
    assert a_world.services.erasing.erase(a_world.person("ann"), "ses_1", "once more") == first
    assert len(a_world.records("key_erased")) == 1


@pytest.mark.parametrize("who", [{"caller": "ann"}, {"caller": "agent-7", "sponsor": "ann"}])
def test_nobody_erases_what_they_did_themselves(a_world: World, who: dict[str, str]) -> None:
    recorded(a_world, **who)
    with pytest.raises(Refused) as caught:
        a_world.services.erasing.erase(a_world.person("ann"), "ses_1", "nothing to see")
    assert caught.value.code == "own_session"
    assert body_of(a_world) == {"text": "secret"}
    assert not a_world.records("key_erased")


def test_only_owners_erase_what_there_is_and_say_why(a_world: World) -> None:
    recorded(a_world, caller="agent-7", sponsor="rob")
    with pytest.raises(Refused):
        a_world.services.erasing.erase(a_world.person("rob"), "ses_1", "asked for")
    for session, reason in (("ses_1", " "), ("ses_1", "x" * 513), ("ses_9", "asked for")):
        with pytest.raises(InvalidInput):
            a_world.services.erasing.erase(a_world.person("ann"), session, reason)
    assert not a_world.records("key_erased")


def test_whose_session_it_is_must_be_known(a_world: World) -> None:
    a_world.services.bodies.keep_key(a_world.edge, "ses_1", session_key(a_world)[1])
    with pytest.raises(InvalidInput) as caught:
        a_world.services.erasing.erase(a_world.person("ann"), "ses_1", "asked for")
    assert caught.value.code == "not_sealed"


def test_an_edge_that_tells_an_erased_key_again_goes_on_and_nothing_is_kept(a_world: World) -> None:
    message = recorded(a_world, caller="agent-7", sponsor="rob")
    a_world.services.erasing.erase(a_world.person("ann"), "ses_1", "asked for")
    a_world.services.bodies.keep_key(a_world.edge, "ses_1", message)
    assert a_world.ports.session_keys.get("ses_1") is None
    with pytest.raises(Conflict):
        a_world.services.bodies.keep_key(Edge(edge_id="edge-2", targets=["db"], key=b""), "ses_1", message)
