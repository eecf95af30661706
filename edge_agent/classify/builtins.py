"""The built-in functions, types and relations of pg_catalog that the classifier knows, from lists in this package."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from edge_agent.classify.builtins_review import PRIVILEGED, READ, ROW, WRITE
from edge_agent.classify.names import words


def _lines(name: str) -> list[str]:
    # Not importlib.resources: with what it imports it is a megabyte in each Edge.
    return Path(__file__).with_name(name).read_text("ascii").split("\n")[:-1]


def _functions() -> dict[str, str]:
    marks = {READ: READ, ROW: ROW, WRITE: WRITE, PRIVILEGED: PRIVILEGED}
    pairs = (line.split(" ") for line in _lines("builtin_functions.txt"))
    return {name: marks[mark] for mark, name in pairs}


FUNCTIONS: Final = _functions()
"""Marks (see `builtins_review`) by the name in pg_catalog."""

READERS: Final = frozenset(name for name, mark in FUNCTIONS.items() if mark in (READ, ROW))
"""Functions that are proven to read only."""

RISKY: Final = frozenset(FUNCTIONS) - READERS
"""Functions that no read may call, also not by column notation: `(7).pg_advisory_lock` is a call."""

TYPES: Final = frozenset(_lines("builtin_types.txt"))
"""Types whose input, output and casts are the server's own."""

RELATIONS: Final = frozenset(_lines("builtin_relations.txt"))
"""Relations that every supported version has in pg_catalog: an unqualified name among them is no user's table."""

SAMPLE_METHODS: Final = frozenset({"system", "bernoulli"})

SECRET_RELATIONS: Final = words(
    """
    pg_authid pg_shadow pg_user_mapping pg_user_mappings pg_hba_file_rules pg_ident_file_mappings pg_file_settings
    pg_largeobject pg_statistic pg_statistic_ext_data pg_subscription
    """
)
"""Relations of pg_catalog that hold verifiers, passwords, file contents or other tables' values: reading them asks as
privileged."""

SCHEMA_READERS: Final = frozenset({("information_schema", "_pg_expandarray")})
"""Readers outside pg_catalog that drivers call (JDBC's metadata)."""

KNOWN_FIELDS: Final = frozenset({"n", "x", "key", "value", "grantee", "grantor", "privilege_type", "is_grantable"})
"""Fields of the server's own composite results: `(…).n` names a column, any other `(…).name` may call a function."""

ESCAPING_EXTENSIONS: Final = re.compile(
    r"dblink|crosstab|connectby|xpath_table|pg_file_|postgres_fdw_|http|aws_|azure_|cron|plv8|pg_background|adminpack"
)
"""How names of well-known extensions' functions begin that reach other servers, files or run SQL in strings: the
server's read-only mode does not stop them."""
