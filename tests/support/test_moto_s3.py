"""The patches of moto's S3 do what they say, and end with their test."""

from __future__ import annotations

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.s3.responses import S3Response

from tests.support.aws import CREDENTIALS, REGION
from tests.support.moto_s3 import guard_writes


def test_copies_are_create_only_into_locked_buckets_and_checksums_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    before = S3Response.put_object
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    with monkeypatch.context() as patches, mock_aws():
        guard_writes(patches)
        s3 = boto3.client("s3", region_name=REGION)
        s3.create_bucket(Bucket="from-here")
        s3.create_bucket(Bucket="to-there", ObjectLockEnabledForBucket=True)
        lock = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}}
        s3.put_object_lock_configuration(Bucket="to-there", ObjectLockConfiguration=lock)
        s3.put_object(Bucket="from-here", Key="a", Body=b"x")
        copy = {"Bucket": "to-there", "Key": "a", "CopySource": {"Bucket": "from-here", "Key": "a"}}
        s3.copy_object(**copy, IfNoneMatch="*", ChecksumAlgorithm="SHA256")
        with pytest.raises(ClientError, match="PreconditionFailed"):
            s3.copy_object(**copy, IfNoneMatch="*", ChecksumAlgorithm="SHA256")
        with pytest.raises(ClientError, match="BadDigest"):
            s3.put_object(Bucket="from-here", Key="b", Body=b"x", ChecksumSHA256="A" * 43 + "=")
    assert S3Response.put_object is before
