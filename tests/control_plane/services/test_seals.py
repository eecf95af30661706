"""Seals and recordings: only what follows, and is what the Edge told, is signed; auditors find it whole."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.control_plane.world import World
from twokeys.body import WRAPPING, encrypt
from twokeys.digest import sha256, to_base64
from twokeys.errors import Conflict, InvalidInput, Refused, TwokeysError
from twokeys.messages import SealReply, SealRequest, SessionKey
from twokeys.record import ChainHead, extend, genesis, line
from twokeys.seal import segment_id
from twokeys.segment_files import pack_body, pack_lines
from twokeys.verify_chain import StoredSegment, Trust, verify_source
from twokeys_cli.recordings import scan, segments


@dataclass
class Writer:
    """Writes an Edge's segments."""

    world: World
    source: str = "edge-1"
    head: ChainHead = field(default_factory=lambda: genesis("edge-1"))
    heads: list[ChainHead] = field(default_factory=list)

    def segment(self, *headers: dict[str, Any], bodies: dict[int, bytes] | None = None) -> SealRequest:
        """Upload a segment of these records; `bodies` by position."""
        first, lines, frames = self.head, b"", b""
        for position, header in enumerate(headers):
            cipher = (bodies or {}).get(position, b"")
            sequence = self.head.sequence + 1
            one = line(sequence, {"source": self.source, **header}, sha256(cipher) if cipher else "")
            frames += pack_body(sequence, cipher) if cipher else b""
            lines += one + b"\n"
            self.head = extend(self.head, one)
            self.heads.append(self.head)
        name = segment_id(self.source, first.sequence + 1)
        self.world.ports.recordings.put("lines", name, pack_lines(lines))
        if frames:
            self.world.ports.recordings.put("bodies", name, frames)
        return SealRequest(
            first_seq=first.sequence + 1,
            last_seq=self.head.sequence,
            previous_hash=first.hash,
            last_hash=self.head.hash,
            lines_sha256=sha256(lines),
            bodies_sha256=sha256(frames) if frames else "",
        )

    def seal(self, request: SealRequest) -> SealReply:
        name = segment_id(self.source, request.first_seq)
        return self.world.services.seals.seal_for(self.world.edge, name, request)


def verified(world: World, source: str) -> Any:
    keys = {key.key_id: key for key in world.ports.signer.public_keys()}
    return verify_source(source, segments(scan(world.folder / "recordings"), source), Trust(keys))


def test_segments_are_sealed_in_order_and_verify_offline(a_world: World) -> None:
    writer = Writer(a_world)
    for number in range(3):
        request = writer.segment({"type": "command", "session": f"ses_{number}"}, {"type": "forward"})
        assert writer.seal(request) == writer.seal(request)
    result = verified(a_world, "edge-1")
    assert (result.flaw, result.records, result.head) == (None, 6, writer.head)
    assert a_world.ports.recordings.part("lines", "edge-1-000000000001") is not None


def test_a_crash_between_seal_and_files_is_mended_at_start(a_world: World) -> None:
    writer = Writer(a_world)
    writer.seal(writer.segment({"type": "command"}))
    recordings = a_world.folder / "recordings"
    (lines,) = recordings.glob("lines/*/edge-1-*")
    (seal,) = recordings.glob("seals/*/edge-1-*")
    # As if the process had died after the row was written: the upload is still where it came in.
    os.link(lines, a_world.folder / "incoming" / "lines" / "edge-1-000000000001")
    lines.unlink()
    seal.unlink()
    with a_world.deployment.store.database.write() as connection:
        connection.execute("UPDATE seals SET published = 0")
    a_world.clock.pass_seconds(2 * 86400)
    a_world.reopen()
    assert verified(a_world, "edge-1").whole
    assert verified(a_world, "edge-1").records == 1


