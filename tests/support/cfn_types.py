"""How each type of our stack is made by its service's API: properties in, physical id and attributes out."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

Attributes = Mapping[str, str]
Client = Callable[[str], Any]
Properties = dict[str, Any]
Make = Callable[[Properties, Client], tuple[str, Attributes]]


@dataclass(frozen=True, slots=True)
class Known:
    """A type that can be made; `attributes` are those that Fn::GetAtt may ask for."""

    make: Make
    attributes: frozenset[str]


TYPES: Final[dict[str, Known]] = {}


def _type(name: str, *attributes: str) -> Callable[[Make], Make]:
    def keep(make: Make) -> Make:
        TYPES[name] = Known(make, frozenset(attributes))
        return make

    return keep


def _api(value: Any) -> Any:
    """Properties as most JSON APIs want them: names begin with a small letter."""
    match value:
        case dict():
            return {key[0].lower() + key[1:]: _api(one) for key, one in value.items()}
        case list():
            return [_api(one) for one in value]
    return value


@_type("AWS::KMS::Key", "Arn")
def _key(p: Properties, client: Client) -> tuple[str, Attributes]:
    kms = client("kms")
    more = {name: p[name] for name in ("Description", "KeySpec", "KeyUsage") if name in p}
    made = kms.create_key(Policy=json.dumps(p["KeyPolicy"]), **more)["KeyMetadata"]
    if p.get("EnableKeyRotation"):
        kms.enable_key_rotation(KeyId=made["KeyId"])
    return made["KeyId"], {"Arn": made["Arn"]}


@_type("AWS::KMS::Alias")
def _alias(p: Properties, client: Client) -> tuple[str, Attributes]:
    client("kms").create_alias(**p)
    return p["AliasName"], {}


@_type("AWS::DynamoDB::Table", "Arn")
def _table(p: Properties, client: Client) -> tuple[str, Attributes]:
    dynamodb, name = client("dynamodb"), p["TableName"]
    encryption = p["SSESpecification"]
    made = dynamodb.create_table(
        TableName=name,
        SSESpecification={"Enabled": encryption["SSEEnabled"], "SSEType": encryption["SSEType"],
                          "KMSMasterKeyId": encryption["KMSMasterKeyId"]},
        **{key: p[key] for key in ("BillingMode", "AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes",
                                   "DeletionProtectionEnabled")},
    )  # fmt: skip
    dynamodb.update_time_to_live(TableName=name, TimeToLiveSpecification=p["TimeToLiveSpecification"])
    dynamodb.update_continuous_backups(
        TableName=name, PointInTimeRecoverySpecification=p["PointInTimeRecoverySpecification"]
    )
    return name, {"Arn": made["TableDescription"]["TableArn"]}


@_type("AWS::SQS::Queue", "Arn", "QueueName")
def _queue(p: Properties, client: Client) -> tuple[str, Attributes]:
    sqs = client("sqs")
    attributes = {key: _text(value) for key, value in p.items() if key != "QueueName"}
    url = sqs.create_queue(QueueName=p["QueueName"], Attributes=attributes)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    return url, {"Arn": arn, "QueueName": p["QueueName"]}


def _text(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case dict():
            return json.dumps(value)
    return str(value)


@_type("AWS::SQS::QueuePolicy")
def _queue_policy(p: Properties, client: Client) -> tuple[str, Attributes]:
    for url in p["Queues"]:
        client("sqs").set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(p["PolicyDocument"])})
    return "queue-policy", {}


@_type("AWS::StepFunctions::StateMachine", "Arn", "Name")
def _machine(p: Properties, client: Client) -> tuple[str, Attributes]:
    definition = json.dumps(p["Definition"])
    for name, value in p["DefinitionSubstitutions"].items():
        definition = definition.replace("${" + name + "}", value)
    made = client("stepfunctions").create_state_machine(
        name=p["StateMachineName"], type=p["StateMachineType"], roleArn=p["RoleArn"], definition=definition,
        loggingConfiguration=_api(p["LoggingConfiguration"]), tracingConfiguration=_api(p["TracingConfiguration"]),
    )  # fmt: skip
    return made["stateMachineArn"], {"Arn": made["stateMachineArn"], "Name": p["StateMachineName"]}


@_type("AWS::Logs::LogGroup", "Arn")
def _log_group(p: Properties, client: Client) -> tuple[str, Attributes]:
    logs, name = client("logs"), p["LogGroupName"]
    logs.create_log_group(logGroupName=name)
    logs.put_retention_policy(logGroupName=name, retentionInDays=int(p["RetentionInDays"]))
    (found,) = (
        one for one in logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"] if one["logGroupName"] == name
    )
    return name, {"Arn": found["arn"]}


@_type("AWS::IAM::Role", "Arn")
def _role(p: Properties, client: Client) -> tuple[str, Attributes]:
    document = json.dumps(p["AssumeRolePolicyDocument"])
    more = {key: p[key] for key in ("Description", "MaxSessionDuration") if key in p}
    made = client("iam").create_role(RoleName=p["RoleName"], AssumeRolePolicyDocument=document, **more)
    return p["RoleName"], {"Arn": made["Role"]["Arn"]}


@_type("AWS::IAM::RolePolicy")
def _role_policy(p: Properties, client: Client) -> tuple[str, Attributes]:
    client("iam").put_role_policy(
        RoleName=p["RoleName"], PolicyName=p["PolicyName"], PolicyDocument=json.dumps(p["PolicyDocument"])
    )
    return p["PolicyName"], {}


@_type("AWS::S3::Bucket", "Arn")
def _bucket(p: Properties, client: Client) -> tuple[str, Attributes]:
    s3, name = client("s3"), p["BucketName"]
    s3.create_bucket(Bucket=name, ObjectLockEnabledForBucket=p.get("ObjectLockEnabled", False))
    s3.put_public_access_block(Bucket=name, PublicAccessBlockConfiguration=p["PublicAccessBlockConfiguration"])
    s3.put_bucket_ownership_controls(Bucket=name, OwnershipControls=p["OwnershipControls"])
    (rule,) = p["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    s3.put_bucket_encryption(
        Bucket=name,
        ServerSideEncryptionConfiguration={
            "Rules": [
                {"ApplyServerSideEncryptionByDefault": rule["ServerSideEncryptionByDefault"],
                 "BucketKeyEnabled": rule["BucketKeyEnabled"]}
            ]
        },
    )  # fmt: skip
    if "VersioningConfiguration" in p:
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration=p["VersioningConfiguration"])
    if "ObjectLockConfiguration" in p:
        lock = json.loads(json.dumps(p["ObjectLockConfiguration"]))
        retention = lock["Rule"]["DefaultRetention"]
        retention["Days"] = int(retention["Days"])
        s3.put_object_lock_configuration(Bucket=name, ObjectLockConfiguration=lock)
    rules = [_lifecycle(one) for one in p["LifecycleConfiguration"]["Rules"]]
    s3.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": rules})
    return name, {"Arn": f"arn:aws:s3:::{name}"}


def _lifecycle(rule: Properties) -> Properties:
    made: Properties = {"ID": rule["Id"], "Status": rule["Status"], "Filter": {"Prefix": rule.get("Prefix", "")}}
    if "ExpirationInDays" in rule:
        made["Expiration"] = {"Days": int(rule["ExpirationInDays"])}
    if "AbortIncompleteMultipartUpload" in rule:
        made["AbortIncompleteMultipartUpload"] = rule["AbortIncompleteMultipartUpload"]
    if "Transitions" in rule:
        made["Transitions"] = [
            {"StorageClass": one["StorageClass"], "Days": int(one["TransitionInDays"])} for one in rule["Transitions"]
        ]
    return made


@_type("AWS::S3::BucketPolicy")
def _bucket_policy(p: Properties, client: Client) -> tuple[str, Attributes]:
    client("s3").put_bucket_policy(Bucket=p["Bucket"], Policy=json.dumps(p["PolicyDocument"]))
    return p["Bucket"], {}


@_type("AWS::Glue::Database")
def _glue_database(p: Properties, client: Client) -> tuple[str, Attributes]:
    client("glue").create_database(CatalogId=p["CatalogId"], DatabaseInput=p["DatabaseInput"])
    return p["DatabaseInput"]["Name"], {}


@_type("AWS::Glue::Table")
def _glue_table(p: Properties, client: Client) -> tuple[str, Attributes]:
    client("glue").create_table(**p)
    return p["TableInput"]["Name"], {}


@_type("AWS::Athena::WorkGroup")
def _workgroup(p: Properties, client: Client) -> tuple[str, Attributes]:
    configuration = p["WorkGroupConfiguration"]
    configuration |= {"BytesScannedCutoffPerQuery": int(configuration["BytesScannedCutoffPerQuery"])}
    client("athena").create_work_group(Name=p["Name"], Description=p["Description"], Configuration=configuration)
    return p["Name"], {}


@_type("AWS::Athena::NamedQuery", "NamedQueryId")
def _named_query(p: Properties, client: Client) -> tuple[str, Attributes]:
    made = client("athena").create_named_query(**p)["NamedQueryId"]
    return made, {"NamedQueryId": made}


@_type("AWS::Cognito::UserPool", "Arn")
def _user_pool(p: Properties, client: Client) -> tuple[str, Attributes]:
    cognito = client("cognito-idp")
    more = {key: value for key, value in p.items() if key not in {"UserPoolName", "EnabledMfas", "MfaConfiguration"}}
    pool = cognito.create_user_pool(PoolName=p["UserPoolName"], **more)["UserPool"]
    cognito.set_user_pool_mfa_config(
        UserPoolId=pool["Id"], MfaConfiguration=p["MfaConfiguration"],
        SoftwareTokenMfaConfiguration={"Enabled": "SOFTWARE_TOKEN_MFA" in p["EnabledMfas"]},
    )  # fmt: skip
    return pool["Id"], {"Arn": pool["Arn"]}


@_type("AWS::Cognito::UserPoolDomain")
def _user_pool_domain(p: Properties, client: Client) -> tuple[str, Attributes]:
    client("cognito-idp").create_user_pool_domain(**p)
    return p["Domain"], {}


@_type("AWS::Cognito::UserPoolIdentityProvider")
def _identity_provider(p: Properties, client: Client) -> tuple[str, Attributes]:
    client("cognito-idp").create_identity_provider(**p)
    return p["ProviderName"], {}


@_type("AWS::Cognito::UserPoolClient", "ClientSecret")
def _user_pool_client(p: Properties, client: Client) -> tuple[str, Attributes]:
    made = client("cognito-idp").create_user_pool_client(**p)["UserPoolClient"]
    return made["ClientId"], {"ClientSecret": made.get("ClientSecret", "")}


@_type("AWS::SecretsManager::Secret")
def _secret(p: Properties, client: Client) -> tuple[str, Attributes]:
    secrets = client("secretsmanager")
    more = {key: p[key] for key in ("Description", "SecretString") if key in p}
    if "GenerateSecretString" in p:
        more["SecretString"] = secrets.get_random_password(**p["GenerateSecretString"])["RandomPassword"]
    arn = secrets.create_secret(Name=p["Name"], **more)["ARN"]
    return arn, {}


@_type("AWS::SES::ConfigurationSet")
def _configuration_set(p: Properties, client: Client) -> tuple[str, Attributes]:
    client("sesv2").create_configuration_set(
        ConfigurationSetName=p["Name"], **{key: value for key, value in p.items() if key != "Name"}
    )
    return p["Name"], {}


@_type("AWS::SNS::Topic")
def _topic(p: Properties, client: Client) -> tuple[str, Attributes]:
    return client("sns").create_topic(Name=p["TopicName"])["TopicArn"], {}


@_type("AWS::SNS::TopicPolicy")
def _topic_policy(p: Properties, client: Client) -> tuple[str, Attributes]:
    for arn in p["Topics"]:
        client("sns").set_topic_attributes(
            TopicArn=arn, AttributeName="Policy", AttributeValue=json.dumps(p["PolicyDocument"])
        )
    return "topic-policy", {}


@_type("AWS::SNS::Subscription")
def _subscription(p: Properties, client: Client) -> tuple[str, Attributes]:
    return client("sns").subscribe(**p)["SubscriptionArn"], {}


@_type("AWS::CloudWatch::Alarm")
def _alarm(p: Properties, client: Client) -> tuple[str, Attributes]:
    client("cloudwatch").put_metric_alarm(**p)
    return p["AlarmName"], {}
