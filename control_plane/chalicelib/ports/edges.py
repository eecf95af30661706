"""Registered Edges: tokens, keys, targets, the chain heads they told, and the calls already answered."""

from __future__ import annotations

from typing import Final, Protocol

import msgspec

from twokeys.edge_call import EdgeCall
from twokeys.record import ChainHead

from .records import Note

HEAD_SLACK_MILLISECONDS: Final = 10_000
"""By how much a call with a lower chain head may have been signed after the one with the highest."""


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """A one-time enrolment token, by its hash; `expires_at` in milliseconds."""

    token_sha256: str
    edge_id: str
    targets: list[str]
    expires_at: int


class Edge(msgspec.Struct, frozen=True, kw_only=True):
    """An enrolled Edge; `key` is its public key's DER."""

    edge_id: str
    targets: list[str]
    key: bytes


class Edges(Protocol):
    """The store."""

    def add_token(self, token: Token, note: Note) -> None:
        """Keep a token; its Edge's older unused tokens go. Raises Conflict when the Edge is enrolled."""

    def enrol(self, token_sha256: str, key: bytes, note: Note) -> Edge:
        """Use a token, once, and register the key. The same token with the same key again returns the Edge.

        Raises:
            Refused: for an unknown, expired or used token.
        """

    def edge(self, edge_id: str) -> Edge | None:
        """An enrolled Edge; None when it was revoked."""

    def edges(self) -> list[Edge]:
        """Every enrolled Edge that is not revoked, by id."""

    def revoke(self, edge_id: str, note: Note) -> bool:
        """Never hear this Edge again: its unused token goes too, its chain stays. Whether anything changed.

        The id is not used again: `add_token` raises Conflict with code ``revoked``.
        """

    def admit(self, call: EdgeCall, forget_nonces_before: int) -> ChainHead:
        """Take note of a verified call: its nonce is used up, its chain head is known from here on.

        Heads are kept per chain (`EdgeCall.source`). The kept head only rises. A head that contradicts one that was
        told is a fork; a lower one counts only in a call that was signed before the kept one, give or take
        `HEAD_SLACK_MILLISECONDS`: calls overtake each other.

        Returns:
            The kept head.

        Raises:
            Refused: with code ``replayed_call`` for a used nonce, ``chain_fork`` for a fork or a chain gone back.
        """

    def head(self, source: str) -> ChainHead | None:
        """The highest head that this chain told, None before its first call."""

    def told_heads(self, source: str, first: int, last: int) -> list[ChainHead]:
        """Heads told of a chain with sequences from `first` to `last`: a Segment must pass through them."""

    def forget_heads(self, source: str, up_to: int) -> None:
        """Drop heads that a Seal covers; the highest stays."""

    def bundle_revision(self) -> int:
        """Rises with every change of what a Bundle holds."""
