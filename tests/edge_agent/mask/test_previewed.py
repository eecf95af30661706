"""A Preview masks every class, also those that its caller may see."""

from __future__ import annotations

from edge_agent.mask.owed import Masks
from edge_agent.mask.previewed import ForReviewers
from edge_agent.preview.masking import HIDDEN, MaskColumn
from twokeys.data_class import DataClass, Detector, Form
from twokeys.effect import Access, Classification, Effect, ObjectKind, ObjectRef

CLASSES = (
    DataClass("mail", ("shop.*.email",), Form.PARTIAL, (Detector.EMAIL,)),
    DataClass("money", ("shop.customers.credit_limit",), Form.NULL),
)


def mask(table: str, column: str, value: str, *, computed: bool = False, certain: bool = True) -> object:
    effect = Effect.WRITE if certain else Effect.PRIVILEGED
    touched = Classification("UPDATE", (Access(ObjectRef(ObjectKind.TABLE, table), effect),), "", certain)
    rows = ForReviewers(CLASSES, Masks(tuple), touched)
    ((shown,),) = rows.mask([MaskColumn(column, ((table, column),), computed)], [[value]])
    return shown


def test_m3_a_classified_column_is_masked_in_its_form() -> None:
    assert mask("shop.leads", "email", "ann@example.com") == "a***@example.com"
    assert mask("shop.customers", "credit_limit", "500.00") is HIDDEN
    assert mask("shop.customers", "name", "Ann") == "Ann"


def test_what_is_computed_beside_a_classified_column_is_hidden() -> None:
    assert mask("shop.customers", "name", "Ann", computed=True) is HIDDEN
    assert mask("public.orders", "total", "7", computed=True) == "7"
    assert mask("public.orders", "total", "7", computed=True, certain=False) is HIDDEN


def test_m3_a_name_that_can_be_read_in_two_ways_is_hidden() -> None:
    assert mask('shop."a.b"', "email", "ann@example.com") is HIDDEN


def test_values_are_searched_everywhere() -> None:
    assert mask("public.notes", "text", "ask ann@example.com") == "ask ***"
    assert mask("public.notes", "text", r'{"mail": "ann\u0040example.com"}') is HIDDEN
