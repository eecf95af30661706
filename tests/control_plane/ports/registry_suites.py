"""Suites of `ports.people`, `ports.policies`, `ports.edges` and `ports.session_keys`."""

from __future__ import annotations

import msgspec
import pytest

from control_plane.chalicelib.ports.edges import Token
from control_plane.chalicelib.ports.people import MachineChange, PersonChange
from control_plane.chalicelib.ports.policies import PolicyBallot, Proposal
from control_plane.chalicelib.ports.session_keys import Erasure, KeptKey
from tests.control_plane.ports.backend import NOTE, Backend, add_person, records
from tests.control_plane.world import EdgeActor
from twokeys.bundle import Issuer, Verifier
from twokeys.caller import Caller, CallerKind, Person
from twokeys.digest import sha256
from twokeys.errors import Conflict, InvalidInput, Refused, TwokeysError
from twokeys.record import ChainHead
from twokeys.subject import MAX_SUBJECT, MAX_SUBJECTS


class PeopleSuite:
    """Subclass it with a fixture `backend`."""

    def test_people_are_found_by_id_and_by_account(self, backend: Backend) -> None:
        add_person(backend, "zoe", "reviewers", accounts=("U1",))
        people = backend.ports.people
        zoe = people.person("zoe")
        assert zoe is not None
        assert (people.person_of("U1"), people.person_of("zoe"), people.person("U1")) == (zoe, zoe, None)
        assert people.caller("zoe") == Caller("zoe", CallerKind.PERSON, groups=("reviewers",))
        assert [one.person.id for one in people.persons()] == ["rob", "zoe"]

    def test_issuers_are_kept_replaced_and_removed(self, backend: Backend) -> None:
        people, edges = backend.ports.people, backend.ports.edges
        first, second = (Issuer(issuer=f"https://{name}.example.com", jwks={"keys": []}) for name in ("b", "a"))
        revision, since = edges.bundle_revision(), backend.clock.now()
        people.put_issuer(first, "rob", [], NOTE)
        people.put_issuer(second, "rob", ["group:reviewers"], NOTE)
        changed = msgspec.structs.replace(first, groups_claim="groups")
        people.put_issuer(changed, "rob", [], NOTE)
        assert people.issuers() == [second, changed]
        assert edges.bundle_revision() >= revision + 3
        assert [(one.editor, one.subject) for one in people.edits_since(since)] == [("rob", "group:reviewers")]
        rob = people.person("rob")
        assert rob is not None
        assert rob.revision == 2, "a vote that was judged before the edit does not count"
        assert people.remove_issuer(first.issuer, "rob", [], NOTE)
        assert not people.remove_issuer(first.issuer, "rob", [], NOTE)
        backend.reopen()
        assert backend.ports.people.issuers() == [second]

    def test_subjects_of_an_issuer_are_kept_as_they_were_given(self, backend: Backend) -> None:
        people = backend.ports.people
        entries = [f"repo:org/app-{at}:{'x' * (MAX_SUBJECT - 20)}" for at in range(MAX_SUBJECTS - 2)]
        given = [*entries, "repo:org/app:*", "a b+c%2F"]
        people.put_issuer(Issuer(issuer="https://a.example.com", jwks={"keys": []}, subjects=given), "rob", [], NOTE)
        backend.reopen()
        assert [one.subjects for one in backend.ports.people.issuers()] == [given]
        fewer = Issuer(issuer="https://a.example.com", jwks={"keys": []}, subjects=["repo:org/app:*"])
        backend.ports.people.put_issuer(fewer, "rob", [], NOTE)
        assert backend.ports.people.issuers() == [fewer]

    def test_a_change_needs_the_revision_that_was_seen(self, backend: Backend) -> None:
        people, person = backend.ports.people, Person("rob", "new@example.com")
        for revision in (0, 2):
            with pytest.raises(Conflict):
                people.put_person(PersonChange(person=person, revision=revision, edits=[]), "rob", NOTE)
        assert people.put_person(PersonChange(person=person, revision=1, edits=[]), "x", NOTE).revision == 2

    def test_an_edit_is_logged_and_raises_the_editors_revision(self, backend: Backend) -> None:
        add_person(backend, "zoe")
        people = backend.ports.people
        change = PersonChange(person=Person("zoe", "z@example.com"), revision=1, edits=["group:reviewers"])
        people.put_person(change, "rob", NOTE)
        (edit,) = people.edits_since(backend.clock.now())
        assert (edit.editor, edit.subject) == ("rob", "group:reviewers")
        assert people.edits_since(backend.clock.now() + 1) == []
        rob = people.person("rob")
        assert rob is not None
        assert rob.revision == 2

    def test_an_id_or_account_belongs_to_one(self, backend: Backend) -> None:
        add_person(backend, "zoe", accounts=("U1",))
        people = backend.ports.people
        for person in (Person("max", "", ("U1",)), Person("max", "", ("zoe",)), Person("U1", "")):
            with pytest.raises(Conflict):
                people.put_person(PersonChange(person=person, revision=0, edits=[]), "x", NOTE)
        for taken in ("zoe", "U1"):
            machine = Caller(taken, CallerKind.MACHINE, "rob")
            with pytest.raises(Conflict):
                people.put_machine(MachineChange(machine=machine, edits=[]), "x", NOTE)
        assert people.person("max") is None

    def test_a_change_raises_the_bundle_revision_and_appends_its_record(self, backend: Backend) -> None:
        ports = backend.ports
        before, count = ports.edges.bundle_revision(), len(records(backend))
        machine = Caller("agent-7", CallerKind.MACHINE, "rob", ("bots",))
        ports.people.put_machine(MachineChange(machine=machine, edits=[]), "x", NOTE)
        ports.people.put_verifier(Verifier(caller="agent-7", target="db", verifier="v1"), NOTE)
        ports.people.put_verifier(Verifier(caller="agent-7", target="db", verifier="v2"), NOTE)
        assert ports.edges.bundle_revision() == before + 3
        assert len(records(backend)) == count + 3
        assert [one.verifier for one in ports.people.verifiers(["db"])] == ["v2"]
        assert ports.people.verifiers(["other"]) == []
        backend.reopen()
        assert backend.ports.people.caller("agent-7") == machine


