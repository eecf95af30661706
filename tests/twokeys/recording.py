"""Makes sealed Segments with fixed keys, as an Edge and the control plane would."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from twokeys.digest import sha256, to_base64
from twokeys.record import ChainHead, extend, genesis, line
from twokeys.seal import TYPE, Seal, segment_id
from twokeys.segment_files import pack_body, pack_lines
from twokeys.signature import KeyRole, PublicKey, sign
from twokeys.verify_chain import StoredSegment, Trust

KEY = ec.derive_private_key(0x2222, ec.SECP256R1())


def public(key: ec.EllipticCurvePrivateKey = KEY, role: KeyRole = KeyRole.SEAL) -> PublicKey:
    """The public half, with a role."""
    der = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return PublicKey.from_der(der, role)


TRUST = Trust({public().key_id: public()})

Entry = tuple[Mapping[str, Any], bytes]
"""A record's header and the ciphertext of its body, empty without one."""


def seal_file(seal: Mapping[str, Any], key: ec.EllipticCurvePrivateKey = KEY) -> bytes:
    """A signed Seal as stored."""
    signature = sign(TYPE, seal, key)
    return json.dumps(
        {"seal": dict(seal), "key_id": signature.key_id, "signature": to_base64(signature.value)}
    ).encode()


@dataclass
class Recording:
    """One source's growing chain."""

    source: str = "edge-1"
    day: str = "2026-11-22"
    head: ChainHead = field(init=False)
    segments: list[StoredSegment] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.head = genesis(self.source)

    def add(self, entries: Sequence[Entry]) -> StoredSegment:
        """Close and seal one more Segment of these records."""
        before, lines, bodies = self.head, b"", b""
        for header, ciphertext in entries:
            sequence = self.head.sequence + 1
            text = line(
                sequence,
                {"source": self.source, "time": f"{self.day}T10:00:00.000Z", **header},
                sha256(ciphertext) if ciphertext else "",
            )
            self.head = extend(self.head, text)
            lines += text + b"\n"
            bodies += pack_body(sequence, ciphertext) if ciphertext else b""
        seal = Seal(
            self.source,
            segment_id(self.source, before.sequence + 1),
            before.sequence + 1,
            self.head.sequence,
            before.hash,
            self.head.hash,
            sha256(lines),
            sha256(bodies) if bodies else "",
            f"{self.day}T12:00:00.000Z",
        )
        stored = StoredSegment(seal.segment, seal_file(seal.to_json()), pack_lines(lines), bodies or None, self.day)
        self.segments.append(stored)
        return stored


def sample(source: str = "edge-1") -> Recording:
    """Three Segments of three records, some with bodies."""
    recording = Recording(source)
    for number in range(3):
        recording.add(
            [
                ({"type": "command", "statement": f"update t set a = $1 -- {number}"}, b"cipher-%d" % number),
                ({"type": "hold", "rows": number}, b""),
                ({"type": "result", "outcome": "done"}, b"x" * 40),
            ]
        )
    return recording


def store(folder: Path, *recordings: Recording) -> Path:
    """Write recordings in the embedded store's layout; returns the recordings folder."""
    for recording in recordings:
        for segment in recording.segments:
            for kind, suffix, data in (
                ("lines", ".jsonl.gz", segment.lines),
                ("bodies", ".bodies", segment.bodies),
                ("seals", ".json", segment.seal),
            ):
                if data is not None:
                    path = folder / kind / f"dt={segment.day}" / f"{segment.name}{suffix}"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(data)
    (folder / "keys.json").write_text(json.dumps({"keys": [public().to_json()]}))
    return folder
