"""How an Edge signs each call to the control plane.

    Twokeys-Call:      base64(canonical JSON of the payload)
    Twokeys-Signature: base64(ECDSA signature over twokeys/edge-call/v1\\n + payload)

The payload covers method, path with query, body hash, a fresh nonce, the time and the Edge's chain head. The time is
the Edge's *estimate of the control plane's clock* (from `Twokeys-Time` of earlier answers plus monotonic time), so a
wrong wall clock on the Edge's machine changes nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from twokeys.digest import Json, canonical, from_base64, to_base64
from twokeys.errors import InvalidInput
from twokeys.record import ChainHead

TYPE: Final = "edge-call"
CALL_HEADER: Final = "Twokeys-Call"
SIGNATURE_HEADER: Final = "Twokeys-Signature"
TIME_HEADER: Final = "Twokeys-Time"
"""On every answer of the control plane: its clock, milliseconds since the epoch."""

MAX_WORKERS: Final = 64
"""Most worker processes of one Edge, each with a chain of its own."""

MAX_CALL_HEADER_BYTES: Final = 4096
MAX_SKEW_MILLISECONDS: Final = 60_000
"""How far a call's time may be from the control plane's clock; nonces are remembered for twice that."""

_NONCE = re.compile(r"[0-9a-f]{32}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_OF_A_WORKER = re.compile(r".*\.w[0-9]{1,2}")


def source_of(edge_id: str, worker: int = 0) -> str:
    """The name of a chain of an Edge: its id, and of its worker processes ``<edge id>.w<number>``."""
    return f"{edge_id}.w{worker}" if worker else edge_id


def names_a_worker(edge_id: str) -> bool:
    """Whether this could be the name of a worker's chain: no Edge may be called so."""
    return _OF_A_WORKER.fullmatch(edge_id) is not None


@dataclass(frozen=True, slots=True)
class EdgeCall:
    """The signed facts of one call.

    Args:
        edge_id: Who calls.
        method: Upper case HTTP method.
        path: Path and query exactly as sent.
        body_sha256: SHA-256 of the body (of no bytes, when there is none).
        nonce: 32 hexadecimal digits, never used before.
        time: Milliseconds since the epoch, control plane's clock as the Edge estimates it.
        head: The head of the chain of who calls: every call carries it.
        worker: Which worker process of the Edge calls, from 1; 0 is the Edge itself. Each has a chain of its own.
    """

    edge_id: str
    method: str
    path: str
    body_sha256: str
    nonce: str
    time: int
    head: ChainHead
    worker: int = 0

    @property
    def source(self) -> str:
        """The chain that `head` is of."""
        return source_of(self.edge_id, self.worker)

    def to_json(self) -> Mapping[str, Json]:
        """The signed payload."""
        return {
            "edge_id": self.edge_id,
            "method": self.method,
            "path": self.path,
            "body_sha256": self.body_sha256,
            "nonce": self.nonce,
            "time": self.time,
            "chain_sequence": self.head.sequence,
            "chain_hash": self.head.hash,
            **({"worker": self.worker} if self.worker else {}),
        }

    def header(self) -> str:
        """The `Twokeys-Call` header's value."""
        return to_base64(canonical(self.to_json()))

    @classmethod
    def from_header(cls, value: str) -> EdgeCall:
        """Read a `Twokeys-Call` header. Raises InvalidInput for anything but the one spelling."""
        if len(value) > MAX_CALL_HEADER_BYTES:
            raise InvalidInput("A call's header is too long.", not_done="The call was not answered.")
        data = from_base64(value)
        try:
            fields = json.loads(data)
            call = cls(
                fields["edge_id"],
                fields["method"],
                fields["path"],
                fields["body_sha256"],
                fields["nonce"],
                fields["time"],
                ChainHead(fields["chain_sequence"], fields["chain_hash"]),
                fields.get("worker", 0),
            )
            same = canonical(call.to_json()) == data and _well_typed(call)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise InvalidInput("A call's header is malformed.", not_done="The call was not answered.") from error
        if not same:
            raise InvalidInput("A call's header is not in its one spelling.", not_done="The call was not answered.")
        return call


def _well_typed(call: EdgeCall) -> bool:
    """JSON decides nothing about types: a list of 32 things is no nonce, `true` is no time."""
    texts = (call.edge_id, call.method, call.path, call.body_sha256, call.nonce, call.head.hash)
    numbers = (call.time, call.head.sequence, call.worker)
    return (
        all(type(text) is str for text in texts)
        and all(type(one) is int and one >= 0 for one in numbers)
        and call.worker <= MAX_WORKERS
        and _NONCE.fullmatch(call.nonce) is not None
        and _SHA256.fullmatch(call.body_sha256) is not None
        and _SHA256.fullmatch(call.head.hash) is not None
    )
