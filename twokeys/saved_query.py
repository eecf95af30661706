"""A question that auditors ask often: its SQL, written once for Athena and for DuckDB, and its parameters.

    saved SQL with $name ──▶ DuckDB runs it as it is
                         └─▶ positional() ──▶ Athena runs it with ? and execution parameters

One text for both engines: Athena's dialect (Trino), and of that only what DuckDB reads the same way. So no unit but
milliseconds in `date_diff` (the engines count others differently), no integer division, no JSON functions, no
`regexp_replace`, no alias in GROUP BY or WHERE, and every cast spelled out.

Values never become part of the text. A value for Athena is written as a literal (`literal`), because its execution
parameters are read as SQL expressions.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from twokeys.errors import InvalidInput

MAX_VALUE_CHARACTERS: Final = 1024
"""Longest value of a parameter: Athena's own limit for an execution parameter."""

_TIME: Final = re.compile(
    r"(\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01]))(?:T([01]\d|2[0-3]):([0-5]\d)(?::([0-5]\d)(?:\.(\d{1,3}))?)?Z?)?",
    re.ASCII,
)
_INTEGER: Final = re.compile(r"\d{1,9}", re.ASCII)

_PIECE: Final = re.compile(
    r"""
      '(?:[^']|'')*'                         # a text
    | "(?:[^"]|"")*"                         # a name; Athena's "$path" is one
    | --[^\n]*                               # a comment
    | /\*.*?\*/
    | \$(?P<name>[A-Za-z_][A-Za-z0-9_]{0,62})(?![A-Za-z0-9_$])
    | (?P<mark>\?)
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)


class ParameterType(enum.StrEnum):
    """What a value must look like. All go to the engines as text; the SQL casts."""

    TEXT = "text"
    TIME = "time"
    INTEGER = "integer"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One `$name` of a saved query.

    Args:
        name: Without the dollar.
        about: What it is, for the help.
        example: A value that fits.
        type: What is taken.
        default: Used when it is not given; empty: it must be given. ``now`` and ``now-30d`` are times that the
            command line fills in.
    """

    name: str
    about: str
    example: str
    type: ParameterType = ParameterType.TEXT
    default: str = ""

    def check(self, value: str) -> str:
        """The value, if it fits; a time is written out in full, as records have it.

        Raises:
            InvalidInput: otherwise.
        """
        fits = len(value) <= MAX_VALUE_CHARACTERS and "\0" not in value
        match self.type:
            case ParameterType.TIME:
                # Times are compared as text: a blank instead of T would be wrong without an error.
                if found := _TIME.fullmatch(value):
                    day, hour, minute, second, rest = (part or "" for part in found.groups())
                    return f"{day}T{hour or '00'}:{minute or '00'}:{second or '00'}.{rest:0<3}Z"
                fits = False
            case ParameterType.INTEGER:
                fits = fits and _INTEGER.fullmatch(value) is not None
            case ParameterType.TEXT:
                pass
        if not fits:
            raise InvalidInput(
                f"{value[:100]!r} is no {self.type.value} for ${self.name}.",
                not_done="The query was not run.",
                advice=f"Write for example {self.name}={self.example}.",
                code="bad_parameter",
            )
        return value


@dataclass(frozen=True, slots=True)
class SavedQuery:
    """One saved query.

    Args:
        name: ``lower_snake_case``, what `--saved` takes.
        question: What it answers, as an auditor would ask.
        about: How to read the answer, and what it can't say.
        sql: One SELECT with `$name` for values.
        parameters: Every `$name` in it.
    """

    name: str
    question: str
    about: str
    sql: str
    parameters: tuple[Parameter, ...]

    def __post_init__(self) -> None:
        if set(positional(self.sql)[1]) != {parameter.name for parameter in self.parameters}:
            raise ValueError(f"{self.name} declares other parameters than it uses")

    def values(self, given: Mapping[str, str]) -> dict[str, str]:
        """A value for each parameter: what was given, checked, else its default.

        Raises:
            InvalidInput: for one that is missing, does not fit or does not exist.
        """
        names = [parameter.name for parameter in self.parameters]
        if unknown := sorted(set(given) - set(names)):
            raise InvalidInput(
                f"{self.name} has no parameter {unknown[0]!r}.",
                not_done="The query was not run.",
                advice=f"It has {', '.join(names)}.",
                code="bad_parameter",
            )
        found: dict[str, str] = {}
        for parameter in self.parameters:
            value = given.get(parameter.name, parameter.default)
            if not value:
                raise InvalidInput(
                    f"{self.name} needs {parameter.name}: {parameter.about}",
                    not_done="The query was not run.",
                    advice=f"Add --param {parameter.name}={parameter.example}.",
                    code="bad_parameter",
                )
            found[parameter.name] = parameter.check(value)
        return found


def positional(sql: str) -> tuple[str, tuple[str, ...]]:
    """A text with `$name` as Athena takes it: `?` for each, and the names in order of their places.

    Texts, quoted names and comments stay as they are.

    Raises:
        InvalidInput: when the text has a `?` of its own: values would land in the wrong places.
    """
    names: list[str] = []

    def placed(found: re.Match[str]) -> str:
        if found["mark"]:
            raise InvalidInput(
                "The query has a ? in it.", not_done="It was not run.", advice="Write $name, and --param name=value."
            )
        if found["name"]:
            names.append(found["name"])
            return "?"
        return found[0]

    return _PIECE.sub(placed, sql), tuple(names)


def literal(value: str) -> str:
    """A value as a SQL text literal: what Athena wants of an execution parameter. Raises InvalidInput."""
    if "\0" in value or not 0 < len(value) <= MAX_VALUE_CHARACTERS:
        raise InvalidInput(
            f"A value is empty, over {MAX_VALUE_CHARACTERS} characters or has a NUL in it.",
            not_done="The query was not run.",
            code="bad_parameter",
        )
    return "'" + value.replace("'", "''") + "'"


def execution_parameters(names: Sequence[str], values: Mapping[str, str]) -> list[str]:
    """Literals for each place.

    Raises:
        InvalidInput: when a value is missing, or one is given that the text does not use.
    """
    if missing := sorted(set(names) ^ set(values)):
        known = "is not given" if missing[0] in names else "is not in the query"
        raise InvalidInput(
            f"${missing[0]} {known}.",
            not_done="The query was not run.",
            advice="Give --param NAME=VALUE for each $NAME.",
            code="bad_parameter",
        )
    return [literal(values[name]) for name in names]
