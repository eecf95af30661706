"""Which subjects of an issuer are its callers, and which caller each of them is.

    sub ─▶ Subjects.admits ─▶ caller_id(prefix, sub) ─▶ Caller

Rules:
  1. A subject is 1 to `MAX_SUBJECT` printable ASCII characters (OpenID Connect Core 1.0 section 2). It is compared
     byte by byte, as the token has it: no case is folded, nothing is trimmed, decoded or normalised.
  2. An entry is one subject, or the beginning of many: what stands before a last ``*`` that follows ``:`` or ``/``. So
     ``repo:org/app:*`` takes in ``repo:org/app:ref:refs/heads/main``, and nothing of ``repo:org/app-evil``. There is
     no other wildcard, and none without a beginning.
  3. No entries at all: every subject.
  4. Behind a prefix no two subjects are one caller, whatever characters they hold.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, TypeGuard

from twokeys.errors import InvalidInput

MAX_SUBJECT: Final = 255
"""Longest `sub`, and longest entry, in ASCII characters (OpenID Connect Core 1.0 section 2)."""
MAX_SUBJECTS: Final = 64
"""Most entries of one issuer."""

ANY: Final = "*"
"""Ends an entry that is the beginning of subjects."""
_BOUNDARIES: Final = (":", "/")

_UNSPELLED: Final = re.compile(r"[^A-Za-z0-9._@-]")
_SPELLED: Final = re.compile(r"\+([0-9A-F]{2})")


@dataclass(frozen=True, slots=True)
class Subjects:
    """The subjects of an issuer that may be callers.

    Args:
        entries: At most `MAX_SUBJECTS`, each a subject or a beginning (rule 2); none: every subject.

    Raises:
        InvalidInput: for an entry that is neither, or too many of them.
    """

    entries: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.entries) > MAX_SUBJECTS:
            raise InvalidInput(
                f"An issuer has at most {MAX_SUBJECTS} subjects.",
                not_done="The issuer is not trusted.",
                advice="Give a beginning that they share, such as `repo:org/*`.",
                code="too_many_subjects",
            )
        for entry in self.entries:
            if not _is_entry(entry):
                raise InvalidInput(
                    "That is neither a subject nor the beginning of subjects.",
                    not_done="The issuer is not trusted.",
                    advice=f"Give a token's exact `sub`, at most {MAX_SUBJECT} printable ASCII characters, or its "
                    "beginning up to a : or / and then *, such as `repo:org/app:*`.",
                    code="bad_subject",
                )

    def admits(self, subject: object) -> bool:
        """Whether this `sub`, of whatever JSON type, may be a caller."""
        if not is_subject(subject):
            return False
        if not self.entries:
            return True
        # Compared with a beginning as text: a subject that ends in :* is no wildcard.
        return any(
            subject == entry
            if not is_beginning(entry)
            else subject.startswith(entry[:-1]) and len(subject) >= len(entry)
            for entry in self.entries
        )

    def admits_caller(self, prefix: str, caller: str) -> bool:
        """Whether this caller, behind this prefix, is one of them; without entries, every caller is."""
        return not self.entries or self.admits(subject_of(prefix, caller))


EVERY: Final = Subjects()
"""Every subject."""


def is_subject(claim: object) -> TypeGuard[str]:
    """Whether a claim is a `sub` that can be compared and spelled (rule 1)."""
    return isinstance(claim, str) and 0 < len(claim) <= MAX_SUBJECT and claim.isascii() and claim.isprintable()


def is_beginning(entry: str) -> bool:
    """Whether an entry is the beginning of subjects, rather than one of them."""
    return entry.endswith(ANY)


def caller_id(prefix: str, subject: str) -> str:
    """The caller of an issuer's subject: ``gh+`` and ``repo:org/app`` are ``gh+repo+3Aorg+2Fapp``.

    Behind a prefix, what an id can't hold is ``+`` and two hexadecimal digits, ``+`` itself too, so that no two
    subjects are one caller. A bare subject is a caller as it is. Whether it is short enough, `Caller` says.

    Raises:
        InvalidInput: for a subject that is empty, too long, or not printable ASCII.
    """
    if not is_subject(subject):
        raise InvalidInput("A token's subject can't be a caller.", not_done="Nobody was signed in.", code="bad_subject")
    if not prefix:
        return subject
    return prefix + _UNSPELLED.sub(lambda found: f"+{ord(found[0]):02X}", subject)


def subject_of(prefix: str, caller: str) -> str | None:
    """The one subject that is this caller behind this prefix; None when none is: the inverse of `caller_id`."""
    if not caller.startswith(prefix):
        return None
    subject = caller.removeprefix(prefix)
    if prefix:
        subject = _SPELLED.sub(lambda found: chr(int(found[1], 16)), subject)
    try:
        return subject if caller_id(prefix, subject) == caller else None
    except InvalidInput:
        return None


def _is_entry(entry: str) -> bool:
    if not is_subject(entry) or entry != entry.strip():
        return False
    if ANY not in entry:
        return True
    beginning = entry[:-1]
    return is_beginning(entry) and ANY not in beginning and beginning.endswith(_BOUNDARIES) and len(beginning) > 1
