"""Only listed settings pass at start-up; everything else is refused by its name."""

from __future__ import annotations

import pytest

from edge_agent.protocols.postgres.parameters import MAX_PARAMETERS, requested
from twokeys.errors import InvalidInput, Refused


def test_what_clients_send_passes_in_canonical_spelling() -> None:
    asked = requested(
        {
            "user": "ann",
            "database": "shop",
            "client_encoding": "'utf-8'",
            "datestyle": "ISO",
            "TIMEZONE": "UTC",
            "extra_float_digits": "2",
            "application_name": "psql",
            "options": " ",
            "standard_conforming_strings": "on",
        }
    )
    assert (asked.user, asked.database, asked.protocol_options) == ("ann", "shop", ())
    assert asked.settings == {
        "DateStyle": "ISO",
        "TimeZone": "UTC",
        "extra_float_digits": "2",
        "application_name": "psql",
    }


@pytest.mark.parametrize(("default", "database"), [("", "ann"), ("shop", "shop")])
def test_a_database_that_is_not_named(default: str, database: str) -> None:
    assert requested({"user": "ann"}, default).database == database
    assert requested({"user": "ann", "database": ""}, default).database == database


@pytest.mark.parametrize(
    "name",
    [
        "transaction_read_only",
        "search_path",
        "role",
        "session_authorization",
        "session_replication_role",
        "session_preload_libraries",
        "local_preload_libraries",
        "row_security",
        "check_function_bodies",
        "backslash_quote",
        "User",
        "DATABASE",
        "x.y",
        "",
        "unknown",
        "options\u0131",
        "dynamic_library_path",
        "lo_compat_privileges",
        "default_transaction_isolation",
    ],
)
def test_p7_a_setting_that_is_not_listed_is_refused(name: str) -> None:
    with pytest.raises(Refused) as caught:
        requested({"user": "ann", name: "on"})
    assert (caught.value.code, repr(name) in caught.value.happened) == ("parameter", True)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("options", "-c default_transaction_read_only=off"),
        ("OPTIONS", "-crole=x"),
        ("client_encoding", "GBK"),
        ("client_encoding", "LATIN1"),
        ("Client_Encoding", "SQL_ASCII"),
        ("client_encoding", ""),
        ("standard_conforming_strings", "off"),
        ("default_transaction_read_only", "off"),
        ("Default_Transaction_Read_Only", "0"),
        ("default_transaction_read_only", ""),
    ],
)
def test_p7_a_value_that_changes_meaning_is_refused(name: str, value: str) -> None:
    with pytest.raises(Refused):
        requested({"user": "ann", name: value})


@pytest.mark.parametrize("name", ["replication", "Replication", "REPLICATION"])
@pytest.mark.parametrize("value", ["true", "database", "on", "1", "false", "", "yes"])
def test_w2_replication_is_refused_in_any_spelling(name: str, value: str) -> None:
    with pytest.raises(Refused) as caught:
        requested({"user": "ann", name: value})
    assert caught.value.code == "replication"


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"user": ""},
        {"database": "shop"},
        {"user": "a" * 64},
        {"user": "ann", "database": "é" * 32},
        {"user": "ann", "application_name": "x" * 257},
        {"user": "ann", "DateStyle": "ISO", "datestyle": "German"},
        {"user": "ann"} | {f"_pq_.{i}": "" for i in range(MAX_PARAMETERS)},
    ],
)
def test_what_is_malformed_is_refused(parameters: dict[str, str]) -> None:
    with pytest.raises(InvalidInput):
        requested(parameters)


def test_unknown_protocol_options_are_named() -> None:
    assert requested({"user": "ann", "_pq_.command_tag": "1"}).protocol_options == ("_pq_.command_tag",)


@pytest.mark.parametrize(
    ("value", "settings"),
    [
        ("-c statement_timeout=5s", {"statement_timeout": "5s"}),
        ("-cstatement-timeout=5s  --TimeZone=UTC\t", {"statement_timeout": "5s", "TimeZone": "UTC"}),
        (
            r"-c DateStyle=ISO,\ MDY -c application_name=a\\b\ =c",
            {"DateStyle": "ISO, MDY", "application_name": r"a\b =c"},
        ),
        ("-c default_transaction_read_only=on -c client_encoding=UTF8", {}),
        ("", {}),
    ],
)
def test_options_are_taken_apart(value: str, settings: dict[str, str]) -> None:
    assert requested({"user": "ann", "options": value}).settings == settings


@pytest.mark.parametrize(
    "value",
    [
        "-c role=x", "--role=x", "-c default_transaction_read_only=off", "-c search_path=evil", "-c",
        "-c statement_timeout",
        "statement_timeout=5s", "-c options=-crole=x", "-d 5", "-e", "-f s", "-- statement_timeout=5s", "-c =5",
        "-c statement_timeout=5s role=x", "-c \u017ftatement_timeout=5", "-c statement_timeout=5s\\", "-c x.y=1",
        "-c\\ role=x", "-c statement_timeout=5s\u00a0-crole=x\u00a0--role=y -crole=z",
        "-c user=postgres",
    ],
)  # fmt: skip
def test_p7_options_that_set_anything_else_are_refused(value: str) -> None:
    with pytest.raises(Refused) as caught:
        requested({"user": "ann", "options": value})
    assert caught.value.code == "parameter"
    with pytest.raises(Refused, match="Replication"):
        requested({"user": "ann", "options": "-c replication=database"})


def test_a_setting_comes_once_in_options_and_beside_them() -> None:
    with pytest.raises(InvalidInput, match="twice"):
        requested({"user": "ann", "TimeZone": "UTC", "options": "-c timezone=UTC"})


@pytest.mark.parametrize("given", [{"search_path": "public, Shop"}, {"options": r"-c search_path=public,\ Shop"}])
def test_a_path_may_be_narrowed_from_the_start(given: dict[str, str]) -> None:
    assert requested({"user": "ann", **given}, schemas=("shop", "public")).settings == {"search_path": "public, Shop"}


@pytest.mark.parametrize("path", ["evil", "shop, evil", '"shopx,"', '"$user", shop', "shop, pg_catalog"])
def test_w6_no_other_path_is_set_from_the_start(path: str) -> None:
    for schemas in ((), ("shop", "public", "pg_catalog") if "pg_catalog" in path else ("shop", "public")):
        with pytest.raises(Refused, match="search_path"):
            requested({"user": "ann", "search_path": path}, schemas=schemas)
