"""The patch of moto's KMS does what it says, and ends with its test."""

from __future__ import annotations

import boto3
import moto.kms.models
import pytest
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from moto import mock_aws

from tests.support.aws import CREDENTIALS, REGION
from tests.support.moto_kms import decrypt_by_rsa
from twokeys.body import WRAPPING


def test_rsa_keys_decrypt_and_symmetric_ones_still_do(monkeypatch: pytest.MonkeyPatch) -> None:
    before = moto.kms.models.KmsBackend.decrypt
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    with monkeypatch.context() as patches, mock_aws():
        decrypt_by_rsa(patches)
        kms = boto3.client("kms", region_name=REGION)
        key = kms.create_key(KeyUsage="ENCRYPT_DECRYPT", KeySpec="RSA_2048")["KeyMetadata"]["Arn"]
        public = serialization.load_der_public_key(kms.get_public_key(KeyId=key)["PublicKey"])
        assert isinstance(public, rsa.RSAPublicKey)
        wrapped, how = public.encrypt(b"secret", WRAPPING), {"EncryptionAlgorithm": "RSAES_OAEP_SHA_256"}
        assert kms.decrypt(KeyId=key, CiphertextBlob=wrapped, **how)["Plaintext"] == b"secret"
        with pytest.raises(ClientError, match="InvalidCiphertext"):
            kms.decrypt(KeyId=key, CiphertextBlob=bytes(256), **how)
        plain = kms.create_key()["KeyMetadata"]["Arn"]
        kept = kms.encrypt(KeyId=plain, Plaintext=b"other")["CiphertextBlob"]
        assert kms.decrypt(CiphertextBlob=kept)["Plaintext"] == b"other"
    assert moto.kms.models.KmsBackend.decrypt is before