class PoliciesSuite:
    """Subclass it with a fixture `backend`."""

    def test_a_proposal_is_in_force_when_another_person_approved(self, backend: Backend) -> None:
        policies = backend.ports.policies
        proposal = self.propose(backend, "ann")
        revision = backend.ports.edges.bundle_revision()
        decided = policies.decide(self.ballot(proposal), NOTE)
        assert (decided.state, decided.decided_by) == ("approved", "rob")
        version = policies.current()
        assert (version.revision, version.text, version.author, version.approver) == (2, proposal.text, "ann", "rob")
        assert backend.ports.edges.bundle_revision() == revision + 1
        assert [edit.editor for edit in backend.ports.people.edits_since(0)] == ["ann"]
        assert records(backend)[-1]["policy_revision"] == 2

    @pytest.mark.parametrize(
        ("change", "error"),
        [
            ({"text_sha256": "0" * 64}, Refused),
            ({"person_revision": 9}, Conflict),
            ({"person_id": "nobody"}, Conflict),
            ({"proposal_id": "pol_none"}, InvalidInput),
        ],
    )
    def test_everything_is_checked_in_the_write(
        self, backend: Backend, change: dict[str, object], error: type[TwokeysError]
    ) -> None:
        proposal = self.propose(backend, "ann")
        with pytest.raises(error):
            backend.ports.policies.decide(msgspec.structs.replace(self.ballot(proposal), **change), NOTE)
        assert backend.ports.policies.current().revision == 1

    def test_a6_an_author_does_not_approve(self, backend: Backend) -> None:
        proposal = self.propose(backend, "rob")
        with pytest.raises(Refused):
            backend.ports.policies.decide(self.ballot(proposal), NOTE)

    def test_a11_a_proposal_for_an_older_policy_never_comes_in_force(self, backend: Backend) -> None:
        first, second = self.propose(backend, "ann", "1"), self.propose(backend, "ann", "2")
        backend.ports.policies.decide(self.ballot(first), NOTE)
        with pytest.raises(Conflict):
            backend.ports.policies.decide(self.ballot(second), NOTE)
        assert backend.ports.policies.open_proposals() == []
        with pytest.raises(Conflict):
            self.propose(backend, "ann", "3")

    def test_the_first_policy_is_installed_once(self, backend: Backend) -> None:
        with pytest.raises(Conflict):
            backend.ports.policies.install("x", "x", NOTE)

    def test_open_proposals_are_limited(self, backend: Backend) -> None:
        self.propose(backend, "ann", "1")
        with pytest.raises(Conflict):
            self.propose(backend, "ann", "2", most=1)

    @staticmethod
    def propose(backend: Backend, author: str, number: str = "1", most: int = 9) -> Proposal:
        text = f"// {number}"
        proposal = Proposal(
            id=f"pol_{number}", text=text, text_sha256=sha256(text.encode()), author=author, reason="",
            base_revision=1, created_at=backend.clock.now(),
        )  # fmt: skip
        backend.ports.policies.propose(proposal, most, NOTE)
        return proposal

    @staticmethod
    def ballot(proposal: Proposal) -> PolicyBallot:
        return PolicyBallot(
            proposal_id=proposal.id, person_id="rob", person_revision=1, approve=True, reason="",
            text_sha256=proposal.text_sha256, edits=["policy:p"],
        )  # fmt: skip


