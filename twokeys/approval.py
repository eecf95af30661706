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
        preview_digest: Of the Preview that people were shown (`twokeys.preview`); empty without one.
        most_rows: Rows that it may affect: the Preview's exact count; None where there was none.
        grant: Id of the session grant that it was drawn on; empty when people decided about the Command itself.
    """

    request_id: str
    edge_id: str
    nonce: str
    command_digest: str
    requirement: str
    approvers: tuple[str, ...]
    chain_sequence: int
    chain_hash: str
    preview_digest: str = ""
    most_rows: int | None = None
    grant: str = ""

    def __post_init__(self) -> None:
        if not self.approvers or list(self.approvers) != sorted(set(self.approvers)):
            raise InvalidInput("An approval names no approvers, or not in order.", not_done="It was not built.")
        if len(self.nonce) < 32:
            raise InvalidInput("An approval's nonce is too short.", not_done="It was not built.")
        if self.most_rows is not None and (self.most_rows < 0 or not self.preview_digest):
            raise InvalidInput("An approval bounds its rows without a preview.", not_done="It was not built.")

    def to_json(self) -> Mapping[str, Json]:
        """The signed payload; what is absent is left out."""
        payload: dict[str, Json] = {
            "request_id": self.request_id,
            "edge_id": self.edge_id,
            "nonce": self.nonce,
            "command_digest": self.command_digest,
            "requirement": self.requirement,
            "approvers": list(self.approvers),
            "chain_sequence": self.chain_sequence,
            "chain_hash": self.chain_hash,
        }
        if self.preview_digest:
            payload["preview_digest"] = self.preview_digest
        if self.most_rows is not None:
            payload["most_rows"] = self.most_rows
        if self.grant:
            payload["grant"] = self.grant
        return payload


def check(approval: Approval, signature: Signature, expected: Approval, keys: Mapping[str, PublicKey]) -> None:
    """Accept an Approval only when it is signed and is for exactly what the Edge expects.

    Args:
        approval: As received.
        signature: As received.
        expected: What the Edge itself would write; approvers and grant are taken from `approval`.
        keys: The pinned approval keys.

    Raises:
        Refused: when the signature does not hold or any field differs.
    """
    verify(TYPE, KeyRole.APPROVAL, approval.to_json(), signature, keys)
    mine, theirs = dict(expected.to_json()), dict(approval.to_json())
    for told in ("approvers", "grant"):
        mine.pop(told, None), theirs.pop(told, None)
    wrong = sorted(name for name in mine.keys() | theirs.keys() if mine.get(name) != theirs.get(name))
    if wrong:
        raise Refused(
            f"The approval is for something else ({', '.join(wrong)} differ).",
            not_done="The command was not forwarded.",
            code="approval_mismatch",
        )
