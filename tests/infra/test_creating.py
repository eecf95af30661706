"""The stack is really made, in the shapes that parameters give it; and moto's silence about types is ended."""

from __future__ import annotations

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from control_plane.chalicelib.adapters.aws.settings import read_settings
from infra.template import FOLDER, read
from tests.infra.composed import fresh, of_type, template
from tests.infra.deployed import PARAMETERS, standing
from tests.support.cfn_patches import REGION, create_stack, patch_cloudformation
from tests.support.cfn_types import TYPES

QUERIES = read(FOLDER / "named_queries_stack.yaml")


def test_every_resource_stands() -> None:
    with standing() as stack:
        resources = stack.client("cloudformation").list_stack_resources(StackName="twokeys-prod")
        # Resources whose condition is false are listed without a name.
        made = {one["LogicalResourceId"] for one in resources["StackResourceSummaries"]} - {""}
        assert made == template()["Resources"].keys() - {"CompanyOidc", "CompanySaml"}


def test_types_that_nothing_can_make_are_refused_before_anything_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    strange = fresh()
    strange["Resources"]["Strange"] = {"Type": "AWS::Foo::Bar", "Properties": {}}
    patch_cloudformation(monkeypatch)
    with mock_aws():
        with pytest.raises(NotImplementedError, match="AWS::Foo::Bar"):
            create_stack(strange, **PARAMETERS)
        assert boto3.client("dynamodb", region_name=REGION).list_tables()["TableNames"] == []


def test_a_property_that_an_api_does_not_have_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = fresh()
    wrong["Resources"]["DueAgeAlarm"]["Properties"]["Colour"] = "red"
    patch_cloudformation(monkeypatch)
    with mock_aws(), pytest.raises(Exception, match="Colour"):
        create_stack(wrong, **PARAMETERS)


def test_no_type_is_known_that_the_stacks_do_not_use() -> None:
    used = {one["Type"] for stack in (template(), QUERIES) for one in stack["Resources"].values()}
    assert TYPES.keys() == used


def test_saved_queries_are_a_stack_beside_it() -> None:
    with standing() as stack:
        create_stack(
            QUERIES, "twokeys-prod-queries",
            AuditDatabase=stack.outputs["AthenaDatabase"], AuditWorkGroup=stack.outputs["AthenaWorkgroup"],
        )  # fmt: skip
        found = stack.client("athena").list_named_queries(WorkGroup=stack.outputs["AthenaWorkgroup"])
        assert len(found["NamedQueryIds"]) == len(QUERIES["Resources"])


def test_what_moto_would_pass_over_is_there() -> None:
    with standing() as stack:
        s3, bucket = stack.client("s3"), stack.outputs["RecordingsBucket"]
        lock = s3.get_object_lock_configuration(Bucket=bucket)["ObjectLockConfiguration"]
        retention = lock["Rule"]["DefaultRetention"]
        assert (retention["Mode"], retention["Days"]) == ("GOVERNANCE", 400)
        assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
        dynamodb = stack.client("dynamodb")
        ttl = dynamodb.describe_time_to_live(TableName=stack.outputs["Table"])["TimeToLiveDescription"]
        assert ttl == {"TimeToLiveStatus": "ENABLED", "AttributeName": "ttl"}
        kms = stack.client("kms")
        spec = {
            name: kms.describe_key(KeyId=stack.outputs[name])["KeyMetadata"]["KeySpec"]
            for name in ("ApprovalKeys", "SealKeys", "WrappingKey", "DataKey")
        }
        assert spec == {
            "ApprovalKeys": "ECC_NIST_P256", "SealKeys": "ECC_NIST_P256", "WrappingKey": "RSA_4096",
            "DataKey": "SYMMETRIC_DEFAULT",
        }  # fmt: skip
        states = stack.client("stepfunctions")
        machine = states.describe_state_machine(stateMachineArn=stack.outputs["StateMachine"])
        assert "${" not in machine["definition"]
        assert stack.outputs["DueQueue"] in machine["definition"]
        tables = stack.client("glue").get_tables(DatabaseName="twokeys_prod")["TableList"]
        assert {one["Name"] for one in tables} == {"records", "seal_files", "seals"}
        records = next(one for one in tables if one["Name"] == "records")
        assert records["Parameters"]["storage.location.template"] == f"s3://{bucket}/lines/dt=${{dt}}/"


def test_a_recording_is_locked_as_soon_as_it_is_made() -> None:
    """Even for whoever took the bucket's policy away."""
    with standing(LockMode="COMPLIANCE", LockDays="30") as stack:
        s3, bucket = stack.client("s3"), stack.outputs["RecordingsBucket"]
        made = s3.put_object(Bucket=bucket, Key="lines/dt=2026-11-22/x.jsonl.gz", Body=b"x", IfNoneMatch="*")
        s3.delete_bucket_policy(Bucket=bucket)
        with pytest.raises(ClientError, match="AccessDenied"):
            s3.delete_object(Bucket=bucket, Key="lines/dt=2026-11-22/x.jsonl.gz", VersionId=made["VersionId"])


