"""The Bundle of an Edge: built from what is in force, signed."""

from __future__ import annotations

import msgspec

from twokeys.bundle import TYPE, Bundle, CallerEntry, head_payload
from twokeys.digest import to_base64
from twokeys.messages import SignedBundle
from twokeys.signature import KeyRole

from ..ports.clock import Clock
from ..ports.edges import Edge, Edges
from ..ports.people import People
from ..ports.policies import Policies
from ..ports.signer import Signer
from ..ports.wrapping import Wrapping
from .limits import Limits


class Bundles:
    """Builds them."""

    def __init__(
        self, edges: Edges, people: People, policies: Policies, signer: Signer, wrapping: Wrapping, clock: Clock,
        limits: Limits,
    ) -> None:  # fmt: skip
        self._edges, self._people, self._policies = edges, people, policies
        self._signer, self._wrapping, self._clock, self._limits = signer, wrapping, clock, limits

    @property
    def revision(self) -> int:
        """The revision in force."""
        return self._edges.bundle_revision()

    def get(self, edge: Edge, have: int) -> SignedBundle | None:
        """The Bundle for an Edge; None when it has this revision."""
        # Read before the content: a change in between then comes again under a higher number, never is missed.
        revision = self.revision
        if have == revision:
            return None
        policy = self._policies.current()
        now = self._clock.now() // 1000
        bundle = Bundle(
            edge_id=edge.edge_id,
            revision=revision,
            issued_at=now,
            not_after=now + self._limits.bundle_seconds,
            refresh_seconds=self._limits.bundle_refresh_seconds,
            targets=edge.targets,
            policies=policy.text,
            policy_revision=policy.revision,
            callers=[
                CallerEntry(id=one.id, kind=one.kind.value, sponsor=one.sponsor, groups=list(one.groups))
                for one in self._people.callers()
            ],
            verifiers=self._people.verifiers(edge.targets),
            issuers=self._people.issuers(),
            keys=[{name: str(value) for name, value in one.to_json().items()} for one in self._signer.public_keys()],
            wrapping_key_id=self._wrapping.key_id,
            wrapping_key=to_base64(self._wrapping.public_der()),
        )
        data = msgspec.json.encode(bundle)
        signature = self._signer.sign(TYPE, head_payload(data, bundle), KeyRole.APPROVAL)
        return SignedBundle(bundle=to_base64(data), key_id=signature.key_id, signature=to_base64(signature.value))
