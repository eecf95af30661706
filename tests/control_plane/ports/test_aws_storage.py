"""Commands and recordings on S3 and DynamoDB: the suites, and what is cut off, denied, changed or overwritten.

moto does not check signatures: that a ticket is for one key, length and hash is read off what it signs.
"""

from __future__ import annotations

import json
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import boto3
import msgspec
import pytest
from botocore.exceptions import ClientError

from control_plane.chalicelib.adapters.aws.objects import TEMPORARY_BYTES, checksum
from control_plane.chalicelib.adapters.aws.recordings import S3Recordings
from control_plane.chalicelib.adapters.aws.seal_items import SealItems
from control_plane.chalicelib.adapters.aws.table import Table
from control_plane.chalicelib.ports.recordings import MAX_PART_BYTES, Published, Sealed
from tests.control_plane.ports.aws_backend import AwsBackend, backend
from tests.control_plane.ports.storage_suites import BlobsSuite, RecordingsSuite
from tests.support.aws_faults import losing_the_answer, refusing
from twokeys.digest import sha256
from twokeys.errors import Conflict, InvalidInput, Unavailable
from twokeys.messages import UploadRequest

__all__ = ["backend"]

DAY: Final = "dt=2026-11-22"


class TestBlobs(BlobsSuite):
    """S3."""


class TestRecordings(RecordingsSuite):
    """S3 and DynamoDB."""


def uploaded(backend: AwsBackend, first: int = 1, last: int = 3, sessions: list[str] | None = None) -> Sealed:
    """A Segment with lines and bodies, uploaded; its Seal, not kept yet."""
    sealed = RecordingsSuite.sealed(first, last, sessions)
    sealed = msgspec.structs.replace(sealed, seal={**sealed.seal, "bodies_sha256": "3" * 64})
    backend.ports.recordings.put("lines", sealed.segment, b"lines")
    backend.ports.recordings.put("bodies", sealed.segment, b"bodies")
    return sealed


def published(backend: AwsBackend) -> dict[str, list[str]]:
    """Every object of the recordings bucket with the versions it has."""
    answer = backend.clients.of("s3").list_object_versions(Bucket=backend.settings.recordings_bucket)
    assert "DeleteMarkers" not in answer
    found: dict[str, list[str]] = {}
    for version in answer.get("Versions", []):
        found.setdefault(version["Key"], []).append(version["VersionId"])
    return found


def items(backend: AwsBackend) -> SealItems:
    return SealItems(Table(backend.clients, backend.settings.table))


def test_a_seal_publishes_its_segment_and_notes_the_versions(backend: AwsBackend) -> None:
    sealed = uploaded(backend)
    backend.ports.recordings.add_seal(sealed)
    there, item = published(backend), items(backend).find(sealed.segment)
    names = {"lines": ".jsonl.gz", "bodies": ".bodies", "seals": ".json"}
    assert item is not None
    assert {kind: [item.versions[kind]] for kind in names} == {
        kind: there[f"{kind}/{DAY}/{sealed.segment}{suffix}"] for kind, suffix in names.items()
    }
    body = backend.clients.of("s3").get_object(
        Bucket=backend.settings.recordings_bucket, Key=f"seals/{DAY}/{sealed.segment}.json"
    )["Body"].read()  # fmt: skip
    assert json.loads(body) == {"seal": sealed.seal, "key_id": "k", "signature": "c2ln"}


OPERATIONS: Final = (("s3", "CopyObject"), ("s3", "PutObject"), ("dynamodb", "TransactWriteItems"))


@pytest.mark.parametrize(("service", "operation"), OPERATIONS)
@pytest.mark.parametrize("how", ["refused", "answer lost"])
@pytest.mark.parametrize("nth", [1, 2])
def test_publishing_that_is_cut_off_is_done_again(
    backend: AwsBackend, service: str, operation: str, how: str, nth: int
) -> None:
    sealed, client = uploaded(backend, sessions=["s"]), backend.clients.of(service)
    calls = 0

    def cut(**_more: object) -> None:
        nonlocal calls
        calls += 1
        if calls >= nth:
            raise ClientError({"Error": {"Code": "InternalError"}}, operation)

    when = "before-call" if how == "refused" else "after-call"
    client.meta.events.register(f"{when}.{service}.{operation}", cut)
    reached = True
    try:
        backend.ports.recordings.add_seal(sealed)
        reached = False
    except Unavailable:
        item = items(backend).find(sealed.segment)
        if item is None or not item.published:
            assert backend.ports.recordings.seal(sealed.segment) in (None, sealed)
    finally:
        client.meta.events.unregister(f"{when}.{service}.{operation}", cut)
    assert reached or (operation, nth) == ("PutObject", 2), "there is one Put only"
    backend.reopen()
    part = backend.ports.recordings.part("lines", sealed.segment)
    assert part is not None
    assert bytes(part) == b"lines"
    assert backend.ports.recordings.add_seal(sealed) == sealed
    assert {len(versions) for versions in published(backend).values()} == {1}
    assert len(published(backend)) == 3
    assert backend.ports.recordings.segments_of("s") == [sealed]
    assert list(items(backend).unpublished(9)) == []


