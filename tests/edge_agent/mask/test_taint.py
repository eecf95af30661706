"""Which texts may show something classified."""

from __future__ import annotations

import pytest

from edge_agent.classify.sql import classify_sql
from edge_agent.mask.columns import NOTHING_KNOWN, Columns
from edge_agent.mask.taint import touches

COLUMNS = Columns(True, relations=frozenset({"shop.customers", "pg_catalog.pg_stats", "pg_catalog.pg_stat_activity"}))


def touched(text: str, columns: Columns = COLUMNS) -> bool:
    return touches(classify_sql(text.encode(), ("shop", "public")), text.encode(), columns)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1 FROM customers",
        "SELECT 1 FROM orders WHERE EXISTS (SELECT FROM customers)",
        "SELECT 1; TABLE customers",
        "EXPLAIN SELECT 1 FROM shop.customers",
        "DECLARE c CURSOR FOR SELECT 1",
        "FETCH c",
        "SELECT 1; FETCH c",
        "EXECUTE q",
        "SELECT f()",
        "SELECT (c).email FROM orders c",
        "SELECT * FROM pg_stats",
        "SELECT query FROM pg_stat_activity",
        "SELECT pg_stat_get_backend_activity(1)",
        'SELECT U&"pg_stat_get\\005factivity"(1)',
        "SELECT (1).pg_stat_get_backend_activity",
        "SELECT * FROM pg_toast.pg_toast_1",
        "DO 'BEGIN END'",
        "SELECT broken(",
    ],
)
def test_m1_what_may_show_it_is_told(text: str) -> None:
    assert touched(text)


@pytest.mark.parametrize(
    "text",
    ["SELECT 1", "SELECT lower(a) FROM orders", "BEGIN", "SET application_name = 'x'", "SHOW search_path", "",
     "UPDATE orders SET total = 1 RETURNING 1", "SELECT 'pg_stat_get_activity_of'"],
)  # fmt: skip
def test_what_can_not_is_free_of_it(text: str) -> None:
    assert not touched(text)


def test_m4_where_nothing_is_known_any_table_may_show_it() -> None:
    assert touched("SELECT 1 FROM orders", NOTHING_KNOWN)
    assert not touched("COMMIT", NOTHING_KNOWN)
