"""What a search_path does to built-in names."""

from __future__ import annotations

import pytest

from edge_agent.classify.settings import hides_builtins
from edge_agent.classify.sql import classify_sql
from edge_agent.protocols.postgres.upstream_rules import UpstreamRules
from twokeys.errors import InvalidInput

HIDING = ["evil, pg_catalog", '"$user", public, "pg_catalog"', 'a,"b,",\tPG_CATALOG', "pg_temp, x, pg_catalog, y"]


@pytest.mark.parametrize("path", HIDING)
def test_w6_a_schema_before_pg_catalog_hides_built_in_names(path: str) -> None:
    assert hides_builtins(path)
    with pytest.raises(InvalidInput, match="pg_catalog"):
        UpstreamRules(user="edge", password="secret", tls=False, search_path=path)
    with pytest.raises(InvalidInput, match="pg_catalog"):
        UpstreamRules(user="edge", password="secret", tls=False, settings={"Search_Path": path})


@pytest.mark.parametrize(
    "path", ["", "public", '"$user", public', "pg_catalog", "pg_catalog, evil", "pg_temp, pg_catalog"]
)
def test_any_other_path_searches_pg_catalog_first(path: str) -> None:
    assert not hides_builtins(path)


@pytest.mark.parametrize("path", ["evil, pg_catalog", "'evil', 'pg_catalog'", '"a,b", pg_catalog', "'', pg_catalog"])
def test_w6_such_a_set_is_refused(path: str) -> None:
    assert "pg_catalog" in classify_sql(f"SET search_path TO {path}".encode(), ("public",)).refusal