def test_the_seal_is_published_last(backend: AwsBackend) -> None:
    sealed = uploaded(backend)
    with refusing(backend.clients.of("s3"), "CopyObject", "SlowDown"), pytest.raises(Unavailable):
        backend.ports.recordings.add_seal(sealed)
    assert published(backend) == {}
    recordings = backend.ports.recordings
    assert isinstance(recordings, S3Recordings)
    assert recordings.publish_unfinished() == Published(1)
    assert len(published(backend)) == 3
    assert recordings.publish_unfinished() == Published(0)


def test_one_segment_that_cannot_be_published_keeps_no_other_back(backend: AwsBackend) -> None:
    recordings = backend.ports.recordings
    assert isinstance(recordings, S3Recordings)
    sealed = [msgspec.structs.replace(uploaded(backend, 1, 3), source=name) for name in ("edge-1", "edge-2")]
    lost, whole = [msgspec.structs.replace(one, segment=f"{one.source}-1-3") for one in sealed]
    for one in (lost, whole):
        backend.ports.recordings.put("lines", one.segment, b"lines")
        backend.ports.recordings.put("bodies", one.segment, b"bodies")
        with refusing(backend.clients.of("s3"), "CopyObject", "SlowDown"), pytest.raises(Unavailable):
            recordings.add_seal(one)
    backend.clients.of("s3").delete_object(Bucket=backend.settings.incoming_bucket, Key=f"lines/{lost.segment}")
    assert recordings.publish_unfinished(lambda: True) == Published(0)
    assert recordings.publish_unfinished() == Published(1, failed=1)
    assert recordings.seal(whole.segment) == whole
    assert {name.rsplit("/")[-1].split(".")[0] for name in published(backend)} == {whole.segment}


def test_the_next_seal_finishes_the_one_before(backend: AwsBackend) -> None:
    first, second = uploaded(backend), uploaded(backend, 4, 9)
    with refusing(backend.clients.of("s3"), "CopyObject", "SlowDown"), pytest.raises(Unavailable):
        backend.ports.recordings.add_seal(first)
    backend.ports.recordings.add_seal(second)
    assert len(published(backend)) == 6


def test_a_segment_without_its_parts_is_not_sealed(backend: AwsBackend) -> None:
    sealed = RecordingsSuite.sealed(1, 3)
    with pytest.raises(InvalidInput, match="lines"):
        backend.ports.recordings.add_seal(sealed)
    backend.ports.recordings.put("lines", sealed.segment, b"lines")
    with pytest.raises(InvalidInput, match="bodies"):
        backend.ports.recordings.add_seal(msgspec.structs.replace(sealed, seal={**sealed.seal, "bodies_sha256": "3"}))
    assert backend.ports.recordings.seal(sealed.segment) is None


def test_what_changed_between_sealing_and_publishing_is_not_published(backend: AwsBackend) -> None:
    sealed, s3 = uploaded(backend), backend.clients.of("s3")
    with refusing(s3, "CopyObject", "SlowDown"), pytest.raises(Unavailable):
        backend.ports.recordings.add_seal(sealed)
    s3.put_object(Bucket=backend.settings.incoming_bucket, Key=f"lines/{sealed.segment}", Body=b"other",
                  ChecksumAlgorithm="SHA256")  # fmt: skip
    with pytest.raises(Conflict):
        backend.ports.recordings.add_seal(sealed)
    assert published(backend) == {}


def test_many_sessions_of_one_segment_are_all_found(backend: AwsBackend) -> None:
    sessions = [f"ses_{number:03d}" for number in range(250)]
    sealed = uploaded(backend, sessions=sessions)
    backend.ports.recordings.add_seal(sealed)
    for session in (sessions[0], sessions[120], sessions[-1]):
        assert backend.ports.recordings.segments_of(session) == [sealed]


def test_an_overwrite_leaves_the_locked_version(backend: AwsBackend) -> None:
    s3, bucket = backend.clients.of("s3"), backend.settings.recordings_bucket
    rule = {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 1}}
    s3.put_object_lock_configuration(
        Bucket=bucket, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": rule}
    )
    sealed = uploaded(backend)
    backend.ports.recordings.add_seal(sealed)
    key = f"lines/{DAY}/{sealed.segment}.jsonl.gz"
    (version,) = published(backend)[key]
    with pytest.raises(ClientError, match="PreconditionFailed"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"forged", IfNoneMatch="*")
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.delete_object(Bucket=bucket, Key=key, VersionId=version)
    # Somebody who could do it without the condition makes a later version: the noted one is read.
    s3.put_object(Bucket=bucket, Key=key, Body=b"forged")
    part = backend.ports.recordings.part("lines", sealed.segment)
    assert part is not None
    assert bytes(part) == b"lines"


