"""List prices and default quotas that the cost estimate starts from: us-east-1, US dollars, no free tier, no discount.

As known on 2026-11-22 and not fetched by this script: look at the pages before you quote a figure.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

AS_OF: Final = "2026-11-22"
REGION: Final = "us-east-1"
HOURS_PER_MONTH: Final = 730


class Unit(enum.StrEnum):
    """What AWS counts and charges for."""

    HTTP = "API Gateway request"
    INVOCATION = "Lambda invocation"
    GB_SECOND = "Lambda GB-second"
    WRITE = "DynamoDB write unit"
    READ = "DynamoDB read unit"
    SQS = "SQS request"
    TRANSITION = "Step Functions transition"
    KMS = "KMS asymmetric request"
    S3_PUT = "S3 PUT, COPY, LIST"
    S3_GET = "S3 GET, HEAD"
    MAIL = "SES mail"
    LOG_GB = "CloudWatch Logs GB"


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for `per` units, and the page that says so."""

    dollars: float
    per: int
    page: str


PRICES: Final = {
    Unit.HTTP: Price(3.50, 1_000_000, "https://aws.amazon.com/api-gateway/pricing/ (REST, first 333 M)"),
    Unit.INVOCATION: Price(0.20, 1_000_000, "https://aws.amazon.com/lambda/pricing/"),
    Unit.GB_SECOND: Price(0.0000166667, 1, "https://aws.amazon.com/lambda/pricing/ (x86_64; arm64 is a fifth less)"),
    Unit.WRITE: Price(0.625, 1_000_000, "https://aws.amazon.com/dynamodb/pricing/on-demand/"),
    Unit.READ: Price(0.125, 1_000_000, "https://aws.amazon.com/dynamodb/pricing/on-demand/"),
    Unit.SQS: Price(0.40, 1_000_000, "https://aws.amazon.com/sqs/pricing/ (standard queue)"),
    Unit.TRANSITION: Price(0.025, 1_000, "https://aws.amazon.com/step-functions/pricing/ (Standard)"),
    Unit.KMS: Price(0.15, 10_000, "https://aws.amazon.com/kms/pricing/ (ECC and RSA_4096)"),
    Unit.S3_PUT: Price(0.005, 1_000, "https://aws.amazon.com/s3/pricing/ (Standard)"),
    Unit.S3_GET: Price(0.0004, 1_000, "https://aws.amazon.com/s3/pricing/ (Standard)"),
    Unit.MAIL: Price(0.10, 1_000, "https://aws.amazon.com/ses/pricing/"),
    Unit.LOG_GB: Price(0.50, 1, "https://aws.amazon.com/cloudwatch/pricing/"),
}

KMS_KEY_MONTH: Final = 1.00
"""Dollars for one key for a month; the stack has four."""


@dataclass(frozen=True, slots=True)
class Quota:
    """A default limit of an account in one region.

    Args:
        name: As Service Quotas calls it, or what a partition bears.
        limit: A second, unless `what` says otherwise.
        what: Of what.
        raise_by: How to get more.
    """

    name: str
    limit: float
    what: str
    raise_by: str


QUOTAS: Final = {
    "http": Quota("API Gateway: throttle rate", 10_000, "requests/s", "Service Quotas, API Gateway"),
    "concurrent": Quota("Lambda: concurrent executions", 1_000, "at once", "Service Quotas, Lambda; granted in days"),
    "writes": Quota("DynamoDB: a new on-demand table", 4_000, "write units/s",
                    "warm throughput of the table, set before the load comes; the account's quota is 40,000"),
    "shard": Quota("DynamoDB: one partition", 1_000, "write units/s", "more SHARDS of NOTES; others are of DynamoDB"),
    "chain": Quota("DynamoDB: one partition", 1_000, "write units/s",
                   "the exporter is one writer and waits: Records are sealed later, nothing is lost"),
    "reads": Quota("DynamoDB: one partition", 3_000, "read units/s", "it is of DynamoDB, and not raised"),
    "starts": Quota("Step Functions: StartExecution", 300, "refill/s, bucket 1,300", "Service Quotas, Step Functions"),
    "transitions": Quota("Step Functions: StateTransition", 5_000, "/s", "Service Quotas, Step Functions"),
    "kms": Quota("KMS: cryptographic operations (ECC)", 1_000, "requests/s", "Service Quotas, KMS"),
    "mail": Quota("SES: sending rate out of the sandbox", 14, "mails/s, 50,000 a day", "a case to SES; or Slack only"),
    "puts": Quota("S3: PUT on one prefix", 3_500, "requests/s", "S3 splits prefixes under load; retries until then"),
}  # fmt: skip

MEASURED_NOWHERE: Final = {
    "api_seconds": 0.10,
    "worker_seconds": 0.15,
    "log_kilobytes": 1.0,
}
"""Assumptions: how long a call and a worker run (seconds, warm), and what one invocation logs. moto can't tell them."""
