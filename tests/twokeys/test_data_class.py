"""Data classes come from the policies about them, and `reveal` says who sees what they cover."""

from __future__ import annotations

import pytest

from twokeys.caller import Caller, CallerKind
from twokeys.data_class import MAX_PATTERNS, DataClass, Detector, Form
from twokeys.errors import InvalidInput
from twokeys.policy import STARTER_TEXT, Policies

AGENT = Caller("agent-7", CallerKind.MACHINE, "ann")
ROB = Caller("rob", CallerKind.PERSON, groups=("support",))
MAIL = """
@id("mail") @columns("shop.customers.email shop.*.mail") @form("partial") @detect("email card")
permit (principal in Group::"support", action == Action::"reveal", resource == DataClass::"pii.email")
when { context.target == "sample-db" };
@id("keys") @columns("shop.keys.secret")
forbid (principal, action == Action::"reveal", resource == DataClass::"secret");
"""
EMAIL = DataClass("pii.email", ("shop.customers.email", "shop.*.mail"), Form.PARTIAL, (Detector.EMAIL, Detector.CARD))
SECRET = DataClass("secret", ("shop.keys.secret",), Form.REDACT)


def test_a_class_is_owed_to_whoever_may_not_reveal_it() -> None:
    policies = Policies(MAIL, 1)
    assert policies.classes == (EMAIL, SECRET)
    assert policies.owed(AGENT, "sample-db") == (EMAIL, SECRET)
    assert policies.owed(ROB, "sample-db") == (SECRET,)
    assert policies.owed(ROB, "other-db") == (EMAIL, SECRET)


def test_a_policy_that_permits_everything_reveals_what_nobody_forbids() -> None:
    everything = '@id("all") permit (principal, action, resource);'
    assert Policies(MAIL + everything, 1).owed(AGENT, "sample-db") == (SECRET,)


def test_the_starter_policy_owes_nobody_a_mask() -> None:
    assert Policies(STARTER_TEXT, 1).owed(AGENT, "sample-db") == ()


def test_two_policies_about_one_class_add_up() -> None:
    more = (
        '@id("m") @columns("x.y.z") @form("partial") forbid (principal == Caller::"eve", action == Action::"reveal", '
    )
    classes = Policies(MAIL + more + 'resource == DataClass::"pii.email");', 1).classes
    assert classes[0].columns == (*EMAIL.columns, "x.y.z")


ON = 'permit (principal, action == Action::"reveal", resource == DataClass::"a");'


@pytest.mark.parametrize(
    "text",
    [
        '@id("x") @columns("a.b.c") permit (principal, action == Action::"read", resource);',
        '@id("x") @columns("a.b.c") permit (principal, action == Action::"reveal", resource);',
        '@id("x") @columns("a.b.c") permit (principal, action, resource == DataClass::"a");',
        f'@id("x") @form("hash") {ON}',
        f'@id("x") @columns("a.b") {ON}',
        f'@id("x") @columns("a.b\'.c") {ON}',
        f'@id("x") @columns("a.b.c") @form("blur") {ON}',
        f'@id("x") @detect("email smell") {ON}',
        f'@id("x") @columns("a.b.c") @form("hash") {ON} @id("y") @columns("a.b.d") @form("null") {ON}',
        f'@id("x") @columns("{"a.b.c " * (MAX_PATTERNS + 1)}") {ON}',
    ],
)
def test_a_class_that_could_be_misread_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        Policies(text, 1)
