"""The spend: the one place that signs an Approval.

approved, unexpired, this Edge, this digest ──one conditional write──▶ spending ──sign──▶ Approval
"""

from __future__ import annotations

import msgspec

from twokeys.approval import TYPE, Approval
from twokeys.digest import to_base64
from twokeys.errors import Conflict
from twokeys.messages import SpendReply, SpendRequest, encode
from twokeys.record import ChainHead, RecordType
from twokeys.signature import KeyRole

from ..ports.edges import Edge
from ..ports.requests import Requests, Spend, Spending, Stored
from ..ports.signer import Signer
from ..ports.workflow import Workflow
from .limits import Limits
from .notes import about
from .requests import not_found


class Spends:
    """Turns approved Requests into Approvals, each once."""

    def __init__(self, requests: Requests, signer: Signer, workflow: Workflow, limits: Limits) -> None:
        self._requests, self._signer, self._workflow, self._limits = requests, signer, workflow, limits

    def spend(self, edge: Edge, request_id: str, message: SpendRequest, head: ChainHead) -> SpendReply:
        """Spend a Request.

        Args:
            edge: Who asks, verified.
            request_id: Which one.
            message: Nonce and digest.
            head: The chain head that this call carried.

        Returns:
            The signed Approval. The same nonce again gets the very same bytes, as long as no result is known.

        Raises:
            Conflict: when it is not approved, has lapsed, was spent with another nonce, or is of another Command.
        """
        stored = self._requests.find(request_id)
        if stored is None or stored.asked.edge_id != edge.edge_id or stored.asked.is_grant:
            raise not_found()
        spending = Spending(nonce=message.nonce, xid=message.xid, chain_sequence=head.sequence, chain_hash=head.hash)
        approvers = sorted({vote.person_id for vote in stored.votes if vote.approve})
        spent = self._requests.spend(
            Spend(
                request_id=request_id,
                edge_id=edge.edge_id,
                command_digest=message.command_digest,
                spending=spending,
                result_milliseconds=self._limits.spend_seconds * 1000,
            ),
            about(RecordType.SPEND, stored.asked, approvers=approvers, xid=message.xid),
        )
        self._workflow.start(request_id, spent.due_at)
        return self._reply(spent)

    def _reply(self, spent: Stored) -> SpendReply:
        kept = spent.spending
        if kept is None:
            raise Conflict("The request was not spent.", not_done="No approval was made.", code="moved")
        reply = kept.reply or self._requests.keep_reply(spent.asked.id, kept.nonce, encode(self._sign(spent, kept)))
        return msgspec.json.decode(reply, type=SpendReply)

    def _sign(self, spent: Stored, kept: Spending) -> SpendReply:
        asked = spent.asked
        approval = Approval(
            request_id=asked.id,
            edge_id=asked.edge_id,
            nonce=kept.nonce,
            command_digest=asked.opened.command_digest,
            requirement=asked.requirement,
            approvers=tuple(sorted({vote.person_id for vote in spent.votes if vote.approve})),
            chain_sequence=kept.chain_sequence,
            chain_hash=kept.chain_hash,
            preview_digest=asked.opened.preview_digest,
            most_rows=asked.opened.most_rows,
            grant=spent.outcome.grant,
        )
        signature = self._signer.sign(TYPE, approval.to_json(), KeyRole.APPROVAL)
        return SpendReply(
            approval=dict(approval.to_json()), key_id=signature.key_id, signature=to_base64(signature.value)
        )
