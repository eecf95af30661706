"""A view's columns are traced by the rule that the server keeps; what can't be read proves nothing."""

from __future__ import annotations

import pytest

from edge_agent.mask.columns import NOTHING_KNOWN, resolve
from edge_agent.mask.question import MAX_COLUMNS, ColumnRow, read_answer
from edge_agent.mask.view_tree import MAX_KNOWN, UnreadableTree, _known, origins
from twokeys.data_class import DataClass, Form


def node(label: str, *fields: str) -> str:
    return "{" + " ".join((label, *fields)) + "}"


def entry(number: int, table: int, column: int, junk: str = "false", name: str = "x") -> str:
    expression = ":expr " + node("VAR", ":varno 1 :varattno 1")
    origin = f":resorigtbl {table} :resorigcol {column} :resjunk {junk}"
    return node("TARGETENTRY", expression, f":resno {number} :resname {name} :ressortgroupref 0", origin)


def rule(*entries: str, inner: str = "") -> str:
    within = node("RANGETBLENTRY", ":subquery " + node("QUERY", f":targetList ({inner})"), ":relid 1")
    targets = " ".join(entries)
    return "(" + node("QUERY", f":commandType 1 :rtable ({within}) :targetList ({targets}) :limitCount <>") + ")"


def test_the_views_own_columns_are_told_from_those_within() -> None:
    tree = rule(entry(1, 7, 2), entry(2, 0, 0), entry(3, 9, 9, "true"), inner=entry(1, 5, 5))
    assert origins(tree) == {1: (7, 2), 2: (0, 0)}


def test_a_name_can_not_pose_as_structure() -> None:
    name = "\\}\\ :resorigtbl\\ 9\\ \\{TARGETENTRY"
    assert origins(rule(entry(1, 7, 2, name=name))) == {1: (7, 2)}


@pytest.mark.parametrize(
    "tree",
    [
        "",
        "()",
        "({QUERY })",
        rule(entry(1, 7, 2), entry(1, 7, 3)),
        rule(entry(1, 7, 2))[:-2],
        "({QUERY :targetList ({TARGETENTRY :resno 1})})",
        rule(entry(1, 7, 2))[:-1] + " {QUERY :targetList ()})",
        rule(entry(1, 7, 2)) + "x" * 300_000,
    ],
)
def test_what_is_not_as_expected_is_refused(tree: str) -> None:
    with pytest.raises(UnreadableTree):
        origins(tree)


def test_what_is_remembered_is_nobodys_to_change_and_bounded() -> None:
    tree = rule(entry(1, 7, 2))
    origins(tree)[1] = (9, 9)
    assert origins(tree) == {1: (7, 2)}
    for table in range(1, MAX_KNOWN + 2):
        assert origins(rule(entry(1, table, 2))) == {1: (table, 2)}
        assert len(_known) <= MAX_KNOWN
    assert origins(tree) == {1: (7, 2)}


CLASSES = (DataClass("mail", ("shop.t.email",), Form.PARTIAL), DataClass("m", ("*.*.e?",), Form.HASH))


def row(table: int, name: str, number: int, column: str, **more: object) -> ColumnRow:
    fields: dict[str, object] = {"generated": False, "parents": (), "rule": "", "newest": 100} | more
    return ColumnRow(table, "shop", name, number, column, **fields)  # type: ignore[arg-type]


def test_a_view_shows_what_it_stands_on_as_that_is_shown() -> None:
    columns = resolve(
        [
            row(1, "t", 1, "id"), row(1, "t", 2, "email"), row(1, "t", 3, "low", generated=True),
            row(2, "v", 1, "a", rule=rule(entry(1, 1, 2), entry(2, 0, 0), entry(3, 1, 1), entry(4, 50, 1))),
            row(2, "v", 2, "b"), row(2, "v", 3, "c"), row(2, "v", 4, "d"),
            row(3, "w", 1, "x", rule=rule(entry(1, 2, 1))), row(4, "u", 1, "y", rule="({NEWER})"),
            row(5, "child", 1, "email", parents=(1,)), row(6, "e", 1, "e1"),
        ],
        CLASSES,
    )  # fmt: skip
    partial, redact = Form.PARTIAL, Form.REDACT
    expected = {
        (1, 1): None, (1, 2): partial, (1, 3): redact, (2, 1): partial, (2, 2): redact, (2, 3): None, (2, 4): None,
        (3, 1): partial, (4, 1): redact, (5, 1): partial, (6, 1): Form.HASH,
    }  # fmt: skip
    assert columns.forms == expected
    assert columns.form_of(1, -1) is None
    assert columns.form_of(1, 0) is columns.form_of(0, 0) is columns.form_of(101, 1) is columns.form_of(1, 9) is redact
    assert columns.form_of(99, 1) is None


def test_views_that_stand_on_each_other_are_redacted() -> None:
    rows = [row(2, "v", 1, "a", rule=rule(entry(1, 3, 1))), row(3, "w", 1, "b", rule=rule(entry(1, 2, 1)))]
    assert set(resolve(rows, CLASSES).forms.values()) == {Form.REDACT}


def test_an_answer_that_is_not_as_asked_leaves_nothing_known() -> None:
    good = [b"1", b"shop", b"t", b"1", b"id", b"f", None, None, b"9"]
    assert read_answer([good]) == [row(1, "t", 1, "id", newest=9)]
    assert read_answer([good[:-1]]) is None
    assert read_answer([[b"x", *good[1:]]]) is None
    assert read_answer([good] * (MAX_COLUMNS + 1)) is None
    assert resolve(None, CLASSES) is NOTHING_KNOWN
    assert NOTHING_KNOWN.form_of(1, 1) is Form.REDACT
