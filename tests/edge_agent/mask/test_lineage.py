"""Little is proven to hold no classified value; everything else is redacted."""

from __future__ import annotations

import pytest

from edge_agent.mask.columns import NOTHING_KNOWN, Columns
from edge_agent.mask.lineage import cleared

COLUMNS = Columns(True, names=frozenset({"email"}))


@pytest.mark.parametrize(
    ("select", "proven"),
    [
        ("count(*), 1, 'x', $1, current_date", (True,) * 5),
        ("sum(total), max(id) + 1, round(avg(total), 2), coalesce(id, 0), count(*)::text", (True,) * 5),
        ("email, lower(email), max(email), email || '', email::text", (False,) * 5),
        ("c, max(c), c.id, max(c.id), count(c)", (False,) * 5),
        ("(SELECT email FROM customers), (SELECT 1), ARRAY[email], ROW(1), f(1)", (False,) * 5),
        ("max(id) FILTER (WHERE email = 'x'), sum(id) OVER (ORDER BY email), id = 1", (False, False, True)),
        ("customers, shop.customers.id, public.max(id), id OPERATOR(shop.+) 1", (False,) * 4),
    ],
)
def test_only_what_is_understood_is_cleared(select: str, proven: tuple[bool, ...]) -> None:
    assert cleared(f"SELECT {select} FROM customers c JOIN orders o ON true".encode(), COLUMNS) == proven


@pytest.mark.parametrize(
    "text",
    [
        "SELECT count(*), c.* FROM customers c",
        "SELECT (c).* FROM customers c",
        "SELECT 1 UNION SELECT 2",
        "SELECT 1; SELECT 2",
        "VALUES (1)",
        "TABLE customers",
        "DELETE FROM customers RETURNING 1",
        "EXPLAIN SELECT 1",
    ],
)
def test_what_has_no_columns_of_its_own_proves_nothing(text: str) -> None:
    assert cleared(text.encode(), COLUMNS) is None


@pytest.mark.parametrize(
    "source",
    [
        "(SELECT email AS id FROM customers) q",
        "customers AS c (a, id)",
        "customers JOIN orders USING (id) AS j",
        "f() AS t(id)",
        "customers, LATERAL (SELECT email) AS t(id)",
        "(customers JOIN orders ON true) AS j (id)",
    ],
)
def test_a_name_given_in_the_text_proves_nothing(source: str) -> None:
    assert cleared(f"SELECT max(id), count(*) FROM {source}".encode(), COLUMNS) == (False, True)


def test_a_common_table_expression_may_give_any_name() -> None:
    text = b"WITH q AS (SELECT email AS id FROM customers) SELECT max(id), count(*) FROM q"
    assert cleared(text, COLUMNS) == (False, True)


def test_where_nothing_is_known_nothing_is_proven() -> None:
    assert cleared(b"SELECT count(*) FROM customers", NOTHING_KNOWN) is None
