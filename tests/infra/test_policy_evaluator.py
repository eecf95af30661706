"""The evaluator itself, on IAM's own rules: a test of documents is worth what their reader is."""

from __future__ import annotations

from typing import Any

import pytest

from tests.infra.policy_evaluator import Call, allowed

ROLE = "arn:aws:iam::123456789012:role/a"
OTHER = "arn:aws:iam::999999999999:role/a"
ROOT = "arn:aws:iam::123456789012:root"


def document(**statement: Any) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": [statement]}


ANYTHING = document(Effect="Allow", Action="*", Resource="*")


def call(action: str = "s3:GetObject", resource: str = "arn:aws:s3:::b/k", **context: Any) -> Call:
    return Call(ROLE, action, resource, {name.replace("__", ":"): value for name, value in context.items()})


def test_what_nobody_allows_is_denied() -> None:
    assert not allowed(call(), [])


def test_a_denial_beats_every_allowance() -> None:
    denial = document(Effect="Deny", Action="s3:Get*", Resource="*")
    assert allowed(call(), [ANYTHING])
    assert not allowed(call(), [ANYTHING, denial])
    assert not allowed(call(), [ANYTHING], {**denial, "Statement": [{**denial["Statement"][0], "Principal": "*"}]})


@pytest.mark.parametrize(
    ("pattern", "action", "matches"),
    [("s3:get*", "s3:GetObject", True), ("s3:Get", "s3:GetObject", False), ("s3:?etObject", "s3:GetObject", True)],
)
def test_actions_match_in_any_case(pattern: str, action: str, matches: bool) -> None:
    assert allowed(call(action), [document(Effect="Allow", Action=pattern, Resource="*")]) is matches


def test_resources_match_by_case_and_brackets_are_themselves() -> None:
    assert not allowed(call(), [document(Effect="Allow", Action="*", Resource="arn:aws:s3:::B/*")])
    assert not allowed(call(), [document(Effect="Allow", Action="*", Resource="arn:aws:s3:::[b]/k")])


def test_all_but_some_actions_are_denied_by_their_opposite() -> None:
    denial = document(Effect="Deny", NotAction=["s3:Get*"], Resource="*")
    assert allowed(call("s3:GetObject"), [ANYTHING, denial])
    assert not allowed(call("s3:PutObject"), [ANYTHING, denial])


def test_a_session_policy_narrows_and_never_widens() -> None:
    narrow = document(Effect="Allow", Action="s3:GetObject", Resource="*")
    assert allowed(call("s3:GetObject"), [ANYTHING], session=narrow)
    assert not allowed(call("s3:PutObject"), [ANYTHING], session=narrow)
    assert not allowed(call("s3:PutObject"), [narrow], session=ANYTHING)


def test_a_resource_that_trusts_the_account_leaves_it_to_iam() -> None:
    trusts = document(Effect="Allow", Principal={"AWS": ROOT}, Action="*", Resource="*")
    assert not allowed(call(), [], trusts)
    assert not allowed(call(), [], trusts, resource_must_agree=True)
    assert allowed(call(), [ANYTHING], trusts, resource_must_agree=True)
    assert not allowed(Call(OTHER, "s3:GetObject", "x"), [ANYTHING], trusts, resource_must_agree=True)


def test_a_key_must_agree() -> None:
    silent = document(Effect="Allow", Principal={"AWS": ROOT}, Action="kms:Get*", Resource="*")
    assert allowed(call("kms:Sign"), [ANYTHING], silent)
    assert not allowed(call("kms:Sign"), [ANYTHING], silent, resource_must_agree=True)


@pytest.mark.parametrize(
    ("condition", "context", "holds"),
    [
        ({"StringEquals": {"k": ["a", "b"]}}, {"k": "b"}, True),
        ({"StringEquals": {"k": "a"}}, {}, False),
        ({"StringEqualsIfExists": {"k": "a"}}, {}, True),
        ({"StringNotEquals": {"k": "a"}}, {}, True),
        ({"ForAllValues:StringLike": {"k": "a*"}}, {"k": ["a1", "a2"]}, True),
        ({"ForAllValues:StringLike": {"k": "a*"}}, {"k": ["a1", "b"]}, False),
        ({"ForAllValues:StringLike": {"k": "a*"}}, {}, True),
        ({"ForAnyValue:StringEquals": {"k": "a"}}, {"k": ["b", "a"]}, True),
        ({"Null": {"k": "true"}}, {}, True),
        ({"Null": {"k": "false"}}, {}, False),
        ({"Bool": {"aws:SecureTransport": "false"}}, {}, False),
        ({"Bool": {"aws:SecureTransport": "false"}}, {"aws:SecureTransport": "false"}, True),
        ({"ArnNotEquals": {"aws:PrincipalArn": "arn:aws:iam::123456789012:role/b"}}, {}, True),
    ],
)
def test_conditions(condition: dict[str, Any], context: dict[str, Any], holds: bool) -> None:
    asked = Call(ROLE, "s3:GetObject", "x", context)
    assert allowed(asked, [document(Effect="Allow", Action="*", Resource="*", Condition=condition)]) is holds


def test_what_it_does_not_know_is_an_error() -> None:
    with pytest.raises(NotImplementedError, match="DateLessThan"):
        allowed(
            call(k="1"), [document(Effect="Allow", Action="*", Resource="*", Condition={"DateLessThan": {"k": "2"}})]
        )
    with pytest.raises(NotImplementedError, match="NotPrincipal"):
        allowed(call(), [document(Effect="Allow", NotPrincipal="*", Action="*", Resource="*")])
