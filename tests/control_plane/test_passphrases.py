"""People added later get a passphrase by a code: once, recorded, and without a vote for a day."""

from __future__ import annotations

import re
from urllib.parse import urlencode

import pytest

from control_plane.chalicelib.adapters.embedded.passphrases import Passphrases
from control_plane.chalicelib.services.policies import PolicyVerdict
from tests.control_plane.test_gateway import Answer, Http, site
from tests.control_plane.world import World
from twokeys.caller import Person
from twokeys.errors import InvalidInput, Refused
from twokeys.messages import encode

__all__ = ["site"]

DAY = 24 * 3600


def passphrases(world: World) -> Passphrases:
    return Passphrases(world.deployment.site.store, world.ports.people, lambda: world.clock.now() / 1000)


def add_joe(world: World) -> None:
    world.services.registry.put_person(world.person("ann"), Person("joe", "", groups=("reviewers",)), 0)


def typed(site: Http, code: str, origin: str | None = None) -> Answer:
    own = site.world.deployment.public_url
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Origin": own if origin is None else origin}
    return site.send("POST", "/issuer/passphrase", urlencode({"code": code}).encode(), headers)


def test_a_person_added_later_gets_a_passphrase_and_signs_in(site: Http) -> None:
    ann = site.token("ann")
    added = site.person(ann, "POST", "/v1/people", {"id": "joe", "kind": "person", "groups": ["reviewers"]})
    assert added.status == 200
    handed = site.person(ann, "POST", "/v1/people/joe/passphrase", {})
    assert handed.status == 201
    assert b"Code" in site.send("GET", "/issuer/passphrase").body
    shown = typed(site, handed.body["code"])
    assert (shown.status, shown.headers["cache-control"]) == (200, "no-store")
    found = re.search(r'<code id="passphrase">([a-z0-9-]+)</code>', shown.body.decode())
    assert found is not None
    assert found[1] != handed.body["code"]
    site.world.facts["people"].append({"id": "joe", "passphrase": found[1]})
    assert site.person(site.token("joe"), "GET", "/v1/requests").status == 200
    assert typed(site, handed.body["code"]).status == 400


def test_a_code_from_elsewhere_or_of_nobody_makes_nothing(site: Http) -> None:
    code = site.person(site.token("ann"), "POST", "/v1/people/rob/passphrase", {}).body["code"]
    assert typed(site, code, "https://elsewhere.example").status == 403
    assert typed(site, "").status == 400
    assert site.token("rob")
    assert site.person(site.token("rob"), "POST", "/v1/people/ann/passphrase", {}).status == 403
    assert site.person(site.token("ann"), "POST", "/v1/people/nobody/passphrase", {}).status == 404


def test_a4_whoever_has_a_new_passphrase_approves_nothing_for_a_day(site: Http) -> None:
    world = site.world
    add_joe(world)
    world.clock.pass_seconds(DAY + 1)
    code = passphrases(world).hand(world.person("ann"), "joe")
    passphrases(world).take(code)
    message = world.message()
    site.edge("POST", "/v1/requests", encode(message))
    with pytest.raises(Refused):
        world.vote("joe", message.id)
    policies = world.services.policies
    version, _ = policies.show()
    proposal = policies.propose(world.person("ann"), version.text + "\n// mine\n", "why", version.revision)
    verdict = PolicyVerdict(True, "ok", proposal.text_sha256)
    with pytest.raises(Refused) as caught:
        policies.decide(world.person("joe"), proposal.id, verdict)
    assert caught.value.code == "new_passphrase"
    world.clock.pass_seconds(DAY + 1)
    later = world.message()
    world.services.requests.open(world.edge, later)
    world.vote("joe", later.id)
    policies.decide(world.person("joe"), proposal.id, verdict)


def test_both_ends_of_a_code_are_recorded(a_world: World) -> None:
    add_joe(a_world)
    passphrases(a_world).take(passphrases(a_world).hand(a_world.person("ann"), "joe"))
    told = [(one["person"], one["caller"], one["outcome"]) for one in a_world.records("credential")]
    assert told[-2:] == [("ann", "joe", "passphrase code handed"), ("joe", "joe", "passphrase set")]


def test_a_code_is_replaced_by_a_newer_one_and_ends(a_world: World) -> None:
    add_joe(a_world)
    ours, ann = passphrases(a_world), a_world.person("ann")
    first, second = ours.hand(ann, "joe"), ours.hand(a_world.person("ann"), "joe")
    with pytest.raises(InvalidInput):
        ours.take(first)
    a_world.clock.pass_seconds(DAY + 1)
    with pytest.raises(InvalidInput):
        ours.take(second)
    store = a_world.deployment.site.store
    name, made = ours.take(ours.hand(a_world.person("ann"), "joe").upper().replace("-", " "))
    assert (name, store.is_passphrase("joe", made), store.is_passphrase("joe", second)) == ("joe", True, False)


def test_an_older_passphrase_holds_until_the_code_is_used(a_world: World) -> None:
    store = a_world.deployment.site.store
    old = store.set_passphrase("rob")
    code = passphrases(a_world).hand(a_world.person("ann"), "rob")
    assert store.is_passphrase("rob", old)
    passphrases(a_world).take(code)
    assert not store.is_passphrase("rob", old)
