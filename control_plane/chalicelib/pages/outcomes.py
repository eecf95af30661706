"""What became of a Request, in a sentence that says who, and whether anything ran."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from twokeys.request import State


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a finished or running Request.

    Args:
        state: Where it stands.
        people: Who decided.
        reason: Why it was withdrawn, failed or is in doubt; empty where nobody said.
        rows: Rows affected, where the server told.
        sqlstate: PostgreSQL's error code, for a failed one.
        drawn: Of a session grant: how many statements were drawn on it, of how many.
    """

    state: State
    people: Sequence[str] = ()
    reason: str = ""
    rows: int | None = None
    sqlstate: str = ""
    drawn: tuple[int, int] | None = None


def outcome(facts: Facts) -> str:
    """The sentence; empty while a Request is pending."""
    who = _names(facts.people)
    because = f": {facts.reason.rstrip('. ')}" if facts.reason else ""
    if facts.drawn is not None:
        return _of_grant(facts.state, who, because, *facts.drawn)
    match facts.state:
        case State.PENDING:
            return ""
        case State.APPROVED:
            return f"{who} approved it. It has not run yet."
        case State.SPENDING:
            return f"{who} approved it. The edge is running it, once."
        case State.DONE:
            rows = "" if facts.rows is None else f", {facts.rows} row{'' if facts.rows == 1 else 's'} affected"
            return f"{who} approved it. It ran{rows}."
        case State.FAILED:
            code = f" with error {facts.sqlstate}" if facts.sqlstate else ""
            return f"{who} approved it. The database refused it{code}{because}."
        case State.IN_DOUBT:
            return f"{who} approved it. Whether it ran isn't known{because}."
        case State.DENIED:
            return f"{who} denied it. Nothing was run."
        case State.EXPIRED:
            return "Nobody answered in time, so it was denied. Nothing was run."
        case State.WITHDRAWN:
            return f"The caller withdrew it{because}. Nothing was run."
        case State.LAPSED:
            return f"{who} approved it, but it was not picked up in time. Nothing was run."


def _of_grant(state: State, who: str, because: str, drawn: int, most: int) -> str:
    used = f"{drawn} of its {most} statements {'was' if drawn == 1 else 'were'} used."
    match state:
        case State.PENDING:
            return ""
        case State.APPROVED:
            return f"{who} approved it. {used}"
        case State.DENIED:
            return f"{who} denied it."
        case State.EXPIRED:
            return "Nobody answered in time, so it was denied."
        case State.WITHDRAWN:
            return f"It was revoked{because}. {used}"
        case _:
            return f"Its time is over. {used}"


def _names(people: Sequence[str]) -> str:
    if not people:
        return "Somebody"
    return people[0] if len(people) == 1 else f"{', '.join(people[:-1])} and {people[-1]}"
