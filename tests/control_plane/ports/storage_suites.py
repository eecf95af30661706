"""Suites of `ports.blobs`, `ports.recordings`, `ports.records`, `ports.waker`, `ports.signer` and `ports.wrapping`."""

from __future__ import annotations

import threading
import time

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from control_plane.chalicelib.ports.recordings import Sealed
from control_plane.chalicelib.ports.waker import MAX_WAITERS_PER_EDGE
from tests.control_plane.ports.backend import NOTE, Backend
from twokeys.body import WRAPPING
from twokeys.digest import sha256
from twokeys.errors import Conflict, InvalidInput, Refused, TwokeysError
from twokeys.messages import UploadRequest
from twokeys.record import extend
from twokeys.seal import Seal, segment_id
from twokeys.signature import KeyRole, verify


class BlobsSuite:
    """Subclass it with a fixture `backend`."""

    def test_bytes_are_found_by_their_hash(self, backend: Backend) -> None:
        blobs = backend.ports.blobs
        name = blobs.put(b"UPDATE")
        assert (name, blobs.put(b"UPDATE")) == (sha256(b"UPDATE"), name)
        backend.reopen()
        blobs = backend.ports.blobs
        assert (blobs.get(name), blobs.has(name)) == (b"UPDATE", True)
        assert (blobs.get("0" * 64), blobs.has("0" * 64)) == (None, False)


class RecordsSuite:
    """Subclass it with a fixture `backend`."""

    def test_records_form_a_chain_that_survives(self, backend: Backend) -> None:
        chain = backend.ports.records
        chain.after(0, 10_000)
        start = chain.head()
        for _ in range(3):
            chain.append(NOTE)
        backend.reopen()
        chain = backend.ports.records
        run = chain.after(start.sequence, 2)
        assert (run.before, len(run.lines)) == (start, 2)
        middle = extend(extend(start, run.lines[0]), run.lines[1])
        rest = chain.after(middle.sequence, 9)
        assert (rest.before, len(rest.lines)) == (middle, 1)
        last = extend(middle, rest.lines[0])
        assert chain.head() == last
        chain.forget(middle.sequence)
        assert chain.after(0, 9).lines == rest.lines
        assert chain.head() == last

    def test_an_oversize_record_is_refused(self, backend: Backend) -> None:
        before = backend.ports.records.after(0, 10_000)
        with pytest.raises(InvalidInput):
            backend.ports.records.append({"type": "x", "reason": "x" * 70_000})
        assert backend.ports.records.after(0, 10_000) == before


class RecordingsSuite:
    """Subclass it with a fixture `backend`."""

    def test_parts_are_stored_once(self, backend: Backend) -> None:
        recordings = backend.ports.recordings
        ask = UploadRequest(kind="lines", name="e-1-000000000001", sha256=sha256(b"lines"), length=5)
        assert recordings.ticket(ask).url
        recordings.put("lines", ask.name, b"lines")
        recordings.put("lines", ask.name, b"lines")
        with pytest.raises(Conflict):
            recordings.put("lines", ask.name, b"other")
        assert recordings.ticket(ask).exists
        with pytest.raises(Conflict):
            recordings.ticket(UploadRequest(kind="lines", name=ask.name, sha256="0" * 64, length=5))
        part = recordings.part("lines", ask.name)
        assert part is not None
        assert bytes(part) == b"lines"
        assert recordings.part("bodies", ask.name) is None

    def test_what_is_too_long_gets_no_ticket(self, backend: Backend) -> None:
        for kind in ("lines", "bodies", "command"):
            with pytest.raises(InvalidInput):
                backend.ports.recordings.ticket(UploadRequest(kind=kind, name="x", sha256="0" * 64, length=2**31))

    def test_seals_follow_each_other_and_the_first_wins(self, backend: Backend) -> None:
        recordings = backend.ports.recordings
        first, second = self.sealed(1, 3, sessions=["s"]), self.sealed(4, 9)
        for one in (first, second):
            recordings.put("lines", one.segment, b"lines")
        with pytest.raises(Conflict):
            recordings.add_seal(second)
        assert recordings.add_seal(first) == first
        assert recordings.add_seal(self.sealed(1, 2)) == first
        assert recordings.add_seal(second) == second
        with pytest.raises(Conflict):
            recordings.add_seal(self.sealed(6, 9))
        backend.reopen()
        recordings = backend.ports.recordings
        assert (recordings.seal(first.segment), recordings.last_seal("e-1")) == (first, second)
        assert (recordings.seal("e-1-000000000002"), recordings.last_seal("e-2")) == (None, None)
        assert recordings.segments_of("s") == [first]
        part = recordings.part("lines", first.segment)
        assert part is not None
        assert bytes(part) == b"lines"

    @staticmethod
    def sealed(first: int, last: int, sessions: list[str] | None = None) -> Sealed:
        segment = segment_id("e-1", first)
        seal = Seal("e-1", segment, first, last, "0" * 64, "1" * 64, "2" * 64, "", "2026-11-22T20:00:00.000Z")
        fields = {name: value for name, value in seal.to_json().items() if isinstance(value, str | int)}
        return Sealed(source="e-1", first_seq=first, last_seq=last, segment=segment, seal=fields, key_id="k",
                      signature="c2ln", sessions=sessions or [])  # fmt: skip


