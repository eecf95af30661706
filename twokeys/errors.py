"""The few errors of Twokeys. Each says what happened, what was not done, and what to try.

TwokeysError
├── InvalidInput   they sent something malformed, oversize or not understood
├── Refused        understood, and not permitted (identity, state, policy, signature)
├── Unavailable    a part that is needed can't be reached; nothing was forwarded
└── Conflict       the state moved meanwhile; the caller may look again
"""

from __future__ import annotations


class TwokeysError(Exception):
    """Base of every error that Twokeys raises on purpose.

    Args:
        happened: One sentence, what happened.
        not_done: What was therefore not done (empty where nothing was asked for).
        advice: What to try.
        code: A stable machine-readable word, `lower_snake_case`.
    """

    def __init__(self, happened: str, *, not_done: str = "", advice: str = "", code: str = "") -> None:
        super().__init__(happened)
        self.happened = happened
        self.not_done = not_done
        self.advice = advice
        self.code = code or type(self).__name__.lower()

    def __str__(self) -> str:
        return " ".join(part for part in (self.happened, self.not_done, self.advice) if part)


class InvalidInput(TwokeysError):
    """The peer sent something malformed, oversize or not understood."""


class Refused(TwokeysError):
    """Understood, and not permitted."""


class Unavailable(TwokeysError):
    """A needed part can't be reached."""


class Conflict(TwokeysError):
    """The state moved between the look and the change."""
