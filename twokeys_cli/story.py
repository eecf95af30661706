"""The story that `twokeys demo` plays, as data: who asks for what, who answers how, and what must come of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Approve:
    """The reviewer approves on the page."""


@dataclass(frozen=True, slots=True)
class Deny:
    """The reviewer denies on the page."""

    reason: str


@dataclass(frozen=True, slots=True)
class Silence:
    """Nobody answers, until the time is over."""


@dataclass(frozen=True, slots=True)
class Read:
    """A statement that must pass at once.

    Args:
        about: One line for the person who watches.
        sql: What the caller sends.
        answer: What psql must print.
    """

    about: str
    sql: str
    answer: str


@dataclass(frozen=True, slots=True)
class Write:
    """A statement that must wait.

    Args:
        about: One line for the person who watches.
        sql: What the caller sends.
        answer: How the reviewer answers.
        caller_sees: Words that the caller's psql must print, on either stream.
        outcomes: What the auditor's records must say of it.
        check: A read and what it must answer afterwards: whether the database has it.
    """

    about: str
    sql: str
    answer: Approve | Deny | Silence
    caller_sees: str
    outcomes: frozenset[str]
    check: tuple[str, str]


STORY: tuple[Read | Write, ...] = (
    Read("A read passes", "SELECT count(*) FROM shop.orders WHERE status = 'open'", "50"),
    Write(
        "An UPDATE waits, is approved on the page, and is applied",
        "UPDATE shop.orders SET status = 'cancelled' WHERE id = 4",
        Approve(),
        "UPDATE 1",
        frozenset({"approved", "done"}),
        ("SELECT status FROM shop.orders WHERE id = 4", "cancelled"),
    ),
    Write(
        "A DELETE waits and is denied with a reason, which the caller reads",
        "DELETE FROM shop.orders WHERE customer_id = 12",
        Deny("Orders are never deleted. Cancel them instead."),
        "Orders are never deleted. Cancel them instead.",
        frozenset({"denied"}),
        ("SELECT count(*) > 0 FROM shop.orders WHERE customer_id = 12", "t"),
    ),
    Write(
        "An UPDATE that nobody answers expires",
        "UPDATE shop.customers SET credit_limit = 0",
        Silence(),
        "ERROR",
        frozenset({"expired"}),
        ("SELECT count(*) FROM shop.customers WHERE credit_limit = 0", "0"),
    ),
)
