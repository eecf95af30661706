"""Who may use which key: what the keys say themselves and the roles' policies, together."""

from __future__ import annotations

import pytest

from tests.infra.deployed import Deployed

EVERYBODY = (
    "api_handler", "due", "notices", "export", "reconcile", "auditor", "wake", "timer", "administrator",
)  # fmt: skip

SIGNING = {"kms__SigningAlgorithm": "ECDSA_SHA_256", "kms__MessageType": "RAW"}
UNWRAPPING = {"kms__EncryptionAlgorithm": "RSAES_OAEP_SHA_256"}


@pytest.mark.parametrize("who", EVERYBODY)
def test_approvals_are_signed_by_the_routes_alone(stack: Deployed, who: str) -> None:
    key = stack.outputs["ApprovalKeys"]
    assert stack.may(who, "kms:Sign", key, **SIGNING) is (who == "api_handler")


@pytest.mark.parametrize("who", EVERYBODY)
def test_seals_are_signed_by_the_routes_and_the_export_worker(stack: Deployed, who: str) -> None:
    key = stack.outputs["SealKeys"]
    assert stack.may(who, "kms:Sign", key, **SIGNING) is (who in {"api_handler", "export"})


@pytest.mark.parametrize("who", EVERYBODY)
def test_data_keys_are_unwrapped_by_the_routes_alone(stack: Deployed, who: str) -> None:
    """An auditor's body is opened there, where it is recorded who asked."""
    key = stack.outputs["WrappingKey"]
    assert stack.may(who, "kms:Decrypt", key, **UNWRAPPING) is (who == "api_handler")


def test_no_key_is_used_another_way(stack: Deployed) -> None:
    for name in ("ApprovalKeys", "SealKeys"):
        key = stack.outputs[name]
        assert not stack.may("api_handler", "kms:Sign", key, **{**SIGNING, "kms__MessageType": "DIGEST"})
        assert not stack.may("api_handler", "kms:Sign", key)
    wrapping = stack.outputs["WrappingKey"]
    assert not stack.may("api_handler", "kms:Decrypt", wrapping, kms__EncryptionAlgorithm="RSAES_OAEP_SHA_1")
    assert not stack.may("api_handler", "kms:Decrypt", stack.outputs["ApprovalKeys"], **UNWRAPPING)


@pytest.mark.parametrize("who", [one for one in EVERYBODY if one != "administrator"])
@pytest.mark.parametrize("key", ["ApprovalKeys", "SealKeys", "WrappingKey", "DataKey"])
@pytest.mark.parametrize(
    "action",
    [
        "kms:ScheduleKeyDeletion",
        "kms:DisableKey",
        "kms:PutKeyPolicy",
        "kms:CreateGrant",
        "kms:UpdateAlias",
        "kms:Encrypt",
    ],
)
def test_nobody_at_work_changes_a_key_or_lends_it(stack: Deployed, who: str, key: str, action: str) -> None:
    assert not stack.may(who, action, stack.outputs[key])


@pytest.mark.parametrize("key", ["ApprovalKeys", "SealKeys", "WrappingKey"])
def test_an_administrator_looks_after_keys_but_lends_none(stack: Deployed, key: str) -> None:
    """A grant would be a way to sign around the key's policy. Whoever deploys the stack makes its aliases."""
    for action in ("kms:ScheduleKeyDeletion", "kms:GetPublicKey", "kms:PutKeyPolicy", "kms:CreateAlias"):
        assert stack.may("administrator", action, stack.outputs[key])
    assert not stack.may("administrator", "kms:CreateGrant", stack.outputs[key])


def test_public_keys_are_seen_by_who_verifies(stack: Deployed) -> None:
    for who in ("api_handler", "export", "auditor"):
        for key in ("ApprovalKeys", "SealKeys"):
            assert stack.may(who, "kms:GetPublicKey", stack.outputs[key])
    assert stack.may("api_handler", "kms:GetPublicKey", stack.outputs["WrappingKey"])


@pytest.mark.parametrize(
    ("who", "services"),
    [
        ("api_handler", {"dynamodb", "s3"}), ("export", {"dynamodb", "s3"}), ("due", {"dynamodb"}),
        ("notices", {"dynamodb"}), ("reconcile", {"dynamodb", "s3"}), ("timer", {"dynamodb"}), ("auditor", {"s3"}),
        ("wake", set()),
    ],
)  # fmt: skip
def test_the_data_key_is_used_only_by_way_of_the_services_that_one_works_with(
    stack: Deployed, who: str, services: set[str]
) -> None:
    key = stack.outputs["DataKey"]
    assert not stack.may(who, "kms:Decrypt", key), "with the key itself"
    for service in ("dynamodb", "s3", "secretsmanager", "sqs"):
        via = f"{service}.us-east-1.amazonaws.com"
        assert stack.may(who, "kms:Decrypt", key, kms__ViaService=via) is (service in services)
