"""SET, RESET and set_config: which settings a caller may change without asking.

A listed setting changes how results look or how long they may take, or it is part of the session's fingerprint that
an approval covers. What changes the meaning of SQL, the role, or the read-only mode is not listed. A search_path may be
narrowed to some of the session's own schemas, in any order.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from edge_agent.classify.names import words
from edge_agent.classify.parser import Tree

HARMLESS: Final = words(
    """
    application_name statement_timeout lock_timeout idle_in_transaction_session_timeout idle_session_timeout
    transaction_timeout client_min_messages datestyle intervalstyle timezone extra_float_digits bytea_output
    row_security jit
    plan_cache_mode synchronize_seqscans enable_async_append enable_bitmapscan enable_gathermerge enable_hashagg
    enable_hashjoin enable_incremental_sort enable_indexonlyscan enable_indexscan enable_material enable_memoize
    enable_mergejoin enable_nestloop enable_parallel_append enable_parallel_hash enable_partition_pruning
    enable_partitionwise_aggregate enable_partitionwise_join enable_seqscan enable_sort enable_tidscan
    seq_page_cost random_page_cost cpu_tuple_cost cpu_index_tuple_cost cpu_operator_cost effective_cache_size
    parallel_setup_cost parallel_tuple_cost max_parallel_workers_per_gather cursor_tuple_fraction geqo
    from_collapse_limit join_collapse_limit
    check_function_bodies xmloption escape_string_warning ssl_renegotiation_limit
    """
)
"""Settings that any value may be given. `row_security = off` shows no row more: what would be filtered fails."""

RESETTABLE: Final = HARMLESS | words(
    """
    client_encoding search_path role session_authorization default_transaction_read_only
    default_transaction_isolation default_transaction_deferrable
    """
)
"""Settings that may return to what the Edge started the session with. Not transaction_read_only: its reset value is
`off` on PostgreSQL 15."""

DEFAULTS: Final = {"default_tablespace": "", "default_table_access_method": "heap"}
"""Where new tables go by default, as every dump says again: no other value."""

_ON: Final = frozenset({"on", "true", "yes", "1", "tru", "tr", "t", "ye", "y"})
_UTF8: Final = frozenset({"utf8", "unicode"})
ISOLATION_LEVELS: Final = frozenset({"serializable", "repeatable read", "read committed", "read uncommitted"})


def constant(node: Tree) -> str | None:
    """A constant's value as text; None for anything that is no plain string, integer or boolean."""
    value = node.get("A_Const")
    if value is None:
        return None
    if "sval" in value:
        return str(value["sval"].get("sval", ""))
    if "ival" in value:
        return str(value["ival"].get("ival", 0))
    if "boolval" in value:
        return "on" if value["boolval"].get("boolval") else "off"
    return None


def text_of(node: Tree) -> str | None:
    """A string constant's value; None for anything else."""
    return constant(node) if "sval" in node.get("A_Const", {}) else None


def hides_builtins(search_path: str) -> bool:
    """Whether a search_path puts a schema before pg_catalog: then a user's function or operator can have the name of a
    built-in one, and every text means something else (attack W6). Left out, pg_catalog is searched first.

    https://www.postgresql.org/docs/current/ddl-schemas.html#DDL-SCHEMAS-CATALOG
    """
    names = [name.strip().strip('"').lower() for name in search_path.split(",")]
    before = names[: names.index("pg_catalog")] if "pg_catalog" in names else []
    # pg_temp is searched for relations alone, and before pg_catalog in any case.
    return any(name not in ("", "pg_temp") for name in before)


def is_on(value: str | None) -> bool:
    """Whether a boolean setting's value surely means on."""
    return value is not None and value.strip().lower() in _ON


def is_harmless_value(name: str, value: str | None) -> bool:
    """Whether setting `name` to the constant `value` (None: not a single constant) needs nobody's consent."""
    name = name.lower()
    if name in HARMLESS:
        return True
    if name == "client_encoding":
        return value is not None and "".join(filter(str.isalnum, value.lower())) in _UTF8
    if name in ("default_transaction_read_only", "standard_conforming_strings"):
        # What the Edge began the session with; without the latter every text would mean something else.
        return is_on(value)
    if name in DEFAULTS:
        return value == DEFAULTS[name]
    if name == "default_transaction_isolation":
        return value is not None and value.lower() in ISOLATION_LEVELS
    return False


_SCHEMA: Final = re.compile(r'\s*(?:"((?:[^"]|"")*)"|([A-Za-z_][A-Za-z0-9_$]*))\s*(,|$)', re.ASCII)


def schemas_in(search_path: str) -> tuple[str, ...] | None:
    """The schemas of a search_path's text, in order; None for a spelling that may not be read as PostgreSQL reads it.

    https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-IDENTIFIERS
    """
    schemas: list[str] = []
    at, more = 0, bool(search_path.strip())
    while more:
        found = _SCHEMA.match(search_path, at)
        if found is None:
            return None
        quoted, plain, comma = found.groups()
        schemas.append(plain.lower() if plain else quoted.replace('""', '"'))
        at, more = found.end(), comma == ","
    return tuple(schemas) if at == len(search_path) or not schemas else None


def narrows(schemas: Iterable[str | None] | None, path: tuple[str, ...]) -> bool:
    """Whether a search_path of these schemas finds nothing that `path` doesn't: names are judged by each schema of
    the path, in whatever order, and the worst counts.

    Args:
        schemas: Of the new path; None, or a None among them: not known.
        path: By which unqualified names are judged; empty: they prove nothing, and no path does.
    """
    return bool(path) and schemas is not None and all(name is not None and name in (*path, "") for name in schemas)


def is_narrower(search_path: str, path: tuple[str, ...]) -> bool:
    """Whether a search_path's text narrows `path` and leaves built-in names what they are."""
    return narrows(schemas_in(search_path), path) and not hides_builtins(search_path)


def schemas_of(search_path: str, role: str) -> tuple[str, ...]:
    """The schemas of a `search_path` setting, in order; ``"$user"`` is the Edge's own role at the server."""
    names = (part.strip() for part in search_path.split(","))
    plain = (name[1:-1].replace('""', '"') if name.startswith('"') else name.lower() for name in names if name)
    return tuple(role if name == "$user" else name for name in plain)


def is_harmless_set_config(arguments: list[Tree], path: tuple[str, ...] = ()) -> bool:
    """Whether set_config's constant arguments set something harmless; `path` as for `narrows`.

    An empty search_path is among it: pg_dump sets it, and then an unqualified name finds nothing but the catalogue.
    """
    if len(arguments) != 3:
        return False
    name, value = text_of(arguments[0]), constant(arguments[1])
    if name is None:
        return False
    if name.lower() == "search_path":
        return value == "" or (value is not None and is_narrower(value, path))
    return is_harmless_value(name, value)
