"""What supervisor and worker say to each other; both are one program of one start, so that nothing is versioned."""

from __future__ import annotations

from typing import Final, TypeAlias

import msgspec

MAX_MESSAGE_BYTES: Final = 2**20
"""Longest message on a link; the longest is `Begin`, with a configuration file of at most 64 KiB."""


class _Said(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    pass


class Begin(_Said, frozen=True):
    """The first word to a worker: the configuration as the supervisor read it, and secrets that all share.

    Args:
        text: The configuration file.
        name: Its name, for complaints.
        folder: Where its relative paths start.
        decoys: Per target, what makes up verifiers of unknown users: the same in all, or answers tell who is known.
    """

    text: str
    name: str
    folder: str
    decoys: list[bytes]


class Stop(_Said, frozen=True):
    """End your sessions, and then yourself."""

    reason: str


class Polled(_Said, frozen=True):
    """The long poll was answered with these Requests; `works` False: it failed."""

    wake: list[str]
    bundle: int = 0
    works: bool = True


class Newer(_Said, frozen=True):
    """There is a Bundle of this revision."""

    revision: int


class Answer(_Said, frozen=True):
    """What was asked for by this number: 0 is no; for `Claim` the rows."""

    number: int
    value: int


class Ready(_Said, frozen=True):
    """Connections may come."""


class Taken(_Said, frozen=True):
    """This connection has arrived."""

    connection: int


class Over(_Said, frozen=True):
    """This connection has ended."""

    connection: int


class Ask(_Said, frozen=True):
    """May people be asked about one more Command of this caller?"""

    number: int
    caller: str


class Answered(_Said, frozen=True):
    """They need not look any more."""

    caller: str


class Leave(_Said, frozen=True):
    """A Request goes on without its connection, so many seconds; 0: it is over."""

    caller: str
    request: str
    seconds: float


class Claim(_Said, frozen=True):
    """Reserve what is left of a budget of rows, under this number."""

    number: int
    caller: str
    target: str
    most: int
    minutes: int


class Settle(_Said, frozen=True):
    """So many rows of that reservation were changed."""

    number: int
    rows: int


class Watch(_Said, frozen=True):
    """Wake me for this Request, which is mine; with `on` False no longer."""

    request: str
    on: bool


class Heard(_Said, frozen=True):
    """Answer when all before this was taken note of."""

    number: int


class Cancel(_Said, frozen=True):
    """A CancelRequest for a session that is not here. To every other worker; the key decides."""

    target: str
    pid: int
    key: bytes


class Moved(_Said, frozen=True):
    """Tables of this target may be others now. To every other worker."""

    target: str


ToWorker: TypeAlias = Begin | Stop | Polled | Newer | Answer | Cancel | Moved
FromWorker: TypeAlias = Ready | Taken | Over | Ask | Answered | Leave | Claim | Settle | Watch | Heard | Cancel | Moved
