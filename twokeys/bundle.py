"""The Bundle: the signed set an Edge works from.

The Bundle itself is JSON of any size; what is signed is its head (hash, revision, Edge, times), so that KMS can sign
it too. A Bundle with a lower revision is refused; past `not_after` writes are denied at once, and reads after
`stale_read_seconds` more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from twokeys.digest import from_base64, sha256
from twokeys.errors import InvalidInput, Refused
from twokeys.messages import Count, Id, IdOrEmpty, Message, Short, SignedBundle, decode
from twokeys.signature import KeyRole, PublicKey, Signature, verify
from twokeys.subject import MAX_SUBJECT, MAX_SUBJECTS

TYPE = "bundle-head"
"""Name of the signed type."""

MAX_BUNDLE_BYTES = 8 * 1024 * 1024
"""Longest Bundle an Edge reads."""


Prefix = Annotated[str, msgspec.Meta(pattern=r"^(?:[A-Za-z0-9][A-Za-z0-9._@-]{0,30}\+)?\Z")]
"""What stands before an issuer's subjects. Its only ``+`` ends it, so that no prefix can begin another one."""

SubjectEntries = Annotated[
    list[Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_SUBJECT)]], msgspec.Meta(max_length=MAX_SUBJECTS)
]
"""Which subjects of an issuer may be callers. What an entry is, `twokeys.subject` says."""


class CallerEntry(Message, frozen=True, kw_only=True):
    """A registered caller: kind, sponsor and our groups."""

    id: Id
    kind: Annotated[str, msgspec.Meta(pattern=r"^(person|machine)\Z")]
    sponsor: IdOrEmpty = ""
    groups: list[Short] = msgspec.field(default_factory=list)


class Verifier(Message, frozen=True, kw_only=True):
    """A SCRAM-SHA-256 verifier of one caller at one target (RFC 5803 form as PostgreSQL stores it)."""

    caller: Id
    target: Id
    verifier: Annotated[str, msgspec.Meta(max_length=512)]


class Issuer(Message, frozen=True, kw_only=True):
    """An OpenID Connect issuer whose tokens callers may use, with its keys (RFC 7517); see `twokeys.issuer`.

    `subject_prefix` comes before a token's `sub` and its groups; without one, `bare_subjects` must say that its
    subjects are caller ids as they are. `require_nbf`: a token without `nbf` is refused. `subjects` says which of its
    subjects may be callers (`twokeys.subject`); empty: every one, unless it signs for everybody
    (`twokeys.shared_issuer`).
    """

    issuer: Annotated[str, msgspec.Meta(max_length=512)]
    jwks: dict[str, Any]
    sponsor_claim: Short = ""
    groups_claim: Short = ""
    subject_prefix: Prefix = ""
    bare_subjects: bool = False
    require_nbf: bool = True
    subjects: SubjectEntries = msgspec.field(default_factory=list)


class Bundle(Message, frozen=True, kw_only=True):
    """All that an Edge knows of the world.

    Times are seconds since the epoch by the control plane's clock. `refresh_seconds` is how often an Edge is asked to
    look for a newer one; 0: as it likes. `keys` is the signed key list: verification keys
    for approvals and seals by `PublicKey.to_json`, old ones included. `wrapping_key` is DER of the RSA public key to
    which session data keys are wrapped, in base64, with its id.
    """

    edge_id: Id
    revision: Count
    issued_at: Count
    not_after: Count
    refresh_seconds: Count = 0
    targets: list[Id]
    policies: str
    policy_revision: Count
    callers: list[CallerEntry]
    verifiers: list[Verifier]
    issuers: list[Issuer] = msgspec.field(default_factory=list)
    keys: list[dict[str, str]]
    wrapping_key_id: Short
    wrapping_key: str


def head_payload(data: bytes, bundle: Bundle) -> Mapping[str, str | int]:
    """The signed payload for a Bundle's exact bytes."""
    return {
        "bundle_sha256": sha256(data),
        "edge_id": bundle.edge_id,
        "revision": bundle.revision,
        "issued_at": bundle.issued_at,
        "not_after": bundle.not_after,
    }


def open_bundle(signed: SignedBundle, edge_id: str, at_least: int, keys: Mapping[str, PublicKey]) -> Bundle:
    """Check and read a Bundle.

    Args:
        signed: As received.
        edge_id: The Edge it must be for.
        at_least: The revision the Edge holds already.
        keys: Pinned approval-role keys.

    Raises:
        InvalidInput: when it can't be read.
        Refused: for a bad signature, another Edge's Bundle, or a lower revision.
    """
    data = from_base64(signed.bundle)
    if len(data) > MAX_BUNDLE_BYTES:
        raise InvalidInput("A bundle is too long.", not_done="The old one stays.")
    bundle = decode(Bundle, data, MAX_BUNDLE_BYTES)
    verify(
        TYPE,
        KeyRole.APPROVAL,
        head_payload(data, bundle),
        Signature(signed.key_id, from_base64(signed.signature)),
        keys,
    )
    if bundle.edge_id != edge_id:
        raise Refused("A bundle is for another edge.", not_done="The old one stays.", code="foreign_bundle")
    if bundle.revision < at_least:
        raise Refused(
            f"A bundle has revision {bundle.revision}, older than {at_least}.",
            not_done="The old one stays.",
            code="bundle_rollback",
        )
    return bundle