class EdgesSuite:
    """Subclass it with a fixture `backend`."""

    def test_a_token_is_used_once(self, backend: Backend) -> None:
        edges = backend.ports.edges
        edges.add_token(self.token(backend), NOTE)
        edge = edges.enrol("a" * 64, b"key", NOTE)
        assert (edge.edge_id, edge.targets, edges.edge("e-1")) == ("e-1", ["db"], edge)
        assert edges.enrol("a" * 64, b"key", NOTE) == edge
        with pytest.raises(Refused):
            edges.enrol("a" * 64, b"other key", NOTE)
        with pytest.raises(Conflict):
            edges.add_token(self.token(backend, "b"), NOTE)

    def test_an_unknown_replaced_or_expired_token_is_refused(self, backend: Backend) -> None:
        edges = backend.ports.edges
        edges.add_token(self.token(backend, "a"), NOTE)
        edges.add_token(self.token(backend, "b"), NOTE)
        for text in ("c", "a"):
            with pytest.raises(Refused):
                edges.enrol(text * 64, b"key", NOTE)
        backend.clock.pass_seconds(60)
        with pytest.raises(Refused):
            edges.enrol("b" * 64, b"key", NOTE)

    def test_nonces_are_used_once_also_after_a_restart(self, backend: Backend) -> None:
        call = EdgeActor(backend.clock).signed("GET", "/")
        backend.ports.edges.admit(call, 0)
        backend.reopen()
        with pytest.raises(Refused) as caught:
            backend.ports.edges.admit(call, 0)
        assert caught.value.code == "replayed_call"

    def test_heads_only_rise_and_forks_are_refused(self, backend: Backend) -> None:
        edges, actor = backend.ports.edges, EdgeActor(backend.clock)

        def tell(sequence: int, letter: str) -> ChainHead:
            return edges.admit(actor.signed("GET", "/", head=ChainHead(sequence, letter * 64)), 0)

        assert tell(5, "a") == ChainHead(5, "a" * 64)
        assert tell(3, "b") == ChainHead(5, "a" * 64)
        for sequence, letter in ((5, "c"), (3, "c")):
            with pytest.raises(Refused) as caught:
                tell(sequence, letter)
            assert caught.value.code == "chain_fork"
        assert tell(6, "d").sequence == 6
        assert sorted(head.sequence for head in edges.told_heads("edge-1", 1, 6)) == [3, 5, 6]
        edges.forget_heads("edge-1", 6)
        assert edges.told_heads("edge-1", 1, 6) == []
        with pytest.raises(Refused):
            tell(6, "e")
        backend.clock.pass_seconds(11)
        with pytest.raises(Refused):
            tell(5, "a")
        assert edges.head("edge-1") == ChainHead(6, "d" * 64)

    def test_each_worker_of_an_edge_has_a_chain_of_its_own(self, backend: Backend) -> None:
        edges, actor = backend.ports.edges, EdgeActor(backend.clock)

        def tell(sequence: int, letter: str, worker: int) -> ChainHead:
            call = actor.signed("GET", "/", head=ChainHead(sequence, letter * 64), worker=worker)
            return edges.admit(call, 0)

        assert tell(9, "a", 0).sequence == 9
        assert tell(2, "b", 1) == ChainHead(2, "b" * 64)
        assert tell(2, "c", 2) == ChainHead(2, "c" * 64)
        with pytest.raises(Refused) as caught:
            tell(2, "d", 2)
        assert caught.value.code == "chain_fork"
        assert (edges.head("edge-1"), edges.head("edge-1.w2")) == (ChainHead(9, "a" * 64), ChainHead(2, "c" * 64))
        edges.forget_heads("edge-1.w1", 2)
        assert edges.told_heads("edge-1.w1", 1, 2) == []
        assert edges.told_heads("edge-1.w2", 1, 2) == [ChainHead(2, "c" * 64)]

    def test_a_revoked_edge_is_nobody_and_its_id_is_never_used_again(self, backend: Backend) -> None:
        edges = backend.ports.edges
        edges.add_token(self.token(backend), NOTE)
        enrolled = edges.enrol("a" * 64, b"key", NOTE)
        assert edges.edges() == [enrolled]
        edges.admit(EdgeActor(backend.clock).signed("GET", "/", head=ChainHead(5, "a" * 64)), 0)
        before = edges.bundle_revision()
        assert edges.revoke("e-1", NOTE)
        assert (edges.edges(), edges.edge("e-1"), edges.bundle_revision() > before) == ([], None, True)
        assert edges.head("edge-1") == ChainHead(5, "a" * 64)
        assert not edges.revoke("e-1", NOTE)
        with pytest.raises(Conflict) as caught:
            edges.add_token(self.token(backend, "b"), NOTE)
        assert caught.value.code == "revoked"
        with pytest.raises(Refused):
            edges.enrol("a" * 64, b"key", NOTE)

    def test_revoking_before_enrolment_takes_the_token_back(self, backend: Backend) -> None:
        edges = backend.ports.edges
        assert not edges.revoke("e-1", NOTE)
        edges.add_token(self.token(backend), NOTE)
        assert edges.revoke("e-1", NOTE)
        with pytest.raises(Refused):
            edges.enrol("a" * 64, b"key", NOTE)
        with pytest.raises(Conflict):
            edges.add_token(self.token(backend, "b"), NOTE)

    @staticmethod
    def token(backend: Backend, letter: str = "a") -> Token:
        return Token(token_sha256=letter * 64, edge_id="e-1", targets=["db"], expires_at=backend.clock.now() + 60_000)


