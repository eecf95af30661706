from __future__ import annotations

from edge_agent.classify import grammar
from edge_agent.classify.findings import Findings
from edge_agent.classify.libpg_query import FIELD_TYPES
from edge_agent.classify.limits import DEFAULT_LIMITS
from edge_agent.classify.parser import Tree
from edge_agent.classify.statements import STATEMENTS, judge
from edge_agent.classify.walk import walk


def test_every_listed_node_is_one_of_the_grammar() -> None:
    # WithClause and the like stand in fields of a fixed type as well.
    assert grammar.ALL_NODES | set(FIELD_TYPES) >= grammar.DEFINITION_NODES
    assert STATEMENTS <= grammar.ALL_NODES


def test_every_node_of_the_grammar_is_listed_or_unknown() -> None:
    for kind in grammar.ALL_NODES - grammar.QUERY_NODES:
        findings = Findings(("public",), DEFAULT_LIMITS)
        walk(findings, kind, {})
        assert not findings.certain, kind
    for kind in grammar.ALL_NODES - STATEMENTS:
        findings = Findings(("public",), DEFAULT_LIMITS)
        judge(findings, kind, {})
        assert not findings.certain, kind


def test_a_node_or_field_of_a_newer_grammar_is_unknown() -> None:
    trees: tuple[Tree, ...] = (
        {"targetList": [{"NewNode": {}}]},
        {"whereClause": {"NewNode": {}}},
        {"newClause": {"NewNode": {}}},
        {"newClause": {"fields": 1}},
        {"newClause": [{"NewNode": {}}]},
    )
    for tree in trees:
        findings = Findings(("public",), DEFAULT_LIMITS)
        walk(findings, "SelectStmt", tree)
        assert not findings.certain, tree


def test_statements_of_the_grammar_are_known_but_for_those_inside_others() -> None:
    inside = {"RawStmt", "SetOperationStmt", "ReturnStmt", "PLAssignStmt", "ReplicaIdentityStmt"}
    assert {kind for kind in grammar.ALL_NODES if kind.endswith("Stmt")} - STATEMENTS <= inside


def test_no_statement_that_writes_is_a_plain_node_of_a_query() -> None:
    assert not {kind for kind in grammar.PLAIN if kind.endswith("Stmt")}