@pytest.mark.parametrize(
    "change",
    [
        {"previous_hash": "0" * 64},
        {"last_hash": "0" * 64},
        {"lines_sha256": "0" * 64},
        {"bodies_sha256": "0" * 64},
        {"last_seq": 3},
        {"last_seq": 1},
    ],
)
def test_what_the_edge_says_must_be_what_it_uploaded(a_world: World, change: dict[str, Any]) -> None:
    writer = Writer(a_world)
    request = writer.segment({"type": "command"}, {"type": "forward"})
    fields = {name: getattr(request, name) for name in request.__struct_fields__}
    with pytest.raises(TwokeysError) as caught:
        writer.seal(SealRequest(**{**fields, **change}))
    assert caught.value.code in ("segment_conflict", "segment_mismatch")
    assert a_world.ports.recordings.last_seal("edge-1") is None
    assert a_world.records("refused")
    assert writer.seal(request).seal["last_seq"] == 2


def test_a_segment_must_follow_the_one_before(a_world: World) -> None:
    writer = Writer(a_world)
    writer.segment({"type": "command"})
    second = writer.segment({"type": "command"})
    with pytest.raises(Conflict, match="does not follow record 0"):
        writer.seal(second)


def test_an_edge_seals_its_own_segments_only(a_world: World) -> None:
    request = Writer(a_world).segment({"type": "command"})
    with pytest.raises(Refused, match="not this edge's"):
        a_world.services.seals.seal_for(a_world.edge, "edge-2-000000000001", request)
    with pytest.raises(Refused, match="not this edge's"):
        a_world.services.seals.seal_for(a_world.edge, "control-plane-000000000001", request)


def test_a_workers_segments_are_sealed_in_its_own_chain_by_its_own_calls(a_world: World) -> None:
    seals, source = a_world.services.seals, "edge-1.w2"
    writer = Writer(a_world, source, genesis(source))
    name, request = segment_id(source, 1), writer.segment({"type": "command"})
    for other in ("", "edge-1", "edge-1.w1"):
        with pytest.raises(Refused, match="not this edge's"):
            seals.seal_for(a_world.edge, name, request, other)
    assert seals.seal_for(a_world.edge, name, request, source).seal["source"] == source
    assert verified(a_world, source).flaw is None


def test_lines_that_were_not_uploaded_are_not_sealed(a_world: World) -> None:
    request = SealRequest(first_seq=1, last_seq=1, previous_hash=genesis("edge-1").hash, last_hash="0" * 64,
                          lines_sha256="0" * 64)  # fmt: skip
    with pytest.raises(InvalidInput, match="not uploaded"):
        a_world.services.seals.seal_for(a_world.edge, "edge-1-000000000001", request)


@pytest.mark.parametrize("header", [{"type": "x", "source": "edge-2"}, {"type": "x", "source": "control-plane"}])
def test_records_of_another_source_are_not_sealed(a_world: World, header: dict[str, Any]) -> None:
    writer = Writer(a_world)
    with pytest.raises(Refused):
        writer.seal(writer.segment(header))


def test_a_segment_that_contradicts_a_told_head_is_a_fork(a_world: World) -> None:
    writer = Writer(a_world)
    told = ChainHead(1, "9" * 64)
    a_world.services.edge_auth.verify(a_world.actor.call("GET", "/v1/bundle", head=told))
    with pytest.raises(Refused) as caught:
        writer.seal(writer.segment({"type": "command"}))
    assert caught.value.code == "chain_fork"
    assert a_world.records("alarm")


def test_heads_that_fit_are_forgotten_when_sealed(a_world: World) -> None:
    writer = Writer(a_world)
    request = writer.segment({"type": "command"}, {"type": "forward"})
    for head in writer.heads:
        a_world.services.edge_auth.verify(a_world.actor.call("GET", "/v1/bundle", head=head))
    writer.seal(request)
    assert a_world.ports.edges.told_heads("edge-1", 1, 2) == []
    assert a_world.ports.edges.head("edge-1") == writer.head


