"""An Approval: a signed, single-use permission to forward one Command.

It is made by the spend route alone, in the same step that moves the Request to `spending`, and is checked by the
Edge against what it is about to forward. Nothing in it can be chosen by the requester.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from twokeys.digest import Json
from twokeys.errors import InvalidInput, Refused
from twokeys.signature import KeyRole, PublicKey, Signature, verify

TYPE = "approval"
"""Name of the signed type."""


@dataclass(frozen=True, slots=True)
class Approval:
    """What the control plane signs at spend.

    Args:
        request_id: The Request that was spent.
        edge_id: The Edge that asked, and may forward.
        nonce: The Edge's fresh nonce of this spend (at least 128 bits, hexadecimal).
        command_digest: `twokeys.command.command_digest` of what was approved.
        requirement: Digest of the requirement (policy ids, number of approvals) under which people decided.
        approvers: Ids of the people who approved, sorted.
        chain_sequence: Sequence of the Edge's chain head that came with the spend.
        chain_hash: Hash of that head.
    """

    request_id: str
    edge_id: str
    nonce: str
    command_digest: str
    requirement: str
    approvers: tuple[str, ...]
    chain_sequence: int
    chain_hash: str

    def __post_init__(self) -> None:
        if not self.approvers or list(self.approvers) != sorted(set(self.approvers)):
            raise InvalidInput("An approval names no approvers, or not in order.", not_done="It was not built.")
        if len(self.nonce) < 32:
            raise InvalidInput("An approval's nonce is too short.", not_done="It was not built.")

    def to_json(self) -> Mapping[str, Json]:
        """The signed payload."""
        return {
            "request_id": self.request_id,
            "edge_id": self.edge_id,
            "nonce": self.nonce,
            "command_digest": self.command_digest,
            "requirement": self.requirement,
            "approvers": list(self.approvers),
            "chain_sequence": self.chain_sequence,
            "chain_hash": self.chain_hash,
        }


def check(approval: Approval, signature: Signature, expected: Approval, keys: Mapping[str, PublicKey]) -> None:
    """Accept an Approval only when it is signed and is for exactly what the Edge expects.

    Args:
        approval: As received.
        signature: As received.
        expected: What the Edge itself would write; approvers are taken from `approval`.
        keys: The pinned approval keys.

    Raises:
        Refused: when the signature does not hold or any field differs.
    """
    verify(TYPE, KeyRole.APPROVAL, approval.to_json(), signature, keys)
    mine, theirs = dict(expected.to_json()), dict(approval.to_json())
    mine.pop("approvers"), theirs.pop("approvers")
    wrong = sorted(name for name in mine if mine[name] != theirs[name])
    if wrong:
        raise Refused(
            f"The approval is for something else ({', '.join(wrong)} differ).",
            not_done="The command was not forwarded.",
            code="approval_mismatch",
        )
