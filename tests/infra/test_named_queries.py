"""The named queries' stack is what the saved queries say, and what CloudFormation and Athena take."""

from __future__ import annotations

import re

import sqlglot
import yaml
from cfnlint import api as cfnlint

from infra import named_queries
from twokeys.saved_queries import ALL
from twokeys.saved_query import positional

MAX_QUERY_BYTES = 262_144
"""Longest query string of Athena (its quota page)."""

MAX_TEMPLATE_BYTES = 51_200


def test_the_file_is_current_and_short_enough() -> None:
    stored = named_queries.PATH.read_text("utf-8")
    assert stored == named_queries.text(), "run `python -m infra.named_queries`"
    assert len(stored.encode()) <= MAX_TEMPLATE_BYTES


def test_cfn_lint_has_nothing_to_say() -> None:
    assert cfnlint.lint(named_queries.PATH.read_text("utf-8"), None, ["us-east-1", "eu-central-1"]) == []


def test_each_query_is_there_whole_with_its_places_explained() -> None:
    loaded = yaml.safe_load(named_queries.PATH.read_text("utf-8"))
    found = {one["Properties"]["Name"]: one["Properties"] for one in loaded["Resources"].values()}
    assert set(found) == {query.name for query in ALL}
    for query in ALL:
        sql, names = positional(query.sql)
        made = found[query.name]
        assert made["Database"] == {"Ref": "AuditDatabase"}
        assert made["WorkGroup"] == {"Ref": "AuditWorkGroup"}
        assert re.sub(r"\s+", " ", made["QueryString"]) == re.sub(r"\s+", " ", sql).strip()
        assert sqlglot.parse_one(made["QueryString"], read="athena") == sqlglot.parse_one(sql, read="athena")
        assert made["Description"].endswith(f"Values in order: {', '.join(names)}.")
        assert len(made["QueryString"].encode()) <= MAX_QUERY_BYTES
