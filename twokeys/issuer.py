"""Whom the tokens of an issuer stand for, and which issuers can be trusted side by side.

Rules:
  1. A token's caller id is its issuer's prefix and its `sub`, spelled so that it can be one (`twokeys.subject`); the
     same prefix comes before its groups. An owner may say which subjects those are, and must say it of an issuer that
     signs for everybody (`twokeys.shared_issuer`).
  2. Prefixes differ, and none begins another: each id belongs to one issuer at most.
  3. One issuer may do without a prefix, if an owner says so in so many words. No id that begins with another issuer's
     prefix is its own.
  4. Behind a prefix no token stands for a registered person: link the id as an account instead.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

import msgspec

from twokeys.bundle import Issuer
from twokeys.caller import CallerKind, checked_id
from twokeys.errors import Conflict, InvalidInput
from twokeys.issuer_keys import usable_jwks
from twokeys.shared_issuer import admitted
from twokeys.subject import caller_id, is_beginning

MAX_ISSUERS: Final = 16
"""Most issuers of one deployment."""
MAX_URL: Final = 200
"""Longest issuer, in characters."""
MAX_CLAIM: Final = 64
"""Longest name of a claim."""

_PREFIX: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,30}\+")


def is_prefix(text: str) -> bool:
    """Whether an issuer's callers could begin with this."""
    return _PREFIX.fullmatch(text) is not None


def issuer_of(caller_id: str, issuers: Iterable[Issuer]) -> Issuer | None:
    """The one issuer whose tokens may stand for this caller; None when there is none, or more than one."""
    known = list(issuers)
    found = [one for one in known if one.subject_prefix and caller_id.startswith(one.subject_prefix)]
    if not found:
        found = [one for one in known if one.bare_subjects and not one.subject_prefix]
    return found[0] if len(found) == 1 else None


def may_stand_for(issuer: Issuer, kind: CallerKind) -> bool:
    """Whether its tokens may stand for a registered caller of this kind."""
    return kind is CallerKind.MACHINE or not issuer.subject_prefix


def may_be_caller(issuer: Issuer, caller: str) -> bool:
    """Whether this caller is one of the issuer's subjects that may be callers."""
    try:
        return admitted(issuer.issuer, issuer.subjects).admits_caller(issuer.subject_prefix, caller)
    except InvalidInput:
        return False


def checked_issuer(issuer: Issuer, others: Iterable[Issuer]) -> Issuer:
    """An issuer as it may be trusted beside these others, with its usable public keys alone.

    Raises:
        InvalidInput: for an address, prefix, claim, subject or key set that can't be used, and for an issuer that
            signs for everybody, without subjects.
        Conflict: when its subjects could be taken for another issuer's, there are too many, or it had a list of
            subjects and would have none.
    """
    _check_address(issuer.issuer)
    if bool(issuer.subject_prefix) == issuer.bare_subjects or (
        issuer.subject_prefix and not is_prefix(issuer.subject_prefix)
    ):
        raise InvalidInput(
            "An issuer's subjects have a prefix that ends with +, or it is said that they are bare; not both.",
            not_done="The issuer is not trusted.",
            advice="Give a prefix such as `ci+`: its subject `deploy` is then the caller `ci+deploy`.",
            code="bad_prefix",
        )
    for claim in (issuer.sponsor_claim, issuer.groups_claim):
        if len(claim) > MAX_CLAIM or not claim.isprintable():
            raise InvalidInput("The name of a claim is malformed.", not_done="The issuer is not trusted.")
    known = list(others)
    _check_subjects(issuer, next((one for one in known if one.issuer == issuer.issuer), None))
    beside = [one for one in known if one.issuer != issuer.issuer]
    if len(beside) >= MAX_ISSUERS:
        raise Conflict(f"There are {MAX_ISSUERS} issuers.", not_done="The issuer is not trusted.", code="too_many")
    taken = next((one for one in beside if one.subject_prefix == issuer.subject_prefix), None)
    if taken is not None:
        raise Conflict(
            f"{taken.issuer} has {'that prefix' if issuer.subject_prefix else 'bare subjects'} already.",
            not_done="The issuer is not trusted.",
            advice="Give another prefix: a caller belongs to one issuer.",
            code="prefix_taken",
        )
    return msgspec.structs.replace(issuer, jwks=usable_jwks(issuer.issuer, issuer.jwks))


def _check_subjects(issuer: Issuer, before: Issuer | None) -> None:
    for entry in admitted(issuer.issuer, issuer.subjects).entries:
        # Not one that no token could ever sign in with: it is too long, or bare with a : in it.
        shortest = f"{entry[:-1]}x" if is_beginning(entry) else entry
        checked_id(caller_id(issuer.subject_prefix, shortest), "caller")
    if before is not None and before.subjects and not issuer.subjects:
        raise Conflict(
            f"{issuer.issuer} is trusted for {len(before.subjects)} of its subjects, and would be for all.",
            not_done="Nothing was changed.",
            advice="Name the subjects again; or, if all are meant, remove the issuer first.",
            code="subjects_dropped",
        )


def _check_address(issuer: str) -> None:
    """OpenID Connect Discovery section 3: an https URL without query and fragment."""
    try:
        parts = urlsplit(issuer)
        plain = parts.scheme == "https" and bool(parts.hostname) and "@" not in parts.netloc
        port_is_legal = parts.port is None or parts.port > 0
    except ValueError:
        plain = port_is_legal = False
    written = issuer.isascii() and issuer.isprintable() and len(issuer) <= MAX_URL
    if not (plain and port_is_legal and written) or any(sign in issuer for sign in " ?#"):
        raise InvalidInput(
            "That is no address of an issuer.",
            not_done="The issuer is not trusted.",
            advice="Give the exact `iss` of its tokens: https, no query, no fragment.",
            code="bad_issuer",
        )