def test_moto_holds_what_bucket_policies_deny_to_everybody_and_nothing_it_can_not_judge() -> None:
    """Without the patch every upload is denied: moto takes conditions it does not know for unmet, and unmet for no."""
    with standing() as stack:
        s3, bucket = stack.client("s3"), stack.outputs["RecordingsBucket"]
        s3.put_object(Bucket=bucket, Key="lines/x", Body=b"x")
        assert s3.get_object(Bucket=bucket, Key="lines/x")["Body"].read() == b"x"
        with pytest.raises(ClientError, match="Forbidden"):
            s3.delete_object(Bucket=bucket, Key="lines/x")


def test_a_copy_into_a_locked_bucket_is_made_and_locked() -> None:
    with standing(LockMode="COMPLIANCE") as stack:
        s3, outputs = stack.client("s3"), stack.outputs
        s3.put_object(Bucket=outputs["IncomingBucket"], Key="lines/x", Body=b"x", IfNoneMatch="*")
        s3.copy_object(
            Bucket=outputs["RecordingsBucket"], Key="lines/y",
            CopySource={"Bucket": outputs["IncomingBucket"], "Key": "lines/x"}, ChecksumAlgorithm="SHA256",
        )  # fmt: skip
        head = s3.head_object(Bucket=outputs["RecordingsBucket"], Key="lines/y")
        assert head["ObjectLockMode"] == "COMPLIANCE"


def test_without_mail_slack_or_alarms_by_mail_there_are_none() -> None:
    with standing(MailFrom="", Slack="no", AlarmEmail="") as stack:
        settings = read_settings(stack.outputs.environment())
        assert (settings.mail_from, settings.mail_configuration, settings.slack_secret) == ("", "", "")
        assert stack.client("sns").list_subscriptions()["Subscriptions"] == []
        assert stack.client("sesv2").list_configuration_sets().get("ConfigurationSets", []) == []


def test_an_external_issuer_takes_the_place_of_the_pool() -> None:
    with standing(
        ExternalIssuer="https://login.example.com",
        ExternalIssuerClient="twokeys-web",
        ExternalIssuerCliClient="twokeys-cli",
        ExternalIssuerSecret="idp/twokeys",
    ) as stack:
        settings = read_settings(stack.outputs.environment())
        assert settings.issuer == "https://login.example.com"
        assert settings.issuer_client == "twokeys-web"
        assert settings.issuer_cli_client == "twokeys-cli"
        assert settings.issuer_secret == "idp/twokeys"
        assert settings.issuer_tokens == "at+jwt"
        assert stack.client("cognito-idp").list_user_pools(MaxResults=10)["UserPools"] == []
        secret = "arn:aws:secretsmanager:us-east-1:123456789012:secret:idp/twokeys"
        assert stack.may("api_handler", "secretsmanager:GetSecretValue", f"{secret}-AbC123")
        assert not stack.may("api_handler", "secretsmanager:GetSecretValue", f"{secret}-other-AbC123")
        assert not stack.may("due", "secretsmanager:GetSecretValue", f"{secret}-AbC123")


def test_an_external_issuer_without_secret_or_command_line() -> None:
    with standing(ExternalIssuer="https://login.example.com", ExternalIssuerClient="twokeys-web") as stack:
        settings = read_settings(stack.outputs.environment())
        assert (settings.issuer_secret, settings.issuer_cli_client) == ("", "")


@pytest.mark.parametrize(
    ("provider", "parameters"),
    [
        (
            "company-oidc",
            {
                "FederationOidcIssuer": "https://idp.example.com",
                "FederationOidcClient": "pool",
                "FederationOidcSecret": "s",
            },
        ),
        ("company-saml", {"FederationSamlMetadata": "https://idp.example.com/metadata.xml"}),
    ],
)
def test_a_pool_federates(provider: str, parameters: dict[str, str]) -> None:
    with standing(**parameters) as stack:
        cognito, pool = stack.client("cognito-idp"), stack.outputs["UserPoolId"]
        assert [one["ProviderName"] for one in cognito.list_identity_providers(UserPoolId=pool)["Providers"]] == [
            provider
        ]
        client = cognito.describe_user_pool_client(UserPoolId=pool, ClientId=stack.outputs["IssuerClient"])
        assert client["UserPoolClient"]["SupportedIdentityProviders"] == [provider]


def test_auditors_may_be_named() -> None:
    with standing(AuditorPrincipals="arn:aws:iam::123456789012:role/audit,arn:aws:iam::123456789012:user/ann") as stack:
        trust = stack.policy_of(stack.role("auditor"))
        assert trust is not None
        assert trust["Statement"][0]["Principal"]["AWS"] == [
            "arn:aws:iam::123456789012:role/audit",
            "arn:aws:iam::123456789012:user/ann",
        ]
        assert not stack.may("administrator", "sts:AssumeRole", stack.role("auditor"))


def test_names_fit_for_the_longest_stage() -> None:
    stage = "x" * 12
    for bucket in of_type("AWS::S3::Bucket").values():
        name = bucket["Properties"]["BucketName"]["Fn::Sub"]
        name = name.replace("${Stage}", stage).replace("${AWS::AccountId}", "1" * 12)
        assert len(name.replace("${AWS::Region}", "ap-southeast-2")) <= 63
    for role in of_type("AWS::IAM::Role").values():
        assert len(role["Properties"]["RoleName"]["Fn::Sub"].replace("${Stage}", stage)) <= 64
