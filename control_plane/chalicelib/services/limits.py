"""Every limit of the control plane that a deployment may set, in one place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MAX_EDIT_SECONDS: Final = 47 * 3600
"""Largest `edit_seconds`: each store forgets edits some time, and must not before they no longer count."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Times and counts; the sizes of messages are in `twokeys.messages`, those of stores with their ports.

    Args:
        max_hold_seconds: Longest time that people have, whatever an Edge asks for.
        lapse_seconds: How long an approval waits to be spent.
        retry_seconds: How long an approved retry grant waits for its caller to send the same again.
        spend_seconds: How long a spent Request waits for its result before it is in doubt.
        edit_seconds: For how long whoever edited the rules may not decide under them; at most `MAX_EDIT_SECONDS`.
        bundle_seconds: How long a Bundle is good for.
        bundle_refresh_seconds: How often Edges are asked to look for a newer one, where their owner says nothing.
        token_seconds: How long an enrolment token can be used.
        max_unfinished_per_edge: Requests of one Edge that are not over.
        max_open_proposals: Policy changes that wait for a decision.
    """

    max_hold_seconds: int = 3600
    lapse_seconds: int = 60
    retry_seconds: int = 3600
    spend_seconds: int = 600
    edit_seconds: int = 24 * 3600
    bundle_seconds: int = 900
    bundle_refresh_seconds: int = 15
    token_seconds: int = 24 * 3600
    max_unfinished_per_edge: int = 10_000
    max_open_proposals: int = 100

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1")
        if self.edit_seconds > MAX_EDIT_SECONDS:
            raise ValueError(f"edit_seconds must be at most {MAX_EDIT_SECONDS}")

    def lapse_of(self, retry: bool) -> int:
        """Seconds for which an approval can be spent: of a retry grant, or of a Command whose caller waits for it."""
        return self.retry_seconds if retry else self.lapse_seconds
