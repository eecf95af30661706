"""Where moto's S3 takes less care than AWS's: copies over what is there, bodies that are not what was announced."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest
from moto.s3.exceptions import PreconditionFailed, S3ClientError
from moto.s3.responses import S3Response
from werkzeug.datastructures import Headers


class BadDigest(S3ClientError):
    """As AWS says it."""

    def __init__(self) -> None:
        super().__init__("BadDigest", "The SHA256 you specified did not match the calculated checksum.")


def guard_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `If-None-Match: *` hold for copies, copies into locked buckets need no header, and a checksum be checked."""
    put, copy, dispatch = S3Response.put_object, S3Response.copy_object, S3Response._key_response_put

    def checked_put(self: Any) -> Any:
        said = self.headers.get("x-amz-checksum-sha256")
        if said and said != base64.b64encode(hashlib.sha256(self.raw_body).digest()).decode():
            raise BadDigest
        return put(self)

    def created_copy(self: Any) -> Any:
        create_only = self.headers.get("If-None-Match") == "*"
        if create_only and self.backend.get_object(self.bucket_name, self.parse_key_name()) is not None:
            raise PreconditionFailed("If-None-Match")
        return copy(self)

    def dispatched(self: Any, *arguments: Any) -> Any:
        if "x-amz-copy-source" in self.headers:
            self.headers = Headers([*self.headers.items(), ("x-amz-sdk-checksum-algorithm", "SHA256")])
        return dispatch(self, *arguments)

    monkeypatch.setattr(S3Response, "put_object", checked_put)
    monkeypatch.setattr(S3Response, "copy_object", created_copy)
    monkeypatch.setattr(S3Response, "_key_response_put", dispatched)
