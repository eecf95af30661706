"""Who may sign in at one target, by the Bundle in force: callers with a credential, and issuers that are trusted."""

from __future__ import annotations

from edge_agent.protocols.postgres.startup_rules import OidcUser, ScramUser
from twokeys.bundle import Bundle, CallerEntry, Issuer
from twokeys.caller import Caller, CallerKind
from twokeys.errors import TwokeysError
from twokeys.issuer import issuer_of, may_stand_for
from twokeys.issuer_keys import IssuerKeys
from twokeys.shared_issuer import admitted
from twokeys.verifier import ScramVerifier


class BundleDirectory:
    """Looks users up in the newest Bundle; built anew with each."""

    def __init__(self, bundle: Bundle, target: str) -> None:
        """Index the Bundle's callers, verifiers and issuers for this target."""
        self._callers = {entry.id: caller_of(entry) for entry in bundle.callers}
        self._verifiers = {one.caller: one.verifier for one in bundle.verifiers if one.target == target}
        self._issuers = bundle.issuers
        self._keys = {one.issuer: keys for one in bundle.issuers if (keys := _issuer_keys(one)) is not None}

    def lookup(self, user: str) -> ScramUser | OidcUser | None:
        """See `startup_rules.Directory`. A caller with a credential here signs in with it, others by a token."""
        registered = self._callers.get(user)
        verifier = self._verifiers.get(user)
        if verifier is not None and registered is not None:
            try:
                return ScramUser(ScramVerifier.parse(verifier), registered)
            except TwokeysError:
                return None
        issuer = issuer_of(user, self._issuers)
        keys = self._keys.get(issuer.issuer) if issuer is not None else None
        if issuer is None or keys is None or (registered is not None and not may_stand_for(issuer, registered.kind)):
            return None
        return OidcUser([keys], registered, keys.subjects.admits_caller(keys.subject_prefix, user))


def _issuer_keys(issuer: Issuer) -> IssuerKeys | None:
    """An issuer's keys; one whose keys or subjects can't be used is left out, so that it can't lock out everybody else.

    So is one that signs for everybody and has no subjects, though a control plane trusted it: nobody signs in by it.
    """
    try:
        return IssuerKeys.from_jwks(
            issuer.issuer,
            issuer.jwks,
            sponsor_claim=issuer.sponsor_claim,
            groups_claim=issuer.groups_claim,
            subject_prefix=issuer.subject_prefix,
            require_nbf=issuer.require_nbf,
            subjects=admitted(issuer.issuer, issuer.subjects),
        )
    except TwokeysError:
        return None


def caller_of(entry: CallerEntry) -> Caller:
    """A registered caller as the gate and the records know it."""
    kind = CallerKind(entry.kind)
    sponsor = entry.sponsor if kind is CallerKind.MACHINE else ""
    return Caller(entry.id, kind, sponsor, tuple(sorted(set(entry.groups))))