class SessionKeysSuite:
    """Subclass it with a fixture `backend`."""

    def test_a_key_is_kept_once_and_erased_for_good(self, backend: Backend) -> None:
        keys = backend.ports.session_keys
        key = KeptKey(edge_id="edge-1", session="s", wrapping_key_id="w", wrapped=b"wrapped")
        keys.put(key)
        keys.put(key)
        for other in (
            KeptKey(edge_id="edge-2", session="s", wrapping_key_id="w", wrapped=b"wrapped"),
            KeptKey(edge_id="edge-1", session="s", wrapping_key_id="w", wrapped=b"other"),
        ):
            with pytest.raises(Conflict):
                keys.put(other)
        backend.reopen()
        keys = backend.ports.session_keys
        assert keys.get("s") == key
        assert keys.erased("s") is None
        before = len(backend.ports.records.after(0, 99).lines)
        assert keys.erase("s", "ann", NOTE)
        backend.clock.pass_seconds(1)
        assert (keys.get("s"), keys.erase("s", "rob", NOTE)) == (None, False)
        backend.reopen()
        keys = backend.ports.session_keys
        assert keys.erased("s") == Erasure(edge_id="edge-1", by="ann", at=backend.clock.now() - 1000)
        assert (keys.erase("other", "ann", NOTE), keys.erased("other")) == (False, None)
        assert len(backend.ports.records.after(0, 99).lines) == before + 1
        with pytest.raises(Conflict):
            keys.put(key)