def test_a_missing_swapped_or_extra_body_is_not_sealed(a_world: World) -> None:
    for bodies in ({0: b"x" * 40, 1: b"y" * 40},):
        writer = Writer(a_world)
        request = writer.segment({"type": "command"}, {"type": "result"}, bodies=bodies)
        part = a_world.folder / "incoming" / "bodies" / "edge-1-000000000001"
        whole = part.read_bytes()
        for other in (whole[:52], whole[:12] + b"z" * 40 + whole[52:], whole + pack_body(3, b"w" * 40)):
            part.write_bytes(other)
            fields = {name: getattr(request, name) for name in request.__struct_fields__}
            with pytest.raises(TwokeysError):
                writer.seal(SealRequest(**{**fields, "bodies_sha256": sha256(other)}))
        part.write_bytes(whole)
        assert writer.seal(request).seal["bodies_sha256"] == sha256(whole)


def session_key(world: World) -> tuple[bytes, SessionKey]:
    public = serialization.load_der_public_key(world.ports.wrapping.public_der())
    assert isinstance(public, rsa.RSAPublicKey)
    key = os.urandom(32)
    wrapped = to_base64(public.encrypt(key, WRAPPING))
    return key, SessionKey(wrapping_key_id=world.ports.wrapping.key_id, wrapped=wrapped)


def test_an_auditor_reads_a_session_page_by_page_and_that_is_recorded_first(a_world: World) -> None:
    key, message = session_key(a_world)
    a_world.services.bodies.keep_key(a_world.edge, "ses_1", message)
    writer = Writer(a_world)
    for start in range(0, 600, 200):
        headers = [{"type": "command", "session": "ses_1" if n % 2 else "ses_2"} for n in range(200)]
        bodies = {
            n: encrypt(AESGCM(key), os.urandom(12), "ses_1", start + n + 1, json.dumps({"n": start + n}).encode())
            for n in range(1, 200, 2)
        }
        writer.seal(writer.segment(*headers, bodies=bodies))
    read, after = [], ""
    while True:
        page = a_world.services.bodies.page(a_world.person("rob"), "ses_1", after)
        read += page["records"]
        after = page["next"]
        if not after:
            break
    assert [one["body"]["n"] for one in read] == list(range(1, 600, 2))
    records = a_world.records("body_read")
    assert len(records) == 2
    assert {(one["person"], one["session"]) for one in records} == {("rob", "ses_1")}


def test_only_auditors_read_bodies(a_world: World) -> None:
    with pytest.raises(Refused, match="auditors"):
        a_world.services.bodies.page(a_world.person("ann"), "ses_1", "")
    assert not a_world.records("body_read")
    with pytest.raises(InvalidInput):
        a_world.services.bodies.page(a_world.person("rob"), "ses_1", "../x")


def test_our_own_records_are_sealed_as_an_edges_are(a_world: World) -> None:
    a_world.in_state(a_world.stored(a_world.open().id).state)
    assert a_world.services.own_segments.export() > 0
    assert a_world.services.own_segments.export() == 0
    a_world.vote("rob", a_world.open().id)
    a_world.services.own_segments.export()
    result = verified(a_world, "control-plane")
    assert (result.flaw, result.head) == (None, a_world.ports.records.head())
    assert result.segments >= 3


def test_an_export_that_was_cut_off_goes_on(a_world: World) -> None:
    a_world.open()
    run = a_world.ports.records.after(6, 1000)
    a_world.ports.recordings.put(
        "lines", segment_id("control-plane", 7), pack_lines(b"".join(one + b"\n" for one in run.lines))
    )
    a_world.open()
    a_world.services.own_segments.export()
    result = verified(a_world, "control-plane")
    assert (result.flaw, result.head) == (None, a_world.ports.records.head())


def test_names_are_those_of_the_verifier(a_world: World) -> None:
    writer = Writer(a_world)
    reply = writer.seal(writer.segment({"type": "command"}))
    segment = next(iter(segments(scan(a_world.folder / "recordings"), "edge-1")))
    assert isinstance(segment, StoredSegment)
    assert json.loads(segment.seal or b"")["signature"] == reply.signature