@pytest.mark.parametrize("code", ["SlowDown", "AccessDenied", "NoSuchBucket", "InternalError"])
def test_without_s3_nothing_is_taken_or_sealed(backend: AwsBackend, code: str) -> None:
    sealed, s3, ports = uploaded(backend), backend.clients.of("s3"), backend.ports
    name = ports.blobs.put(b"UPDATE")
    ask = UploadRequest(kind="lines", name="e-1-000000000009", sha256=sha256(b"x"), length=1)
    with refusing(s3, "HeadObject", code):
        for call in (lambda: ports.recordings.add_seal(sealed), lambda: ports.recordings.ticket(ask),
                     lambda: ports.blobs.has(name), lambda: ports.blobs.get(name)):  # fmt: skip
            with pytest.raises(Unavailable):
                call()
    assert ports.recordings.seal(sealed.segment) is None
    with refusing(s3, "PutObject", code), pytest.raises(Unavailable):
        ports.blobs.put(b"DELETE")
    with refusing(s3, "GetObject", code), pytest.raises(Unavailable):
        ports.recordings.part("lines", sealed.segment)


def test_a_bucket_that_is_gone_is_not_an_empty_one(backend: AwsBackend) -> None:
    backend.clients.of("s3").delete_bucket(Bucket=backend.settings.incoming_bucket)
    for call in (lambda: backend.ports.blobs.has("0" * 64), lambda: backend.ports.blobs.get("0" * 64),
                 lambda: backend.ports.recordings.part("lines", "e-1-000000000001")):  # fmt: skip
        with pytest.raises(Unavailable):
            call()


def test_a_put_whose_answer_is_lost_can_be_done_again(backend: AwsBackend) -> None:
    s3, ports = backend.clients.of("s3"), backend.ports
    with losing_the_answer(s3, "PutObject"), pytest.raises(Unavailable):
        ports.blobs.put(b"UPDATE")
    assert ports.blobs.get(ports.blobs.put(b"UPDATE")) == b"UPDATE"


def test_a_changed_blob_is_not_used(backend: AwsBackend) -> None:
    name = backend.ports.blobs.put(b"UPDATE")
    backend.clients.of("s3").put_object(Bucket=backend.settings.incoming_bucket, Key=f"commands/{name}",
                                        Body=b"DELETE", ChecksumAlgorithm="SHA256")  # fmt: skip
    with pytest.raises(Unavailable, match="changed from outside"):
        backend.ports.blobs.get(name)


@pytest.mark.parametrize("name", ["../lines/x", "0" * 63, "A" * 64, ""])
def test_a_blob_is_named_by_a_hash_alone(backend: AwsBackend, name: str) -> None:
    for call in (backend.ports.blobs.get, backend.ports.blobs.has):
        with pytest.raises(InvalidInput):
            call(name)


def test_a_command_gets_a_ticket_for_its_own_hash_alone(backend: AwsBackend) -> None:
    with pytest.raises(InvalidInput):
        backend.ports.recordings.ticket(UploadRequest(kind="command", name="0" * 64, sha256="1" * 64, length=1))


def test_a_ticket_signs_key_checksum_length_and_create_only(backend: AwsBackend) -> None:
    ask = UploadRequest(kind="lines", name="e-1-000000000001", sha256=sha256(b"lines"), length=5)
    ticket = backend.ports.recordings.ticket(ask)
    url, asked = urlsplit(ticket.url), parse_qs(urlsplit(ticket.url).query)
    signed = set(asked["X-Amz-SignedHeaders"][0].split(";"))
    assert signed == {"host", "content-length", "if-none-match", "x-amz-checksum-sha256",
                      "x-amz-sdk-checksum-algorithm"}  # fmt: skip
    assert (url.scheme, url.path, url.hostname) == (
        "https", "/lines/e-1-000000000001", f"{backend.settings.incoming_bucket}.s3.amazonaws.com"
    )  # fmt: skip
    assert int(asked["X-Amz-Expires"][0]) <= 15 * 60
    assert dict(ticket.headers) == {
        "If-None-Match": "*", "x-amz-checksum-sha256": checksum(ask.sha256), "x-amz-sdk-checksum-algorithm": "SHA256",
    }  # fmt: skip


def test_keys_for_auditors_are_put_once(backend: AwsBackend) -> None:
    recordings: Any = backend.ports.recordings
    keys = backend.ports.signer.public_keys()
    assert recordings.publish_keys(keys)
    assert not recordings.publish_keys(keys[:1])
    body = boto3.client("s3").get_object(Bucket=backend.settings.recordings_bucket, Key="keys.json")["Body"].read()
    assert json.loads(body) == {"keys": [dict(key.to_json()) for key in keys]}


def test_every_part_that_is_taken_fits_where_it_is_read() -> None:
    assert MAX_PART_BYTES <= TEMPORARY_BYTES
