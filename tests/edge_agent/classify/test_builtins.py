from __future__ import annotations

import re

import pytest

from edge_agent.classify import builtins, builtins_review
from tests.edge_agent.classify.live_builtins import functions_of, relations_of, types_of
from tests.support.postgres import RealPostgres


def test_the_lists_are_those_of_the_server(any_postgres: RealPostgres) -> None:
    live = functions_of(any_postgres)
    assert not set(live) - set(builtins.FUNCTIONS)
    for name, (volatilities, columns) in live.items():
        if name in builtins.READERS:
            assert builtins_review.review(name, volatilities, columns) in (builtins_review.READ, builtins_review.ROW), (
                name
            )
        else:
            assert builtins.FUNCTIONS[name] == builtins_review.review(name, "v", columns), name
    assert relations_of(any_postgres) >= builtins.RELATIONS
    assert types_of(any_postgres) <= builtins.TYPES


def test_each_function_of_the_server_that_is_volatile_was_reviewed(any_postgres: RealPostgres) -> None:
    volatile = {name for name, (volatilities, _) in functions_of(any_postgres).items() if "v" in volatilities}
    unreviewed = (volatile & builtins.READERS) - builtins_review.VOLATILE_READERS
    assert {name for name in unreviewed if not name.startswith("pg_stat_get_")} == set()


@pytest.mark.parametrize(
    "pattern",
    [
        r"pg_read_.*",
        r"pg_ls_.*",
        r"pg_(terminate|cancel)_.*",
        r"lo_.*|loread|lowrite",
        r".*_to_xml(schema|_and_xmlschema)?",
        r"ts_stat|ts_rewrite|set_config|nextval|setval|pg_notify",
        r"pg_(try_)?advisory_(?!unlock_all).*",
        r"pg_logical_.*|pg_replication_.*|pg_(create|drop|copy)_.*slot",
        r"pg_stat_reset.*|pg_switch_wal|pg_reload_conf|pg_rotate_.*|pg_promote|pg_export_snapshot",
        r"binary_upgrade_.*|pg_restore_.*|pg_clear_.*_stats",
    ],
)
def test_no_dangerous_function_is_a_reader(pattern: str) -> None:
    listed = {name for name in builtins.FUNCTIONS if re.fullmatch(pattern, name)}
    assert listed
    assert not listed & builtins.READERS


def test_readers_and_risky_functions_are_apart_and_complete() -> None:
    assert not builtins.READERS & builtins.RISKY
    assert set(builtins.FUNCTIONS) == builtins.READERS | builtins.RISKY
    assert len(builtins.READERS) > 1500
    assert not builtins.TYPES & {"cstring", "internal", "record"}
