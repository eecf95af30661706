"""Makes the lists in edge_agent/classify from live servers.

Run `python -m tests.edge_agent.classify.live_builtins` from the checkout after a new PostgreSQL has come: it writes
the lists anew from every server at hand. Read the difference before it is committed.
"""

from __future__ import annotations

from pathlib import Path

from edge_agent.classify import builtins_review
from tests.support.postgres import RealPostgres, running_postgres
from twokeys_cli.postgres import system_binaries, wheel_binaries

# Left out: trigger, handler and input/output functions. SQL can't call them, or has no reason to.
_FUNCTIONS = """
SELECT proname, string_agg(DISTINCT provolatile::text, ''), min(columns) FROM (
    SELECT proname, provolatile, (SELECT count(*) FROM unnest(proargmodes) m WHERE m IN ('o', 'b', 't')) AS columns
    FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace
    AND prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype, 'internal'::regtype, 'cstring'::regtype)
    AND prorettype::regtype::text !~ '_handler$'
    AND NOT proargtypes::oid[] && ARRAY['internal'::regtype::oid, 'cstring'::regtype::oid]) AS f
GROUP BY proname ORDER BY proname COLLATE "C"
"""
_RELATIONS = """
SELECT relname FROM pg_class WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind IN ('r', 'v')
ORDER BY relname COLLATE "C"
"""
_TYPES = """
SELECT typname FROM pg_type WHERE typnamespace = 'pg_catalog'::regnamespace AND typtype IN ('b', 'r', 'm')
AND typname !~ '^_' ORDER BY typname COLLATE "C"
"""


def functions_of(server: RealPostgres) -> dict[str, tuple[str, int]]:
    """Volatilities and fewest result columns by function name."""
    rows = [line.split("|") for line in server.admin(_FUNCTIONS).splitlines()]
    return {name: (volatilities, int(columns)) for name, volatilities, columns in rows}


def relations_of(server: RealPostgres) -> set[str]:
    return set(server.admin(_RELATIONS).split())


def types_of(server: RealPostgres) -> set[str]:
    return set(server.admin(_TYPES).split())


def main() -> None:
    functions: dict[str, tuple[str, int]] = {}
    relations: list[set[str]] = []
    types: list[set[str]] = []
    for binaries in (wheel_binaries(), *system_binaries()):
        with running_postgres(binaries) as server:
            for name, (volatilities, columns) in functions_of(server).items():
                before, fewest = functions.get(name, ("", columns))
                functions[name] = (before + volatilities, min(fewest, columns))
            relations.append(relations_of(server))
            types.append(types_of(server))
    folder = Path(builtins_review.__file__).parent
    marked = sorted((builtins_review.review(name, *facts), name) for name, facts in functions.items())
    (folder / "builtin_functions.txt").write_text("".join(f"{mark} {name}\n" for mark, name in marked))
    # A name that only some versions have may be a user's table on the others.
    (folder / "builtin_relations.txt").write_text("".join(f"{name}\n" for name in sorted(set.intersection(*relations))))
    (folder / "builtin_types.txt").write_text("".join(f"{name}\n" for name in sorted(set.union(*types))))


if __name__ == "__main__":
    main()
