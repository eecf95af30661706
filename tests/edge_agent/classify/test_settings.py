"""What a search_path does to built-in names."""

from __future__ import annotations

import pytest

from edge_agent.classify.settings import hides_builtins, schemas_in
from edge_agent.classify.sql import classify_sql
from edge_agent.protocols.postgres.upstream_rules import UpstreamRules
from twokeys.effect import Effect
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


def effect(text: str, path: tuple[str, ...] = ("shop", "public")) -> Effect:
    return classify_sql(text.encode(), path).classification.effect


NARROWER = ["shop, public", "public, shop", "shop", "public", "''", "'shop', \"public\"", "SHOP"]
OTHER = [
    "evil",
    "shop, evil",
    "'shop, public'",
    '"Shop"',
    '"$user", public',
    "1",
    "pg_temp",
    "'\"shop\"'",
    "DEFAULT, x",
]


@pytest.mark.parametrize("path", NARROWER)
def test_a_path_may_be_narrowed_to_schemas_that_names_are_judged_by(path: str) -> None:
    for form in ("SET search_path TO", "SET LOCAL search_path =", "SET SESSION Search_Path ="):
        assert effect(f"{form} {path}") is Effect.READ


@pytest.mark.parametrize("path", OTHER)
def test_w6_any_other_path_is_asked_about(path: str) -> None:
    assert effect(f"SET search_path TO {path}") is Effect.PRIVILEGED


def test_w6_no_path_narrows_one_that_nobody_knows() -> None:
    assert effect("SET search_path TO shop", ()) is Effect.PRIVILEGED
    assert effect("SELECT set_config('search_path', 'shop', false)", ()) is Effect.PRIVILEGED


@pytest.mark.parametrize("path", ["shop, public", "public", ' "shop" ,PUBLIC', ""])
def test_set_config_narrows_too(path: str) -> None:
    assert effect(f"SELECT set_config('search_path', '{path}', false)") is Effect.READ


@pytest.mark.parametrize(
    "path", ["evil", "shop evil", '"shopx,"', '"shop, public"', "shop,", ",shop", "sho\u212a", "shop\n;"]
)
def test_w6_set_config_of_another_path_is_asked_about(path: str) -> None:
    assert effect(f"SELECT set_config('search_path', '{path}', false)") is Effect.PRIVILEGED


def test_w6_set_config_hides_no_built_in_names() -> None:
    path = ("pg_catalog", "shop")
    assert effect("SELECT set_config('search_path', 'pg_catalog, shop', false)", path) is Effect.READ
    assert effect("SELECT set_config('search_path', 'shop, pg_catalog', false)", path) is Effect.PRIVILEGED


@pytest.mark.parametrize(
    ("text", "schemas"),
    [
        ("a, B", ("a", "b")), ('"a, B"', ("a, B",)), ('"a""b",c', ('a"b', "c")), ('""', ("",)), (" ", ()),
        ("a,", None), ("a b", None), ('"a', None), ('a"', None), ("\u00c9", None), ("a\n", ("a",)), ("$user", None),
    ],
)  # fmt: skip
def test_a_path_is_read_as_postgresql_does_or_not_at_all(text: str, schemas: tuple[str, ...] | None) -> None:
    assert schemas_in(text) == schemas


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("standard_conforming_strings = on", Effect.READ), ("standard_conforming_strings = off", Effect.PRIVILEGED),
        ("standard_conforming_strings TO DEFAULT", Effect.PRIVILEGED), ("default_tablespace = ''", Effect.READ),
        ("default_tablespace = fast", Effect.PRIVILEGED), ("default_table_access_method = heap", Effect.READ),
        ("default_table_access_method = other", Effect.PRIVILEGED), ("geqo = off", Effect.READ),
        ("xmloption = content", Effect.READ), ("check_function_bodies = false", Effect.READ),
        ("work_mem = '64MB'", Effect.PRIVILEGED), ("synchronous_commit = off", Effect.PRIVILEGED),
        ("session_replication_role = replica", Effect.PRIVILEGED),
    ],
)  # fmt: skip
def test_what_tools_and_dumps_set_is_asked_about_only_where_it_matters(text: str, wanted: Effect) -> None:
    assert effect(f"SET {text}") is wanted
