"""What the stack makes, made by hand in moto: for tests of single adapters, which need no whole stack."""

from __future__ import annotations

import json
from typing import Final

from control_plane.chalicelib.adapters.aws.clients import Clients
from control_plane.chalicelib.adapters.aws.settings import Settings

REGION: Final = "us-east-1"
CREDENTIALS: Final = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": REGION,
    "AWS_EC2_METADATA_DISABLED": "true",
}


def make_resources(clients: Clients) -> Settings:
    """Make the table, buckets, queues, keys and the role; the state machine is named, not made."""
    make_table(clients, "twokeys-test")
    s3 = clients.of("s3")
    s3.create_bucket(Bucket="twokeys-test-incoming")
    s3.create_bucket(Bucket="twokeys-test-recordings", ObjectLockEnabledForBucket=True)
    sqs, iam = clients.of("sqs"), clients.of("iam")
    role = iam.create_role(RoleName="twokeys-test-wake", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17"}))
    return Settings(
        public_url="https://twokeys.example.com",
        table="twokeys-test",
        incoming_bucket="twokeys-test-incoming",
        recordings_bucket="twokeys-test-recordings",
        state_machine=f"arn:aws:states:{REGION}:123456789012:stateMachine:twokeys-test-timer",
        due_queue=sqs.create_queue(QueueName="twokeys-test-due")["QueueUrl"],
        notices_queue=sqs.create_queue(QueueName="twokeys-test-notices")["QueueUrl"],
        wake_queue_prefix="twokeys-test-wake-",
        wake_role=role["Role"]["Arn"],
        approval_keys=[make_key(clients, "SIGN_VERIFY", "ECC_NIST_P256")],
        seal_keys=[make_key(clients, "SIGN_VERIFY", "ECC_NIST_P256")],
        wrapping_key=make_key(clients, "ENCRYPT_DECRYPT", "RSA_4096"),
        cookie_secret="twokeys-test/cookie",
        issuer="https://issuer.example.com",
        issuer_client="twokeys-web",
    )


def make_table(clients: Clients, name: str) -> None:
    """The table of docs/adr/0010."""
    text = [{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk", "list_pk", "list_sk")]
    clients.of("dynamodb").create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=text,
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "lists",
                "KeySchema": [
                    {"AttributeName": "list_pk", "KeyType": "HASH"},
                    {"AttributeName": "list_sk", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
    )


def make_key(clients: Clients, usage: str, spec: str) -> str:
    """A KMS key's ARN."""
    made = clients.of("kms").create_key(KeyUsage=usage, KeySpec=spec)
    return str(made["KeyMetadata"]["Arn"])
