"""The Bundle: pulled, verified, kept on disk, never older than one seen before; and what its age permits.

    fresh            reads and writes as policy says
    past not_after   writes denied at once
    + stale seconds  reads denied too

New keys are pinned only from a Bundle that a pinned key signed. Times are the estimate of the control plane's clock
(`clock`); before the first answer of a process writes are denied, since only the saved time vouches for the age.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec

from edge_agent.control.clock import ControlClock
from edge_agent.control.identity import EdgeState, StateFolder, pinned
from edge_agent.gate import Standing
from edge_agent.recorder.bodies import WrappingKey
from twokeys.bundle import MAX_BUNDLE_BYTES, Bundle, open_bundle
from twokeys.digest import from_base64, sha256
from twokeys.errors import InvalidInput, Refused, TwokeysError, Unavailable
from twokeys.messages import SignedBundle, decode, encode
from twokeys.policy import Policies
from twokeys.signature import PublicKey

BUNDLE_FILE: Final = "bundle.json"
DEFAULT_LOOK_SECONDS: Final = 15.0
"""How often a newer Bundle is looked for when neither owner nor Bundle says, and while pulling fails."""

DOUBT_SECONDS: Final = 10
"""How often a doubt makes the Edge look."""

SAVE_TIME_SECONDS: Final = 60
"""How often the time is saved, so that a restart without the control plane knows at least that."""

_MAX_FILE_BYTES: Final = MAX_BUNDLE_BYTES * 4 // 3 + 4096


@dataclass(frozen=True, slots=True)
class Known:
    """A verified Bundle, and what was read out of it.

    Args:
        bundle: As signed.
        policies: Its policies, validated.
        keys: The keys pinned from it.
        wrapping: Where session data keys are wrapped to.
        sha256: Of its exact bytes.
    """

    bundle: Bundle
    policies: Policies
    keys: Mapping[str, PublicKey]
    wrapping: WrappingKey
    sha256: str


class PullsBundles(Protocol):
    """What the keeper needs of the client."""

    async def bundle(self, have: int) -> SignedBundle | None:
        """The newest Bundle, None when it is the revision we have."""


class BundleKeeper:
    """Keeps the Bundle in force. `changed` is called with each new one, on the loop."""

    def __init__(
        self,
        folder: StateFolder,
        clock: ControlClock,
        stale_read_seconds: int,
        changed: Callable[[Known], None] = lambda known: None,
        alarm: Callable[[str], None] = lambda text: None,
    ) -> None:
        """Take up what the folder has.

        Args:
            folder: Where the Bundle and what is pinned are kept.
            clock: The estimate of the control plane's clock.
            stale_read_seconds: How long reads still pass after `not_after`.
            changed: Told each new Bundle.
            alarm: Told, once each, what is no outage: a forged, foreign or older Bundle.

        Raises:
            Refused: when the folder is not enrolled.
            InvalidInput: when its files are malformed.
            Unavailable: when they can't be read.
        """
        state = folder.state()
        if state is None:
            raise Refused("This edge has not been enrolled.", not_done="It was not started.", code="not_enrolled")
        self._folder, self._clock, self._stale = folder, clock, stale_read_seconds
        self._state: EdgeState = state
        self._changed, self._alarm = changed, alarm
        self._alarmed = ""
        self._soon = asyncio.Event()
        self._doubted_at = -DOUBT_SECONDS * 1000
        self.known: Known | None = None
        self.trouble = ""
        """Why the last pull failed, in words; empty when it didn't."""

    @property
    def keys(self) -> Mapping[str, PublicKey]:
        """The pinned keys."""
        return pinned(self._state.keys)

    def load(self) -> None:
        """Take up the last good Bundle from disk, if it still verifies; a broken one counts as none."""
        data = self._folder.read(BUNDLE_FILE, _MAX_FILE_BYTES)
        if data is None:
            return
        try:
            self._enter(self._verified(decode(SignedBundle, data, _MAX_FILE_BYTES)))
        except (InvalidInput, Refused) as error:
            self.trouble = f"The saved bundle was not used: {error.happened}"

    async def pull(self, client: PullsBundles) -> bool:
        """Ask for a newer Bundle and take it; return whether there was one. Raises what the call or the check does."""
        have = self.known.bundle.revision if self.known and not self._is_half_over(self.known.bundle) else 0
        signed = await client.bundle(have)
        if signed is None:
            return False
        # In a thread: verifying parses policies, keeping waits for the disk, and sessions share this loop.
        known = await asyncio.to_thread(self._verified, signed)
        if self.known is not None and known.sha256 == self.known.sha256:
            return False
        await asyncio.to_thread(self._keep, known.bundle, encode(signed))
        self._enter(known)
        return True

    async def run(self, client: PullsBundles, seconds: float = 0) -> None:
        """Pull now, at intervals, and whenever `soon` was called; for ever. With 0 as often as the Bundle asks for."""
        saved = self._clock.now()
        while True:
            self._soon.clear()
            try:
                await self.pull(client)
                self.trouble = self._alarmed = ""
                if self._clock.now() - saved >= SAVE_TIME_SECONDS * 1000:
                    saved = self._clock.now()
                    await asyncio.to_thread(self.save_time)
            except TwokeysError as error:
                self._note(error)
            with contextlib.suppress(TimeoutError):
                # Jitter, so that a fleet does not come back all at once.
                await asyncio.wait_for(
                    self._soon.wait(),
                    (seconds or self._interval()) * random.uniform(0.8, 1.2),  # noqa: S311
                )

    def _interval(self) -> float:
        """As the Bundle asks, but in time for the next one before this one ends; often while there is none, or trouble.

        Trouble is worth the more frequent look: writes are denied once the Bundle is over.
        """
        if self.known is None or self.trouble or not self.known.bundle.refresh_seconds:
            return DEFAULT_LOOK_SECONDS
        life = self.known.bundle.not_after - self.known.bundle.issued_at
        return max(1.0, min(self.known.bundle.refresh_seconds, life / 2))

    def doubted(self) -> None:
        """Something suggests that there is a newer Bundle: look now, unless that was done just now.

        A caller who can't sign in and a Request refused under other rules suggest it; strangers can do the first as
        often as they like.
        """
        now = self._clock.now()
        if now - self._doubted_at >= DOUBT_SECONDS * 1000:
            self._doubted_at = now
            self._soon.set()

    def soon(self, revision: int) -> None:
        """The control plane mentioned this revision: pull when it is news."""
        if self.known is None or revision > self.known.bundle.revision:
            self._soon.set()

    def standing(self) -> Standing:
        """How far the Edge may act now."""
        if self.known is None:
            why = "The edge has no bundle of policies yet."
            return Standing(why, why)
        over = self._clock.now() / 1000 - self.known.bundle.not_after
        if over > self._stale:
            why = "The edge's bundle of policies is too old, and the control plane can't be reached for a new one."
            return Standing(why, why)
        if over > 0:
            return Standing(
                "The edge's bundle of policies has expired, and the control plane can't be reached for a new one."
            )
        if not self._clock.heard_any:
            return Standing("The edge has not heard from the control plane since it was started.")
        return Standing()

    def save_time(self) -> None:
        """Save the estimated time, if it rests on an answer."""
        if self._clock.heard_any:
            self._save(replace_time(self._state, self._clock))

    def _verified(self, signed: SignedBundle) -> Known:
        bundle = open_bundle(signed, self._state.edge_id, self._state.revision, self.keys)
        held = self.known
        if held is not None and (bundle.revision, bundle.issued_at) < (held.bundle.revision, held.bundle.issued_at):
            raise Refused(
                "A bundle was issued before the one in force.", not_done="The newer one stays.", code="bundle_rollback"
            )
        return understand(signed, bundle)

    def _keep(self, bundle: Bundle, data: bytes) -> None:
        """First the Bundle, then the floor: a crash in between leaves a Bundle that is newer than the floor."""
        self._folder.write(BUNDLE_FILE, data)
        state = msgspec.structs.replace(self._state, keys=list(bundle.keys), revision=bundle.revision)
        self._save(replace_time(state, self._clock))

    def _enter(self, known: Known) -> None:
        self.known = known
        self._changed(known)

    def _note(self, error: TwokeysError) -> None:
        self.trouble = error.happened
        if not isinstance(error, Unavailable) and self.trouble != self._alarmed:
            self._alarmed = self.trouble
            self._alarm(self.trouble)

    def _save(self, state: EdgeState) -> None:
        self._folder.save_state(state)
        self._state = state

    def _is_half_over(self, bundle: Bundle) -> bool:
        return self._clock.now() / 1000 > (bundle.issued_at + bundle.not_after) / 2


def understand(signed: SignedBundle, bundle: Bundle) -> Known:
    """Read out of a verified Bundle what the Edge works with.

    Raises:
        InvalidInput: when any of it can't be used: such a Bundle is not taken at all.
    """
    if bundle.not_after < bundle.issued_at:
        raise InvalidInput("A bundle ends before it begins.", not_done="The old one stays.")
    return Known(
        bundle,
        Policies(bundle.policies, bundle.policy_revision),
        pinned(bundle.keys),
        WrappingKey.read(bundle.wrapping_key_id, bundle.wrapping_key),
        sha256(from_base64(signed.bundle)),
    )


def replace_time(state: EdgeState, clock: ControlClock) -> EdgeState:
    """The state with the estimated time, when that rests on an answer."""
    return msgspec.structs.replace(state, time=clock.saved()) if clock.heard_any else state