class WakerSuite:
    """Subclass it with a fixture `backend`."""

    def test_hints_come_again_until_acknowledged_and_survive(self, backend: Backend) -> None:
        backend.ports.waker.wake("e-1", "req_a")
        backend.ports.waker.wake("e-1", "req_b")
        backend.ports.waker.wake("e-2", "req_c")
        for _ in range(2):
            assert backend.ports.waker.wait("e-1", 0, []) == ["req_a", "req_b"]
        backend.reopen()
        assert backend.ports.waker.wait("e-1", 0, ["req_a", "req_c"]) == ["req_b"]
        assert backend.ports.waker.wait("e-1", 0, ["req_b"]) == []
        assert backend.ports.waker.wait("e-2", 0, []) == ["req_c"]

    def test_a_hint_ends_a_wait_at_once(self, backend: Backend) -> None:
        got: list[list[str]] = []
        thread = threading.Thread(target=lambda: got.append(backend.ports.waker.wait("e-1", 20, [])))
        began = time.monotonic()
        thread.start()
        backend.ports.waker.wake("e-1", "req_a")
        thread.join(10)
        assert got == [["req_a"]]
        assert time.monotonic() - began < 5

    def test_a_wait_ends_by_itself(self, backend: Backend) -> None:
        began = time.monotonic()
        assert backend.ports.waker.wait("e-1", 0.2, []) == []
        assert 0.15 < time.monotonic() - began < 2

    def test_a_further_wait_ends_the_oldest(self, backend: Backend) -> None:
        ended: list[int] = []

        def wait(number: int) -> None:
            backend.ports.waker.wait("e-1", 2, [])
            ended.append(number)

        threads = [threading.Thread(target=wait, args=(number,)) for number in range(MAX_WAITERS_PER_EDGE + 1)]
        began = time.monotonic()
        for thread in threads:
            thread.start()
        while not ended and time.monotonic() - began < 5:
            threads[0].join(0.01)
        assert time.monotonic() - began < 1.9
        assert len(ended) == 1
        backend.ports.waker.wake("e-1", "req_a")
        for thread in threads:
            thread.join(5)


class KeysSuite:
    """Subclass it with a fixture `backend`; for `ports.signer` and `ports.wrapping`."""

    @pytest.mark.parametrize("role", [KeyRole.APPROVAL, KeyRole.SEAL])
    def test_a_signature_verifies_for_its_role_alone(self, backend: Backend, role: KeyRole) -> None:
        signer = backend.ports.signer
        keys = {key.key_id: key for key in signer.public_keys()}
        signature = signer.sign("seal", {"a": 1}, role)
        verify("seal", role, {"a": 1}, signature, keys)
        for type_name, other, payload in (
            ("approval", role, {"a": 1}),
            ("seal", KeyRole.EDGE, {"a": 1}),
            ("seal", role, {"a": 2}),
        ):
            with pytest.raises(Refused):
                verify(type_name, other, payload, signature, keys)

    def test_what_is_over_4_kb_or_has_no_key_is_not_signed(self, backend: Backend) -> None:
        with pytest.raises(InvalidInput):
            backend.ports.signer.sign("seal", {"a": "x" * 4096}, KeyRole.SEAL)
        with pytest.raises(TwokeysError):
            backend.ports.signer.sign("seal", {"a": 1}, KeyRole.EDGE)

    def test_only_our_own_wrapped_keys_unwrap(self, backend: Backend) -> None:
        wrapping = backend.ports.wrapping
        public = serialization.load_der_public_key(wrapping.public_der())
        assert isinstance(public, rsa.RSAPublicKey)
        assert public.key_size >= 3072
        wrapped = public.encrypt(b"k" * 32, WRAPPING)
        assert wrapping.unwrap(wrapping.key_id, wrapped) == b"k" * 32
        for key_id, data in (("other", wrapped), (wrapping.key_id, wrapped[:-1]), (wrapping.key_id, b"x" * 9999)):
            with pytest.raises(Refused):
                wrapping.unwrap(key_id, data)
