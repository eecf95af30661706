"""moto decrypts by symmetric keys only; AWS also by RSA keys (RSAES_OAEP_SHA_256)."""

from __future__ import annotations

from typing import Any

import moto.kms.models
import pytest
from moto.kms.exceptions import InvalidCiphertextException

from twokeys.body import WRAPPING


def decrypt_by_rsa(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Decrypt use the RSA key that it names."""
    symmetric = moto.kms.models.KmsBackend.decrypt

    def decrypt(
        self: Any, ciphertext_blob: bytes, encryption_context: dict[str, str], key_id: str | None = None
    ) -> tuple[bytes, str]:
        key = self.keys.get(self.any_id_to_key_id(key_id)) if key_id is not None else None
        if key is None or not key.key_spec.startswith("RSA_"):
            return symmetric(self, ciphertext_blob, encryption_context, key_id)
        try:
            return key.private_key.private_key.decrypt(ciphertext_blob, WRAPPING), key.arn
        except ValueError:
            raise InvalidCiphertextException from None

    monkeypatch.setattr(moto.kms.models.KmsBackend, "decrypt", decrypt)
