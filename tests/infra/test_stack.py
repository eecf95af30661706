"""What of the stack must stay so, read from the template."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.infra.composed import of_type, properties, template

ROOT = Path(__file__).parents[2]

KEPT = ("Table", "ApprovalKey", "SealKey", "WrappingKey", "DataKey", "IncomingBucket", "RecordingsBucket", "UserPool")
BUCKETS = ("IncomingBucket", "RecordingsBucket", "ResultsBucket")


def statements(policy: str) -> dict[str, dict[str, Any]]:
    """A policy's statements by their id."""
    return {one["Sid"]: one for one in properties(policy)["PolicyDocument"]["Statement"]}


@pytest.mark.parametrize("name", KEPT)
def test_what_can_not_be_made_again_outlives_the_stack(name: str) -> None:
    resource = template()["Resources"][name]
    assert resource["DeletionPolicy"] == "Retain"
    assert resource["UpdateReplacePolicy"] == "Retain"


def test_the_table_is_as_the_adr_says() -> None:
    table = properties("Table")
    assert [one["AttributeName"] for one in table["KeySchema"]] == ["pk", "sk"]
    (index,) = table["GlobalSecondaryIndexes"]
    assert index["IndexName"] == "lists"
    assert [one["AttributeName"] for one in index["KeySchema"]] == ["list_pk", "list_sk"]
    assert index["Projection"] == {"ProjectionType": "ALL"}
    assert table["TimeToLiveSpecification"] == {"AttributeName": "ttl", "Enabled": True}


def test_the_table_can_be_brought_back_and_not_dropped_by_mistake() -> None:
    table = properties("Table")
    assert table["PointInTimeRecoverySpecification"] == {
        "PointInTimeRecoveryEnabled": True, "RecoveryPeriodInDays": 1,
    }  # fmt: skip
    assert table["DeletionProtectionEnabled"] is True
    assert table["BillingMode"] == "PAY_PER_REQUEST"
    assert table["SSESpecification"]["SSEType"] == "KMS"
    assert table["SSESpecification"]["KMSMasterKeyId"] == {"Fn::GetAtt": ["DataKey", "Arn"]}


@pytest.mark.parametrize(
    ("key", "spec", "usage"),
    [
        ("ApprovalKey", "ECC_NIST_P256", "SIGN_VERIFY"),
        ("SealKey", "ECC_NIST_P256", "SIGN_VERIFY"),
        ("WrappingKey", "RSA_4096", "ENCRYPT_DECRYPT"),
    ],
)
def test_keys_are_of_the_kind_that_formats_name(key: str, spec: str, usage: str) -> None:
    assert properties(key)["KeySpec"] == spec
    assert properties(key)["KeyUsage"] == usage


def test_every_key_waits_longest_before_it_is_deleted_and_the_data_key_is_rotated() -> None:
    for key in of_type("AWS::KMS::Key").values():
        assert key["Properties"]["PendingWindowInDays"] == 30
    assert properties("DataKey")["EnableKeyRotation"] is True


