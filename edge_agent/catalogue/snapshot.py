"""The Snapshot: what a database's catalogue says of users' own code, and of what may run it.

Each type is one row of `question`'s answer, in the order of its fields. Object ids stand as the server gives them;
those below `FIRST_USER_OID` are the server's own.
https://www.postgresql.org/docs/current/catalogs.html
"""

from __future__ import annotations

from typing import Final

import msgspec

FIRST_USER_OID: Final = 16384
"""FirstNormalObjectId of PostgreSQL's transam.h: ids of what initdb made are lower."""


class _Row(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    pass


class Function(_Row, frozen=True, tag="f"):
    """A function, procedure or aggregate (pg_proc).

    Args:
        kind: ``f``, ``p`` (procedure), ``a`` (aggregate) or ``w`` (window function).
        volatility: ``i``, ``s`` or ``v``.
        settings: SET clauses, as ``name=value``.
        required: Arguments without a default.
        arguments: Types of the arguments in the server's words, as ``integer, text``.
        types: Ids of the types of arguments and result.
        takes_row: Its first argument may be a row: `alias.name` may call it.
        body: Of a function in SQL: its text; None when it is too long, or in another language.
        standard_body: The same of a body in SQL's standard form (``RETURN …``, ``BEGIN ATOMIC …``).
        defaults: Expressions of the arguments' defaults.
        library: Of a function in C: the file that holds it.
        extension: Whose it is; empty for nobody's.
        definition: SHA-256 of pg_get_functiondef, as hexadecimal; empty where there is none.
        parts: Ids of the functions that an aggregate consists of.
    """

    oid: int
    schema: str
    name: str
    kind: str
    volatility: str
    language: str
    owner: str
    security_definer: bool
    settings: list[str]
    required: int
    arguments: str
    types: list[int]
    takes_row: bool
    body: str | None
    standard_body: str | None
    defaults: str | None
    library: str
    extension: str
    definition: str
    parts: list[int]


class Builtin(_Row, frozen=True, tag="b"):
    """A function of the server's that something of users' is bound to."""

    oid: int
    name: str
    volatility: str


class Operator(_Row, frozen=True, tag="o"):
    """An operator (pg_operator) and the function that it calls."""

    oid: int
    schema: str
    name: str
    function: int


class Cast(_Row, frozen=True, tag="c"):
    """A cast by a function (pg_cast)."""

    source: int
    target: int
    function: int


class Type(_Row, frozen=True, tag="t"):
    """A type (pg_type): a domain with its checks, an enum, a range, a composite or a base type.

    Args:
        parts: Ids of the types that it consists of.
        checks: Expressions of a domain's checks.
        support: Ids of functions that compare or hash its values (pg_amproc).
    """

    oid: int
    schema: str
    name: str
    parts: list[int]
    checks: list[str]
    support: list[int]


class Relation(_Row, frozen=True, tag="r"):
    """A relation whose reading may run code, or whose columns have types of users'.

    Args:
        kind: ``v`` for a view, ``f`` for a foreign table, ``r`` for any other.
        definition: Of a view: its query; None when too long.
        expressions: Of row security policies, and of generated columns that are computed when read.
        functions: Ids of users' functions that its rule or policies depend on; operators' too.
        types: Ids of users' types among its columns' types.
        foreign: It is a foreign table, or one stands below it.
    """

    oid: int
    schema: str
    name: str
    kind: str
    definition: str | None
    expressions: list[str]
    functions: list[int]
    types: list[int]
    foreign: bool


Entry = Function | Builtin | Operator | Cast | Type | Relation


class Snapshot(msgspec.Struct, frozen=True):
    """Everything, as one load brought it.

    Args:
        stamp: The server's, of the same moment.
    """

    stamp: str
    functions: tuple[Function, ...] = ()
    builtins: tuple[Builtin, ...] = ()
    operators: tuple[Operator, ...] = ()
    casts: tuple[Cast, ...] = ()
    types: tuple[Type, ...] = ()
    relations: tuple[Relation, ...] = ()


class Reader(msgspec.Struct, frozen=True):
    """An owner's word that a function reads only.

    Args:
        function: As ``schema.name(integer, text)``: types in the server's words.
        definition: SHA-256 of its definition; another one is another function.
    """

    function: str
    definition: str
