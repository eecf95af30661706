"""Objects of S3, created once, each with the SHA-256 that S3 itself checked when it was stored."""

from __future__ import annotations

import base64
import errno
import hashlib
import mmap
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from twokeys.errors import InvalidInput, Unavailable

from .clients import Clients
from .errors import code_of, told

MISSING: Final = frozenset({"404", "NoSuchKey", "NotFound"})
"""Codes for an object that is not there. A bucket that is not there is a fault: `NoSuchBucket`."""

TAKEN: Final = frozenset({"412", "PreconditionFailed", "409", "ConditionalRequestConflict"})
"""Codes for: something is stored under this name, or just being stored."""

CHUNK_BYTES: Final = 1024 * 1024

TEMPORARY_BYTES: Final = 512 * 1024 * 1024
"""Longest object brought to the function's own disk. Lambda gives /tmp 512 MB unless the function asks for more; what
does not fit any more is Unavailable (``no_room``), not half a file."""


@dataclass(frozen=True, slots=True)
class Found:
    """An object: `sha256` hexadecimal, empty when S3 knows none; `version` empty in a bucket without versions."""

    sha256: str
    length: int
    etag: str
    version: str


class Bucket:
    """One bucket."""

    def __init__(self, clients: Clients, name: str) -> None:
        """Args: clients: of AWS; name: the bucket's."""
        self._clients, self.name = clients, name

    def find(self, key: str, version: str = "") -> Found | None:
        """What lies there; None when nothing does. Raises Unavailable."""
        asked = {"Bucket": self.name, "Key": key, "ChecksumMode": "ENABLED", **_version(version)}
        with told("S3", "Nothing was stored."):
            try:
                answer = self._s3.head_object(**asked)
            except ClientError as error:
                # A HEAD has no body, so a missing bucket looks like a missing object: ask which it is.
                if code_of(error) not in MISSING:
                    raise
                self._s3.head_bucket(Bucket=self.name)
                return None
        return Found(
            _hexadecimal(answer.get("ChecksumSHA256", "")), int(answer["ContentLength"]), answer["ETag"],
            str(answer.get("VersionId") or ""),
        )  # fmt: skip

    def create(self, key: str, data: bytes) -> bool:
        """Store bytes, once; False when something is there already. Raises Unavailable."""
        with told("S3", "It was not stored, or its outcome is unknown."):
            try:
                self._s3.put_object(
                    Bucket=self.name, Key=key, Body=data, IfNoneMatch="*", ChecksumAlgorithm="SHA256",
                    ChecksumSHA256=checksum(hashlib.sha256(data).hexdigest()),
                )  # fmt: skip
            except ClientError as error:
                if code_of(error) in TAKEN:
                    return False
                raise
        return True

    def copy_from(self, other: Bucket, key: str, found: Found, to: str) -> bool:
        """Copy an object inside S3, exactly the one that was found; False when it or `to` changed meanwhile."""
        with told("S3", "The segment is not published yet."):
            try:
                self._s3.copy_object(
                    Bucket=self.name, Key=to, CopySource={"Bucket": other.name, "Key": key},
                    CopySourceIfMatch=found.etag, IfNoneMatch="*", ChecksumAlgorithm="SHA256",
                )  # fmt: skip
            except ClientError as error:
                if code_of(error) in TAKEN | MISSING:
                    return False
                raise
        return True

    def mapped(self, key: str, version: str = "") -> memoryview | None:
        """An object's bytes, on this machine's disk and mapped: memory holds what is looked at.

        Raises:
            Unavailable: when it is not what S3 took, is too long, or does not fit on the disk.
        """
        with _disk(), tempfile.TemporaryFile() as file:
            if not self._fetched(key, version, file):
                return None
            file.flush()
            try:
                return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
            except ValueError:
                return memoryview(b"")

    def _fetched(self, key: str, version: str, file: IO[bytes]) -> bool:
        asked = {"Bucket": self.name, "Key": key, "ChecksumMode": "ENABLED", **_version(version)}
        with told("S3", "It was not read."):
            try:
                answer = self._s3.get_object(**asked)
            except ClientError as error:
                if code_of(error) in MISSING:
                    return False
                raise
            length, body, digest = int(answer["ContentLength"]), answer["Body"], hashlib.sha256()
            try:
                if length > TEMPORARY_BYTES:
                    raise Unavailable(f"An object is over {TEMPORARY_BYTES} bytes.", not_done="It was not read.",
                                      code="too_large")  # fmt: skip
                for chunk in body.iter_chunks(CHUNK_BYTES):
                    digest.update(chunk)
                    file.write(chunk)
            finally:
                body.close()
        if digest.hexdigest() != _hexadecimal(answer.get("ChecksumSHA256", "")):
            raise Unavailable("A stored object is not the one that S3 took.", not_done="It was not used.",
                              advice="The store was changed from outside.", code="store_damaged")  # fmt: skip
        return True

    def upload_address(self, key: str, sha256: str, length: int, seconds: int) -> tuple[str, dict[str, str]]:
        """Where to PUT exactly these bytes, once, and the headers that must go with them.

        Key, SHA-256, length and `If-None-Match: *` are all signed: any other request is refused.
        """
        asked = {
            "Bucket": self.name, "Key": key, "IfNoneMatch": "*", "ChecksumSHA256": checksum(sha256),
            "ChecksumAlgorithm": "SHA256", "ContentLength": length,
        }  # fmt: skip
        try:
            url = self._s3.generate_presigned_url("put_object", Params=asked, ExpiresIn=seconds)
        except BotoCoreError as error:
            raise Unavailable("An upload's address can't be signed.", not_done="Nothing was stored.",
                              advice="Look after the function's role.", code="aws_unreachable") from error  # fmt: skip
        return str(url), {
            "If-None-Match": "*", "x-amz-checksum-sha256": checksum(sha256), "x-amz-sdk-checksum-algorithm": "SHA256",
        }  # fmt: skip

    @property
    def _s3(self) -> Any:
        return self._clients.of("s3")


def checksum(sha256: str) -> str:
    """S3's spelling of a hexadecimal SHA-256: base64."""
    return base64.b64encode(bytes.fromhex(sha256)).decode()


def _hexadecimal(value: str) -> str:
    try:
        return base64.b64decode(value, validate=True).hex()
    except ValueError:
        # Of several parts (``…-2``): none that we could compare with.
        return ""


def _version(version: str) -> dict[str, str]:
    return {"VersionId": version} if version else {}


@contextmanager
def _disk() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise Unavailable(
            f"An object can't be kept on the function's disk ({error.strerror}).", not_done="It was not read.",
            advice="Give the function more ephemeral storage." if full else "Try again.",
            code="no_room" if full else "store_failed",
        ) from error  # fmt: skip


def name_of_hash(name: str) -> str:
    """A blob's name, checked. Raises InvalidInput."""
    if len(name) != 64 or not set(name) <= set("0123456789abcdef"):
        raise InvalidInput("That is no SHA-256.", not_done="Nothing was stored or read.", code="bad_name")
    return name