@pytest.mark.parametrize("bucket", BUCKETS)
def test_no_bucket_is_public_and_each_is_encrypted_and_owned(bucket: str) -> None:
    found = properties(bucket)
    assert set(found["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(found["PublicAccessBlockConfiguration"]) == 4
    assert found["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    (rule,) = found["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["BucketKeyEnabled"] is True
    assert rule["ServerSideEncryptionByDefault"]["KMSMasterKeyID"] == {"Fn::GetAtt": ["DataKey", "Arn"]}


def test_every_bucket_and_queue_refuses_plain_http() -> None:
    covered = set()
    for name, policy in of_type("AWS::S3::BucketPolicy").items():
        denial = statements(name)["TlsOnly"]
        assert denial["Effect"] == "Deny"
        assert denial["Principal"] == "*"
        assert denial["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        covered.add(policy["Properties"]["Bucket"]["Ref"])
    assert covered == set(BUCKETS) == set(of_type("AWS::S3::Bucket"))
    queues = {one["Ref"] for one in properties("QueuesTlsOnly")["Queues"]}
    assert queues == set(of_type("AWS::SQS::Queue"))


def test_recordings_are_locked_by_default_and_never_expire() -> None:
    bucket = properties("RecordingsBucket")
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    assert bucket["ObjectLockEnabled"] is True
    assert bucket["ObjectLockConfiguration"]["Rule"]["DefaultRetention"] == {
        "Mode": {"Ref": "LockMode"},
        "Days": {"Ref": "LockDays"},
    }
    assert template()["Parameters"]["LockMode"]["AllowedValues"] == ["GOVERNANCE", "COMPLIANCE"]
    rules = bucket["LifecycleConfiguration"]["Rules"]
    assert not any("Expir" in key for rule in rules for key in rule)
    (cold,) = (rule for rule in rules if "Transitions" in rule)
    assert cold["Transitions"] == [{"StorageClass": "GLACIER_IR", "TransitionInDays": {"Ref": "ColdDays"}}]


def test_uploads_go_after_a_while() -> None:
    rules = {one["Id"]: one for one in properties("IncomingBucket")["LifecycleConfiguration"]["Rules"]}
    assert rules["lines"]["ExpirationInDays"] == rules["bodies"]["ExpirationInDays"] == 7
    assert rules["commands"]["ExpirationInDays"] == {"Ref": "CommandDays"}
    assert "ObjectLockEnabled" not in properties("IncomingBucket")


@pytest.mark.parametrize("policy", ["IncomingBucketPolicy", "RecordingsBucketPolicy"])
def test_objects_are_created_and_never_overwritten(policy: str) -> None:
    denial = statements(policy)["CreateOnly"]
    assert denial["Effect"] == "Deny"
    assert denial["Principal"] == "*"
    assert denial["Action"] == "s3:PutObject"
    assert denial["Condition"] == {"Null": {"s3:if-none-match": "true"}}


@pytest.mark.parametrize(("queue", "dead"), [("DueQueue", "DueDeadLetters"), ("NoticesQueue", "NoticesDeadLetters")])
def test_a_message_that_can_not_be_worked_is_kept_longer_than_others(queue: str, dead: str) -> None:
    working, kept = properties(queue), properties(dead)
    assert working["RedrivePolicy"]["deadLetterTargetArn"] == {"Fn::GetAtt": [dead, "Arn"]}
    assert 0 < working["RedrivePolicy"]["maxReceiveCount"] <= 5
    assert working["VisibilityTimeout"] >= 6 * 29, "six times the function's time, as Lambda asks"
    assert kept["MessageRetentionPeriod"] == 14 * 24 * 3600 > working["MessageRetentionPeriod"]
    assert kept["RedriveAllowPolicy"]["redrivePermission"] == "byQueue"


def test_every_queue_is_encrypted() -> None:
    for queue in of_type("AWS::SQS::Queue").values():
        assert queue["Properties"]["SqsManagedSseEnabled"] is True


def test_the_machine_is_standard_and_logs_no_tokens() -> None:
    machine = properties("Timer")
    assert machine["StateMachineType"] == "STANDARD"
    assert machine["LoggingConfiguration"]["IncludeExecutionData"] is False
    assert machine["DefinitionSubstitutions"] == {"Table": {"Ref": "Table"}, "DueQueue": {"Ref": "DueQueue"}}


def test_a_query_has_a_cap_that_auditors_can_not_lift() -> None:
    configuration = properties("AuditWorkGroup")["WorkGroupConfiguration"]
    assert configuration["EnforceWorkGroupConfiguration"] is True
    assert configuration["BytesScannedCutoffPerQuery"] == {"Ref": "ScanCapBytes"}
    assert configuration["ResultConfiguration"]["EncryptionConfiguration"]["EncryptionOption"] == "SSE_KMS"
    assert "ExpectedBucketOwner" in configuration["ResultConfiguration"]


# --- sign-in


@pytest.mark.parametrize("client", ["WebClient", "CliClient"])
def test_clients_take_codes_alone(client: str) -> None:
    found = properties(client)
    assert found["AllowedOAuthFlows"] == ["code"]
    assert found["ExplicitAuthFlows"] == ["ALLOW_REFRESH_TOKEN_AUTH"], "no password goes past the sign-in pages"
    assert "aws.cognito.signin.user.admin" not in found["AllowedOAuthScopes"], "a token changes no attribute"
    assert found["PreventUserExistenceErrors"] == "ENABLED"
    assert found["EnableTokenRevocation"] is True


def test_the_web_client_keeps_a_secret_and_answers_only_to_our_pages() -> None:
    web = properties("WebClient")
    assert web["GenerateSecret"] is True
    assert web["CallbackURLs"] == [{"Fn::Sub": "${PublicUrl}/callback"}]
    assert properties("WebClientSecret")["SecretString"] == {"Fn::GetAtt": ["WebClient", "ClientSecret"]}


def test_the_command_line_answers_on_the_loopback_ports_that_it_is_told_of() -> None:
    cli = properties("CliClient")
    assert cli["GenerateSecret"] is False
    ports = [re.fullmatch(r"http://127\.0\.0\.1:(\d+)/callback", one) for one in cli["CallbackURLs"]]
    told = template()["Outputs"]["IssuerCliPorts"]["Value"]
    assert ",".join(one.group(1) for one in ports if one) == told
    assert all(ports)


def test_people_of_the_pool_are_made_by_administrators_and_have_a_second_factor() -> None:
    pool = properties("UserPool")
    assert pool["AdminCreateUserConfig"] == {"AllowAdminCreateUserOnly": True}
    assert pool["DeletionProtection"] == "ACTIVE"
    assert pool["EnabledMfas"] == ["SOFTWARE_TOKEN_MFA"]
    assert template()["Parameters"]["Mfa"]["Default"] == "ON"
    assert "OFF" not in template()["Parameters"]["Mfa"]["AllowedValues"]


def test_a_federated_pool_takes_no_passwords_of_its_own() -> None:
    for client in ("WebClient", "CliClient"):
        (chosen,) = properties(client)["SupportedIdentityProviders"]
        assert chosen["Fn::If"][0] == "FederatedByOidc"
        assert chosen["Fn::If"][1] == {"Ref": "CompanyOidc"}
        assert chosen["Fn::If"][2] == {"Fn::If": ["FederatedBySaml", {"Ref": "CompanySaml"}, "COGNITO"]}
    assert properties("CompanySaml")["ProviderDetails"]["IDPInit"] == "false"


def test_no_secret_is_in_the_template_or_goes_through_a_parameter() -> None:
    details = properties("CompanyOidc")["ProviderDetails"]
    assert details["client_secret"] == {"Fn::Sub": "{{resolve:secretsmanager:${FederationOidcSecret}}}"}
    assert "SecretString" not in properties("SlackSecret")
    generated = properties("CookieSecret")["GenerateSecretString"]
    assert generated["PasswordLength"] >= 43
    for output in template()["Outputs"].values():
        assert "WebClient.ClientSecret" not in str(output)
        assert "['WebClient', 'ClientSecret']" not in str(output)


def test_mail_leaves_encrypted_or_not_at_all() -> None:
    assert properties("MailConfiguration")["DeliveryOptions"] == {"TlsPolicy": "REQUIRE"}


# --- alarms


def alarm(name: str) -> dict[str, Any]:
    return properties(name)


@pytest.mark.parametrize(
    ("name", "metric", "missing"),
    [
        ("DueDeadAlarm", "ApproximateNumberOfMessagesVisible", "notBreaching"),
        ("NoticesDeadAlarm", "ApproximateNumberOfMessagesVisible", "notBreaching"),
        ("DueAgeAlarm", "ApproximateAgeOfOldestMessage", "notBreaching"),
        ("ExpiryLagAlarm", "ExpiryLagSeconds", "breaching"),
        ("SilentEdgeAlarm", "SilentEdges", "breaching"),
        ("FailedSealAlarm", "Errors", "breaching"),
        ("ReconcileAlarm", "Errors", "breaching"),
        ("TimerFailedAlarm", "ExecutionsFailed", "notBreaching"),
        ("ApiErrorsAlarm", "Answers5xx", "notBreaching"),
    ],
)
def test_alarms_watch_what_they_are_named_for(name: str, metric: str, missing: str) -> None:
    """What runs each minute is missed when it says nothing."""
    assert alarm(name)["MetricName"] == metric
    assert alarm(name)["TreatMissingData"] == missing


def test_every_alarm_reaches_the_topic_and_says_what_it_means() -> None:
    alarms = of_type("AWS::CloudWatch::Alarm")
    assert len(alarms) == 9
    for one in alarms.values():
        found = one["Properties"]
        assert found["AlarmActions"] == found["OKActions"] == [{"Ref": "Alarms"}]
        assert len(found["AlarmDescription"]) > 30


def test_metrics_of_our_own_are_written_under_these_names() -> None:
    """By the workers and the routes, in powertools' namespace and under its one dimension."""
    sources = (ROOT / "control_plane" / "chalicelib" / name for name in ("workers.py", "bootstrap.py"))
    code = "".join(path.read_text("utf-8") for path in sources).replace("{response.status_code // 100}", "5")
    config = json.loads((ROOT / "control_plane" / ".chalice" / "config.json").read_text("utf-8"))
    environment = config["environment_variables"]
    ours = [one["Properties"] for one in of_type("AWS::CloudWatch::Alarm").values()]
    ours = [one for one in ours if not one["Namespace"].startswith("AWS/")]
    assert len(ours) == 3
    for found in ours:
        assert re.search(rf'name=f?"{found["MetricName"]}", unit=MetricUnit\.{found["Unit"]}\b', code)
        assert found["Namespace"] == environment["POWERTOOLS_METRICS_NAMESPACE"]
        assert found["Dimensions"] == [{"Name": "service", "Value": environment["POWERTOOLS_SERVICE_NAME"]}]


def test_parameters_say_what_they_are() -> None:
    for name, parameter in template()["Parameters"].items():
        assert len(parameter["Description"]) > 20, name


def test_a_stage_can_not_be_named_so_that_its_queues_are_another_ones() -> None:
    pattern = re.compile(template()["Parameters"]["Stage"]["AllowedPattern"])
    assert pattern.fullmatch("prod")
    for bad in ("a-wake-b", "Prod", "", "p*", "x" * 13):
        assert not pattern.fullmatch(bad)


@pytest.mark.parametrize(
    "address",
    ["https://x.example.com/prod", "https://x.example.com/", "http://x.example.com", "https://x.example.com?a=b", ""],
)
def test_only_the_root_of_a_domain_is_taken_as_address(address: str) -> None:
    pattern = template()["Parameters"]["PublicUrl"]["AllowedPattern"]
    assert re.fullmatch(pattern, "https://twokeys.example.com")
    assert not re.search(pattern, address)
