"""A session grant: leave to write for some minutes, asked for and approved as such, before there are any statements.

    asked for by a person ─▶ pending ─▶ approved, for so many minutes ─▶ lapsed | withdrawn (revoked)
                                            └─ each covered Command draws one of its statements, as a Request of its own

Rules:
  1. A grant is bound to caller, target, Edge, and to each object with one effect on it: write or ddl, never more.
  2. What is covered is decided anew for each Command, under the policy in force: whoever approved the grant must still
     be one who may approve that Command, and be as many as it needs.
  3. A drawn Command is recorded, signed for and spent as any other, once. A grant never covers another grant.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from twokeys.digest import Json, digest
from twokeys.effect import Access, Effect, ObjectKind, read_access
from twokeys.errors import InvalidInput

KIND: Final = "SESSION GRANT"
"""What a grant is called where a Command's kind stands."""

MAX_MINUTES: Final = 240
"""Longest grant."""

MAX_STATEMENTS: Final = 1000
"""Most statements of one grant."""

MAX_OBJECTS: Final = 50
"""Most objects of one grant: a reviewer reads all of them."""

MAX_REASON_CHARACTERS: Final = 2000


@dataclass(frozen=True, slots=True)
class GrantTerms:
    """What a grant covers.

    Args:
        caller: Caller id.
        target: Target id.
        edge: Id of the Edge through which it counts.
        minutes: From its approval on.
        statements: How many Commands may draw on it.
        accesses: Tables and what may be done to each; sorted, without doubles.
        reason: Why, for who decides.
    """

    caller: str
    target: str
    edge: str
    minutes: int
    statements: int
    accesses: tuple[Access, ...]
    reason: str

    def __post_init__(self) -> None:
        if not 1 <= self.minutes <= MAX_MINUTES or not 1 <= self.statements <= MAX_STATEMENTS:
            raise _bad(f"it is for 1 to {MAX_MINUTES} minutes and 1 to {MAX_STATEMENTS} statements")
        if not 1 <= len(self.accesses) <= MAX_OBJECTS or list(self.accesses) != sorted(set(self.accesses)):
            raise _bad(f"it names 1 to {MAX_OBJECTS} objects, each once")
        if not self.reason.strip() or len(self.reason) > MAX_REASON_CHARACTERS:
            raise _bad(f"it needs a reason of at most {MAX_REASON_CHARACTERS} characters")
        for access in self.accesses:
            if access.effect not in (Effect.WRITE, Effect.DDL):
                raise _bad("it covers write and ddl alone: anything else is asked about each time")
            schema, _, name = access.object.name.partition(".")
            if access.object.kind is not ObjectKind.TABLE or not schema or not name:
                raise _bad("it names tables with their schema: write:table:public.orders")

    def covers(self, access: Access) -> bool:
        """Whether it covers this: the same object, the same effect."""
        return access in self.accesses

    def to_json(self) -> Mapping[str, Json]:
        """Canonical JSON material: what is stored as its blob, and digested."""
        return {
            "kind": "grant",
            "caller": self.caller,
            "target": self.target,
            "edge": self.edge,
            "minutes": self.minutes,
            "statements": self.statements,
            "accesses": [access.spelled for access in self.accesses],
            "reason": self.reason,
        }

    @property
    def digest(self) -> str:
        """What people approve, 64 hexadecimal digits: of another type than a Command's, so never taken for one."""
        return digest("grant", self.to_json())

    @property
    def told(self) -> str:
        """All of it in words, for who decides."""
        lines = [f"{access.effect.word:<6} {access.object.name}" for access in self.accesses]
        return "\n".join((
            f"{self.caller} may run at most {self.statements} statements in {self.target} (edge {self.edge})",
            f"for {self.minutes} minutes from the approval on, without asking again, that touch nothing but:",
            *lines,
            "Reason:",
            self.reason,
        ))  # fmt: skip


def read_terms(value: Mapping[str, Any]) -> GrantTerms:
    """Read `GrantTerms.to_json` back.

    Raises:
        InvalidInput: when it is no grant.
    """
    try:
        if value["kind"] != "grant":
            raise _bad("it is of another kind")
        terms = GrantTerms(
            str(value["caller"]), str(value["target"]), str(value["edge"]), value["minutes"], value["statements"],
            tuple(read_access(one) for one in value["accesses"]), str(value["reason"]),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError) as error:
        raise _bad("it can't be read") from error
    if terms.to_json() != value:
        raise _bad("it is not in its canonical form")
    return terms


def _bad(why: str) -> InvalidInput:
    return InvalidInput(f"The grant is not valid: {why}.", not_done="It was not asked for.",
                        advice="Ask for what the work needs, and no more.", code="bad_grant")  # fmt: skip
